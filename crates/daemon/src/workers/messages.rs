//! What a worker is asked for, and what it answers.

use std::time::SystemTime;

use crate::model::{MonotonicTime, TaskId, TaskState};
use crate::store::{Claimed, Insert, OutputPiece, Update};
use crate::task::TaskHandle;
use crate::workers::guest::LoadedTask;
use crate::workers::output::Tail;

/// A task that this node has claimed.
pub(crate) struct ClaimedTask {
    pub(crate) claimed: Claimed,
    /// When the store was asked for due tasks, and when it answered.
    pub(crate) asked: SystemTime,
    pub(crate) answered: SystemTime,
}

/// What a worker is to do.
pub(crate) enum WorkerJob {
    /// Load a task from the store and run it, if it is due or one of its sockets became ready:
    /// `knocked` says when, by the steady clock.
    Load {
        id: TaskId,
        handle: TaskHandle,
        knocked: Option<MonotonicTime>,
        /// What the store said when the task was claimed, and still holds; `None` reads the store.
        claimed: Option<Box<ClaimedTask>>,
    },
    /// Run a task that is in memory.
    Step(Box<LoadedTask>),
    /// Freeze a task, and drop its instance.
    Freeze(Box<LoadedTask>, TaskState),
}

impl WorkerJob {
    pub(crate) fn id(&self) -> TaskId {
        match self {
            Self::Load { id, .. } => *id,
            Self::Step(guest) | Self::Freeze(guest, _) => guest.id,
        }
    }

    /// The handle of the guest, where the job runs it.
    pub(crate) fn handle(&self) -> Option<TaskHandle> {
        match self {
            Self::Load { handle, .. } => Some(handle.clone()),
            Self::Step(guest) => Some(guest.task.handle()),
            Self::Freeze(..) => None,
        }
    }
}

/// What a worker has done.
pub(crate) enum WorkerReport {
    /// The task is not due, or was removed.
    Stale {
        id: TaskId,
        due: Option<MonotonicTime>,
    },
    /// This node has the task, and cannot run it.
    Misplaced { id: TaskId },
    /// The guest is in memory now.
    Started { id: TaskId, tail: Tail },
    /// The guest waits, shortly or for an unknown time.
    Parked(Box<LoadedTask>),
    /// The guest's turn is over.
    Preempted(Box<LoadedTask>),
    /// The guest was asked to suspend, and can be frozen.
    Asked(Box<LoadedTask>),
    /// A change to store. The guest in `keeps` stays in memory.
    Store {
        update: Box<Update>,
        keeps: Option<Box<LoadedTask>>,
    },
    /// The guest could not be frozen, and stays in memory.
    Unable {
        guest: Box<LoadedTask>,
        error: String,
        /// It may work later by itself.
        passes: bool,
    },
    /// The task could not be loaded now, or not be read.
    NotLoaded { id: TaskId, error: String },
    /// There is no room for the task, which waits in the store. `loaded` says that it had been in
    /// memory.
    Crowded { id: TaskId, loaded: bool },
    /// A task whose connections have tasks of their own has accepted some, or listens from now on.
    Accepted {
        /// Its next version.
        update: Box<Update>,
        /// The tasks of the connections.
        connections: Vec<Insert>,
        /// When it is to try again, if connections could not be accepted.
        again: Option<MonotonicTime>,
    },
    /// Somebody waits for a place among a task's connections, and one of them is silent.
    NeedsRoom {
        id: TaskId,
        /// The task of that connection.
        silent: TaskId,
        /// When the listener looks again.
        due: Option<MonotonicTime>,
    },
    /// An instance that answered a request has written this.
    Wrote {
        /// The task that had accepted the connection.
        listener: TaskId,
        output: Vec<OutputPiece>,
    },
    /// The connection has ended whose requests the task has answered.
    ConnectionOver {
        id: TaskId,
        version: u64,
        /// The task that had accepted the connection.
        listener: TaskId,
        /// What was written, and is not the listener's yet.
        output: Vec<OutputPiece>,
    },
    /// The worker failed; the task's row is all there is of it.
    Lost { id: TaskId },
}
