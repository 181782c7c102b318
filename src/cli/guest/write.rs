//! Writes snapshots: of large guests in pieces.

use super::Session;
use crate::error::Error;
use crate::snapshot::{self, ModuleRef};
use crate::task::Snapshot;

/// A guest with more bytes of pages is not copied before it is written.
const STREAMED: usize = 8 << 20;

/// Writes the snapshot.
pub(super) fn write(session: &mut Session) -> Result<Snapshot, Error> {
    let task = &mut session.task;
    let mut snapshot = task.freeze_head()?;
    if session.slim {
        snapshot.module = ModuleRef::ByDigest;
    }
    let check = task.snapshot_check();
    if session.seal.is_empty() && snapshot.stored_bytes() > STREAMED {
        let mut pages = |into: &mut dyn std::io::Write| task.write_pages(&snapshot, into);
        snapshot::write_streamed(&session.snapshot, &snapshot, &mut pages, check)?;
        return Ok(snapshot);
    }
    task.fill_pages(&mut snapshot)?;
    let bytes = session.seal.close(snapshot.encode()?)?;
    check(bytes.len() as u64)?;
    snapshot::write(&session.snapshot, &bytes)?;
    Ok(snapshot)
}
