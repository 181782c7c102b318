//! What travels from one daemon to the other, as data.

use serde::{Deserialize, Serialize};

use crate::model::{Digest, TransferId};

/// The forms in which a daemon keeps what moves. Both sides must keep it in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// The snapshot format's version.
    pub snapshot: u32,
    /// The form of what is submitted and of what is known of a task.
    pub task: u32,
}

impl Formats {
    /// Those of this build.
    pub fn ours() -> Self {
        Self {
            snapshot: crate::task::SNAPSHOT_VERSION,
            task: u32::from(super::super::spec::FORM),
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

/// What the other side has to know before anything stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// Digest of the resumable module.
    pub module: Digest,
    /// What was submitted, as the scheduler encodes it, with the directories of the other side.
    #[serde(with = "serde_bytes")]
    pub spec: Vec<u8>,
    /// The task's name.
    pub name: Option<String>,
    /// The base of its stored snapshot.
    pub base: Option<Digest>,
}

/// A task that is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The move.
    pub transfer: TransferId,
    /// The task as it was called: daemon, number and version.
    pub origin: String,
    /// Its name.
    pub name: Option<String>,
    /// Digest of the resumable module.
    pub module: Digest,
    /// What was submitted, with the directories of the other side.
    #[serde(with = "serde_bytes")]
    pub spec: Vec<u8>,
    /// What is known of it, as the scheduler encodes it.
    #[serde(with = "serde_bytes")]
    pub status: Vec<u8>,
    /// It was paused, and is to stay so.
    pub paused: bool,
    /// Its snapshot, if it has run.
    pub snapshot: Option<OfferedSnapshot>,
    /// What it has written, the oldest first.
    pub output: Vec<OfferedPiece>,
    /// Keys of its connections that are to be carried.
    #[serde(default)]
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
    /// When it was written, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// What was written.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}
