//! What travels from the source of a move to its target, as data.

use serde::{Deserialize, Serialize};

use crate::model::{Digest, MoveId, Timestamp};

/// The forms in which a daemon keeps tasks and snapshots. Source and target must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// The snapshot format's version.
    pub snapshot: u32,
    /// The form in which spec and status of a task are stored.
    pub task: u32,
}

impl Formats {
    /// The forms of this build.
    pub fn ours() -> Self {
        Self {
            snapshot: crate::task::SNAPSHOT_VERSION,
            task: u32::from(crate::stored::encoding::FORMAT_VERSION),
        }
    }
}

impl std::fmt::Display for Formats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "snapshot format {} and task form {}",
            self.snapshot, self.task
        )
    }
}

/// What the target has to know before the task is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveInquiry {
    /// Digest of the resumable module.
    pub module: Digest,
    /// What was submitted, as the daemon encodes it, with the target's directories.
    #[serde(with = "serde_bytes")]
    pub spec: Vec<u8>,
    /// The task's name.
    pub name: Option<String>,
    /// The base of its stored snapshot.
    pub base: Option<Digest>,
}

/// A task that is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOffer {
    /// The move.
    pub move_id: MoveId,
    /// The task at the source, as `DAEMON/ID@VERSION`.
    pub origin: String,
    /// Its name.
    pub name: Option<String>,
    /// Digest of the resumable module.
    pub module: Digest,
    /// What was submitted, as the daemon encodes it, with the target's directories.
    #[serde(with = "serde_bytes")]
    pub spec: Vec<u8>,
    /// What is known of it, as the daemon encodes it.
    #[serde(with = "serde_bytes")]
    pub status: Vec<u8>,
    /// It was paused, and is to stay paused.
    pub paused: bool,
    /// Its snapshot, if it has run.
    pub snapshot: Option<OfferedSnapshot>,
    /// What it has written, the oldest first.
    pub output: Vec<OfferedPiece>,
    /// Keys of its connections that are to be carried.
    pub streams: Vec<u64>,
}

/// A snapshot as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedSnapshot {
    /// The base that the bytes refer to.
    pub base: Option<Digest>,
    /// The bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedPiece {
    /// Whether it was written to standard error.
    pub error: bool,
    /// When it was written.
    pub time: Timestamp,
    /// What was written.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}
