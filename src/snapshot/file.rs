//! Snapshot files: written whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{Error, Limits};

/// Writes `bytes` to `path`: to a temporary file beside it, flushed to the disk, renamed.
/// A crash leaves the old file or the new one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), crate::error::Error> {
    let failed = |source: io::Error| Error::Write {
        path: path.to_path_buf(),
        source,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".dormouse-")
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
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
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, crate::error::Error> {
    let failed = |source: io::Error| Error::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limits.file.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match bytes.len() as u64 > limits.file {
        true => Err(Error::TooLarge {
            what: "file",
            size: bytes.len() as u64,
            limit: limits.file,
        }
        .into()),
        false => Ok(bytes),
    }
}
