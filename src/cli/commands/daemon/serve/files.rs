//! The files of the data directory that others must not read: the token, where the daemon is.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::cli::exit::{Failure, INTERNAL, USAGE, WRITE};

/// Makes the data directory, and checks that no other user can read it: it holds the token and the
/// guests' memory.
pub(super) fn prepare(data: &Path) -> Result<(), Failure> {
    let failed = |what: &str, error: std::io::Error| {
        let text = format!(
            "cannot {what} the data directory {}: {error}",
            data.display()
        );
        Failure::new(WRITE, text)
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|error| failed("make", error))?;
    let metadata = fs::metadata(data).map_err(|error| failed("look at", error))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        let text = format!(
            "the data directory {} can be read by others, and holds the token and the guests' memory; \
             chmod 700 it, or take another with --data",
            data.display()
        );
        return Err(Failure::new(USAGE, text));
    }
    Ok(())
}

/// The text of a file in the data directory. A file that is not there is made, of `bytes` random
/// bytes.
pub(super) fn secret_file(data: &Path, name: &str, bytes: usize) -> Result<String, Failure> {
    let path = data.join(name);
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_string());
    }
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(INTERNAL, format!("no random numbers: {error}")))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    private(&path, text.as_bytes())?;
    Ok(text)
}

/// Writes the daemon's URL for its clients. A URL of an earlier daemon must not stay: nothing
/// listens there.
pub(super) fn write_url(path: &Path, url: &str) -> Result<(), Failure> {
    private(path, url.as_bytes()).or_else(|_| {
        // It is no error if they are not there. On a full disk, their room may be enough.
        let _ = fs::remove_file(path);
        let _ = fs::remove_file(path.with_extension("new"));
        private(path, url.as_bytes())
    })
}

/// Writes a file that only its owner can read: whole, or not at all.
pub(super) fn private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(WRITE, format!("cannot write {}: {error}", path.display()))
    };
    let mut temporary = path.as_os_str().to_os_string();
    temporary.push(".new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(failed)
}
