//! What travels from the source of a move to its target, as data.

use serde::{Deserialize, Serialize};

use crate::model::{Digest, MoveId, Timestamp};

/// The forms in which a daemon keeps tasks and snapshots. Source and target must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Formats {
    /// The snapshot format's version.
    pub(crate) snapshot: u32,
    /// The form in which spec and status of a task are stored.
    pub(crate) task: u32,
}

impl Formats {
    /// The forms of this build.
    pub(crate) fn ours() -> Self {
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
pub(crate) struct MoveInquiry {
    /// Digest of the resumable module.
    pub(crate) module: Digest,
    /// What was submitted, as the daemon encodes it, with the target's directories.
    #[serde(with = "serde_bytes")]
    pub(crate) spec: Vec<u8>,
    /// The task's name.
    pub(crate) name: Option<String>,
    /// The base of its stored snapshot.
    pub(crate) base: Option<Digest>,
}

/// A task that is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskOffer {
    /// The move.
    pub(crate) move_id: MoveId,
    /// The task at the source, as `DAEMON/ID@VERSION`.
    pub(crate) origin: String,
    /// Its name.
    pub(crate) name: Option<String>,
    /// Digest of the resumable module.
    pub(crate) module: Digest,
    /// What was submitted, as the daemon encodes it, with the target's directories.
    #[serde(with = "serde_bytes")]
    pub(crate) spec: Vec<u8>,
    /// What is known of it, as the daemon encodes it.
    #[serde(with = "serde_bytes")]
    pub(crate) status: Vec<u8>,
    /// It was paused, and is to stay paused.
    pub(crate) paused: bool,
    /// Its snapshot, if it has run.
    pub(crate) snapshot: Option<OfferedSnapshot>,
    /// What it has written, the oldest first.
    pub(crate) output: Vec<OfferedPiece>,
    /// Keys of its connections that are to be carried.
    pub(crate) streams: Vec<u64>,
}

/// A snapshot as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfferedSnapshot {
    /// The base that the bytes refer to.
    pub(crate) base: Option<Digest>,
    /// The bytes.
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfferedPiece {
    /// Whether it was written to standard error.
    pub(crate) error: bool,
    /// When it was written.
    pub(crate) time: Timestamp,
    /// What was written.
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}
