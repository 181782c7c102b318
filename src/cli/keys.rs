//! `dormouse keygen`, and the keys that other commands are given.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::exit::{Done, Failure, WRITE};
use super::text::{self, out, say};
use crate::snapshot::{self, KeyKind, Opened, Seal, Unseal};

/// How snapshots are written: as they are, or signed and encrypted.
#[derive(Debug, clap::Args)]
pub(super) struct Sealing {
    /// Sign the snapshot with this secret key, a file of `dormouse keygen sign` or of minisign's.
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Encrypt the snapshot to this recipient of age's (age1…), or to those in a file.
    #[arg(long, value_name = "FILE|RECIPIENT")]
    pub encrypt_to: Vec<String>,
}

/// Which snapshots are taken.
#[derive(Debug, clap::Args)]
pub(super) struct Opening {
    /// Take only a snapshot that is signed with this key: minisign's public key (RW…), or a file of it.
    #[arg(long, value_name = "FILE|KEY")]
    pub verify_key: Vec<String>,
    /// Say so: an error without --verify-key.
    #[arg(long, requires = "verify_key")]
    pub require_signature: bool,
    /// Take only an encrypted snapshot, and decrypt it with the secret key of age's in this file.
    #[arg(long, value_name = "FILE")]
    pub decrypt_key: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Keygen {
    /// What the keys are for.
    pub kind: KeyKind,
    /// Where the secret key goes; the public one goes beside it, with `.pub` at the end.
    pub file: PathBuf,
}

/// Writes a new pair of keys. Nothing that is there is written over.
pub(super) fn keygen(command: &Keygen) -> Result<Done, Failure> {
    let (secret, public) = snapshot::new_keys(command.kind)?;
    let mut beside = command.file.clone().into_os_string();
    beside.push(".pub");
    let beside = PathBuf::from(beside);
    // Before either is written, so that no half of a pair is left.
    for path in [&command.file, &beside] {
        if path.symlink_metadata().is_ok() {
            let text = format!("{} exists, and is not written over", path.display());
            return Err(Failure::new(WRITE, text));
        }
    }
    create(&command.file, &secret, 0o600)?;
    create(&beside, &public, 0o644)?;
    let key = match command.kind {
        KeyKind::Sign => public.lines().last().unwrap_or_default(),
        KeyKind::Encrypt => public.trim_end(),
    };
    if text::as_json() {
        text::result(&serde_json::json!({
            "secret_key": command.file.to_string_lossy(),
            "public_key": beside.to_string_lossy(),
            "key": key,
        }));
        return Ok(Done::Guest(0));
    }
    out!("secret key  {}", command.file.display());
    out!("public key  {}", beside.display());
    out!("{key}");
    Ok(Done::Guest(0))
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

pub(super) fn seal(given: &Sealing) -> Result<Seal, Failure> {
    Ok(Seal::load(given.sign_key.as_deref(), &given.encrypt_to)?)
}

pub(super) fn unseal(given: &Opening) -> Result<Unseal, Failure> {
    Ok(Unseal::load(&given.verify_key, &given.decrypt_key)?)
}

/// What whoever resumes a snapshot should know of its signature, and of the next one's.
pub(super) fn tell(opened: &Opened, keys: &Unseal, next: &Seal) {
    let Some(signer) = &opened.signer else { return };
    if !keys.verifies() {
        say!("signed by {signer}, by its own word; --verify-key checks whose it is");
    }
    if !next.signs() {
        say!("the next snapshot will not be signed; --sign-key signs it");
    }
}
