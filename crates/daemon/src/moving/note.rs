//! What a daemon notes of a move.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// What a daemon knows of a move, beside the columns of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveNote {
    /// The other daemon.
    pub daemon: String,
    /// Where the other daemon is; empty where it did not say.
    pub address: String,
    /// The task was paused before, and is to be paused again.
    pub paused: bool,
    /// The task's number at the other daemon, where it is known; else 0.
    pub theirs: u64,
    /// When an operator decided where the task is.
    pub decided: Option<Timestamp>,
    /// Why the task was paused by the move.
    pub why: Option<String>,
}
