//! Tasks that move from one daemon to another: what source and target store of a move, so that
//! exactly one of them has the task at any time. It is a commit in two phases, in which the source
//! decides. `peers` has how the two talk to each other.
//!
//! ```text
//!   source                                     target
//!   hibernated, parked, …                      (nothing)
//!      | stopped, its snapshot stored
//!      v
//!   moving    [Preparing] ----- offer ------>  arriving  [Prepared]      does not run
//!      |  \                                       |  \
//!      |   `- any failure, any restart            |   `- the source says: aborted
//!      |        hibernated [Aborted] - abort ->   |        (nothing)
//!      | prepared                                 |
//!      v                                          |
//!   moved     [Committed] ----- accept ----->  hibernated, paused [Accepted]
//!      |                                          |
//!      | accepted                                 |
//!      v                                          |
//!   moved     (nothing) ------- forget ----->  (nothing remembered)
//! ```
//!
//! The words in brackets are phases ([`MovePhase`]) of the move's record in the store, which is
//! written in one transaction with the task. The one transaction that makes the phase `Committed`
//! passes the task on. Before it the source alone decides: after any failure it keeps the task
//! without asking. After it the source never runs the task again. The target, which stored the task
//! as prepared before, asks the source until it knows the outcome.

pub(crate) mod decision;
pub(crate) mod details;
pub(crate) mod offer;
mod source;
pub(crate) mod step;
pub(crate) mod target;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::model::{MoveId, TaskId};
use crate::workers::worker::Worker;

/// At most this many moves that ended before their task was held here are remembered until the daemon ends,
/// because an offer of one may still be in a connection's buffers.
const REMEMBERED_DEAD_MOVES: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// What a daemon knows of moves that are under way.
pub(super) struct Moving {
    worker: Worker,
    active: Mutex<HashSet<TaskId>>,
    dead: Mutex<LruCache<MoveId, ()>>,
    draining: AtomicBool,
}

impl Moving {
    /// `worker` tries whether a task that arrives can be resumed here.
    pub(super) fn new(worker: Worker) -> Self {
        Self {
            worker,
            active: Mutex::default(),
            dead: Mutex::new(LruCache::new(REMEMBERED_DEAD_MOVES)),
            draining: AtomicBool::new(false),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    fn active(&self) -> MutexGuard<'_, HashSet<TaskId>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dead(&self) -> MutexGuard<'_, LruCache<MoveId, ()>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
