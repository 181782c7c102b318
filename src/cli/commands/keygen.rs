//! `dormouse keygen`: a pair of keys, to sign snapshots or to encrypt them.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::args::Keygen;
use crate::cli::exit::{Done, Failure, OK, WRITE};
use crate::cli::output::{self, out};
use crate::snapshot::{self, KeyKind};

/// Writes a new pair of keys, and never over a file that exists.
pub(crate) fn keygen(command: &Keygen) -> Result<Done, Failure> {
    let (secret, public) = snapshot::new_keys(command.kind)?;
    let mut public_path = command.file.clone().into_os_string();
    public_path.push(".pub");
    let public_path = PathBuf::from(public_path);
    // Before either is written, so that no half of a pair is left.
    for path in [&command.file, &public_path] {
        if path.symlink_metadata().is_ok() {
            let text = format!("{} exists, and is not written over", path.display());
            return Err(Failure::new(WRITE, text));
        }
    }
    create(&command.file, &secret, 0o600)?;
    create(&public_path, &public, 0o644)?;
    let key = match command.kind {
        KeyKind::Sign => public.lines().last().unwrap_or_default(),
        KeyKind::Encrypt => public.trim_end(),
    };
    if output::as_json() {
        output::result(&serde_json::json!({
            "secret_key": command.file.to_string_lossy(),
            "public_key": public_path.to_string_lossy(),
            "key": key,
        }));
        return OK;
    }
    out!("secret key  {}", command.file.display());
    out!("public key  {}", public_path.display());
    out!("{key}");
    OK
}

fn create(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .map_err(|error| Failure::new(WRITE, format!("cannot write {}: {error}", path.display())))
}
