//! What a worker is asked for, and what it answers.

use super::guest::Guest;
use super::output::Tail;
use crate::model::{TaskId, TaskState};
use crate::store::Update;
use crate::task::TaskHandle;

/// What a worker is to do.
pub(super) enum Job {
    /// Take a task from the store and run it, if it is due or somebody has knocked, at that time in
    /// nanoseconds since the Unix epoch.
    Load {
        id: TaskId,
        handle: TaskHandle,
        knocked: Option<u64>,
    },
    /// Go on with a task that is in memory.
    Step(Box<Guest>),
    /// Write a task down, and let go of it.
    Freeze(Box<Guest>, TaskState),
}

impl Job {
    pub(super) fn id(&self) -> TaskId {
        match self {
            Self::Load { id, .. } => *id,
            Self::Step(guest) | Self::Freeze(guest, _) => guest.id,
        }
    }

    /// Reaches the guest, where the job runs it.
    pub(super) fn handle(&self) -> Option<TaskHandle> {
        match self {
            Self::Load { handle, .. } => Some(handle.clone()),
            Self::Step(guest) => Some(guest.task.handle()),
            Self::Freeze(..) => None,
        }
    }
}

/// What a worker has done.
pub(super) enum Report {
    /// It is not due, or not there.
    Stale { id: TaskId, due: Option<u64> },
    /// The guest is in memory from now on.
    Started { id: TaskId, tail: Tail },
    /// It waits, for not very long, or nobody knows for how long.
    Parked(Box<Guest>),
    /// Its turn is over.
    Preempted(Box<Guest>),
    /// It was asked to suspend, and can be written down.
    Asked(Box<Guest>),
    /// To be stored. With a guest, that stays in memory.
    Store {
        update: Box<Update>,
        keeps: Option<Box<Guest>>,
    },
    /// It could not be written down now, and stays in memory.
    Unable {
        guest: Box<Guest>,
        error: String,
        /// It may work later by itself.
        passes: bool,
    },
    /// It could not be taken into memory now, or not be read.
    Trouble { id: TaskId, error: String },
    /// There is no room for it: it waits in the store until there is. It had been loaded, where that is said.
    Crowded { id: TaskId, loaded: bool },
    /// The worker failed; what is stored is all there is.
    Lost { id: TaskId },
}
