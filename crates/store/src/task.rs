//! A task as it is stored: its row, its snapshot and its output.

use crate::class::ClassId;
use crate::model::{Digest, MonotonicTime, TaskId, TaskState, TenantId, Timestamp};

/// A task's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// Its ID.
    pub id: TaskId,
    /// Counts its changes.
    pub version: u64,
    /// Its state.
    pub state: TaskState,
    /// When it is to go on, by the steady clock; `None` where it waits for no time.
    pub due: Option<MonotonicTime>,
    /// A name that no other task of its tenant has.
    pub name: Option<String>,
    /// Digest of the resumable module, which is a blob.
    pub module: Digest,
    /// What was submitted, as the daemon encodes it.
    pub spec: Vec<u8>,
    /// What is known of it, as the daemon encodes it.
    pub status: Vec<u8>,
    /// How many bytes of output are kept.
    pub log_bytes: u64,
    /// How many bytes its snapshot has: its own, and those of its base where that is in chunks.
    pub snapshot_bytes: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which nodes can run it.
    pub class: ClassId,
    /// What of the row cannot be read, and is a default here.
    pub damage: Option<String>,
}

/// A stored snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The blob that the bytes refer to, if they do.
    pub base: Option<Digest>,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The pack of chunks that belong to the snapshot, and that are removed with it.
    pub pack: Option<u64>,
}

/// One of a task's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPiece {
    /// Which stream.
    pub stream: Stream,
    /// When it was written.
    pub time: Timestamp,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// A piece of stored output with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPiece {
    /// Counts the task's pieces from 0; where the first has a higher number, older ones were
    /// dropped.
    pub sequence: u64,
    /// The piece.
    pub piece: OutputPiece,
}

impl StoredPiece {
    /// How many bytes the piece has.
    pub fn size(&self) -> u64 {
        self.piece.bytes.len() as u64
    }
}
