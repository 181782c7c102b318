//! The memory of a daemon, as it is told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::daemon::Daemon;

/// How the memory of a daemon is parted, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// What it and its guests may use together.
    pub size: u64,
    /// What guests may have of it.
    pub guests: u64,
    /// What guests have, those that wait in memory among them, or what is kept for them.
    pub used: u64,
    /// What snapshots take that are being made.
    pub snapshots: u64,
    /// How many tasks wait for memory.
    pub waiting: u64,
}

impl Budget {
    /// That of a daemon, now.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let (parts, used) = daemon.memory();
        Self {
            size: parts.size,
            guests: parts.guests(),
            used: used.guests,
            snapshots: used.snapshots,
            waiting: used.waiting,
        }
    }
}
