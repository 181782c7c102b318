//! Snapshot files: read, out of their envelope if they have one, and written.

use std::path::{Path, PathBuf};

use super::exit::Failure;
use crate::error::{Error, ErrorKind};
use crate::model::Limits;
use crate::snapshot::{self, ModuleRef, Opened, Seal, Unseal};
use crate::task::{Snapshot, Task};

/// Snapshots with more bytes of stored pages than this are streamed from the guest's memory to the
/// file, unless they are signed or encrypted. Smaller ones are built in memory first.
const MAX_BUFFERED_BYTES: usize = 8 << 20;

/// Reads a file, and opens its envelope.
pub(crate) fn read(path: &Path, keys: &Unseal, limits: &Limits) -> Result<Opened, Failure> {
    let file = snapshot::read(path, limits).map_err(|error| unreadable(path, error))?;
    keys.open(file, limits).map_err(|error| at(path, error))
}

/// The snapshot in a file that was read.
///
/// # Errors
/// If it is encrypted and no key opens it, or if it is damaged.
pub(crate) fn decode(path: &Path, opened: &Opened, limits: &Limits) -> Result<Snapshot, Failure> {
    let file = opened.content.as_ref().ok_or(snapshot::Error::Encrypted);
    file.map_err(Error::from)
        .and_then(|file| Snapshot::decode(file, limits))
        .map_err(|error| at(path, error))
}

/// An error while a file was read, with the file's name in front.
pub(crate) fn unreadable(path: &Path, error: Error) -> Failure {
    match error.kind() {
        // This message names the file itself.
        ErrorKind::Read => error.into(),
        _ => at(path, error),
    }
}

/// An error that has to do with a file, with the file's name in front.
pub(crate) fn at(path: &Path, error: Error) -> Failure {
    let failure = Failure::from(error);
    let message = format!("{}: {}", path.display(), failure.message);
    Failure::new(failure.code, message)
}

/// Where and how snapshots of a guest are written.
pub(crate) struct Destination {
    pub(crate) path: PathBuf,
    /// Leave the module out.
    pub(crate) slim: bool,
    /// Signed and encrypted with these keys.
    pub(crate) seal: Seal,
}

impl Destination {
    /// Writes a snapshot of a suspended task. One that is large and in no envelope is written in
    /// pieces.
    pub(crate) fn write(&self, task: &mut Task) -> Result<Snapshot, Error> {
        let check = task.snapshot_check();
        let mut parked = task.parked()?;
        let mut snapshot = parked.freeze_head()?;
        if self.slim {
            snapshot.module = ModuleRef::ByDigest;
        }
        if self.seal.is_empty() && snapshot.stored_bytes() > MAX_BUFFERED_BYTES {
            let mut pages = |into: &mut dyn std::io::Write| parked.write_pages(&snapshot, into);
            snapshot::write_streamed(&self.path, &snapshot, &mut pages, check)?;
            return Ok(snapshot);
        }
        parked.fill_pages(&mut snapshot)?;
        let bytes = self.seal.close(snapshot.encode()?)?;
        check(bytes.len() as u64)?;
        snapshot::write(&self.path, &bytes)?;
        Ok(snapshot)
    }
}
