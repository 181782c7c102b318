//! Parts of a task as it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::wire::time;

/// Where a task has gone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MovedTo {
    /// Which daemon.
    pub daemon: String,
    /// Where that is.
    pub address: String,
    /// The task's ID there.
    pub task: u64,
}

impl From<crate::stored::status::MovedTo> for MovedTo {
    fn from(to: crate::stored::status::MovedTo) -> Self {
        Self {
            daemon: to.daemon,
            address: to.address,
            task: to.task,
        }
    }
}

/// Why a task does not go on, or cannot be put to sleep, for now. It is tried again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// Since when.
    pub since: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again.
    pub next: String,
    /// What was wrong, the last time.
    pub error: String,
}

impl From<crate::daemon::info::Trouble> for Trouble {
    fn from(found: crate::daemon::info::Trouble) -> Self {
        Self {
            since: time(found.since),
            tries: found.tries,
            next: time(found.next),
            error: found.error,
        }
    }
}
