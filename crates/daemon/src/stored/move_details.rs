//! What a daemon stores of a move, beside the columns of its record.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// What a daemon knows of a move, beside the columns of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveDetails {
    /// The name of the other daemon.
    pub(crate) daemon: String,
    /// The address of the other daemon; empty if it did not say.
    pub(crate) address: String,
    /// The task was paused before the move, and is to be paused again.
    pub(crate) paused: bool,
    /// The task's ID at the other daemon, if it is known; else 0.
    pub(crate) peer_task: u64,
    /// When an operator decided where the task is.
    pub(crate) decided: Option<Timestamp>,
    /// Why the task was paused by the move.
    pub(crate) pause_reason: Option<String>,
}
