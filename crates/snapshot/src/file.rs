//! Snapshot files: written whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::Error;
use super::container;
use crate::model::Limits;

/// Writes `bytes` to `path`: to a temporary file beside it, flushed to the disk, renamed.
/// A crash leaves the old file or the new one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), crate::model::error::Error> {
    replace(path, |file| {
        file.write_all(bytes).map_err(|source| {
            let path = path.to_path_buf();
            Error::Write { path, source }.into()
        })
    })
}

/// The same with what `write` writes.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), crate::model::error::Error>,
) -> Result<(), crate::model::error::Error> {
    let failed = |source: io::Error| Error::Write {
        path: path.to_path_buf(),
        source,
    };
    // Renaming over a device would make a file of it. A link leads on to the old snapshot.
    let path = &match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(failed(io::Error::other("there is something else than a file")).into());
        }
        Ok(_) => path.canonicalize().map_err(failed)?,
        Err(_) => path.to_path_buf(),
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".dormouse-")
        .tempfile_in(folder)
        .map_err(failed)?;
    write(file.as_file_mut())?;
    file.as_file().sync_data().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    // The new name itself is durable once the folder is. A file system that cannot flush a
    // folder keeps its names safe in some other way.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Reads a snapshot file, up to the limit.
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, crate::model::error::Error> {
    let failed = |source: io::Error| Error::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let read = |length: u64, bytes: &mut Vec<u8>| {
        let left = length.saturating_sub(bytes.len() as u64);
        let mut part = (&file).take(left);
        part.read_to_end(bytes).map_err(failed)
    };
    // What follows is not read before the first bytes have said that it is a snapshot, and how
    // long.
    read(container::START_BYTES as u64, &mut bytes)?;
    let length = stated_length(&bytes, limits)?;
    // One more, so that something after the end is seen.
    read(length.saturating_add(1), &mut bytes)?;
    Ok(bytes)
}

fn stated_length(start: &[u8], limits: &Limits) -> Result<u64, Error> {
    #[cfg(feature = "seal")]
    if start.starts_with(super::seal::MAGIC) {
        return super::seal::stated_length(start, limits);
    }
    container::stated_length(start, limits)
}
