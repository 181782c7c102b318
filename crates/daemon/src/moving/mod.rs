//! Tasks that move from one daemon to another: what each side keeps of it, so that at any time exactly
//! one of them has the task. How the two talk is `server/peer`'s.
//!
//! ```text
//!   source                                     target
//!   hibernated, parked, …                      (nothing)
//!      | stopped, its snapshot stored
//!      v
//!   moving    [Giving] ------- offer ------->  arriving  [Held]      does not run
//!      |  \                                       |  \
//!      |   `- any failure, any restart            |   `- the source says: it stayed here
//!      |        hibernated [Returned] - drop ->   |        (nothing)
//!      | held                                     |
//!      v                                          |
//!   moved     [Given]  ------- take -------->  hibernated, paused [Taken]
//!      |                                          |
//!      | taken                                    |
//!      v                                          |
//!   moved     (nothing) ------ settled ----->  (nothing remembered)
//! ```
//!
//! The words in brackets are records in the store ([`TransferStep`]), written in one transaction with the
//! task. The one commit that makes the record `Given` passes the task on: before it the source alone
//! decides, and takes the task back after any failure without asking anybody; after it the source never
//! runs the task again, and the target, which held it durably before, asks and is told until it knows.

mod change;
mod decide;
mod hold;
mod leave;
mod offer;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::guest::Worker;
use crate::model::{TaskId, TransferId};

pub(super) use change::{Move, Step};
pub use decide::{Claim, Standing};
pub use hold::{Blob, Considered, Grants};
use offer::OfferedPiece;
pub(super) use offer::OfferedSnapshot;
pub use offer::{Formats, Inquiry, Offer};

/// So many moves that ended without us are remembered until the daemon ends: an offer of one of them may
/// still lie in a connection's buffers.
#[expect(clippy::expect_used, reason = "the compiler evaluates it")]
const DEAD: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// Where a task has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedTo {
    /// Which daemon.
    pub daemon: String,
    /// Where that is.
    pub address: String,
    /// The task's number there.
    pub task: u64,
    /// The other daemon has said that it knows.
    pub settled: bool,
    /// The move.
    #[serde(default)]
    pub transfer: Option<TransferId>,
}

/// What is known of a move, beside what the store knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The other daemon.
    pub daemon: String,
    /// Where that is; empty where it did not say.
    pub address: String,
    /// The task was paused, and is to be so again.
    pub paused: bool,
    /// The task's number at the other side, where it is known.
    pub theirs: u64,
    /// When an operator decided where the task is, in nanoseconds since the Unix epoch.
    #[serde(default)]
    pub decided: Option<u64>,
    /// Why the task is set aside.
    #[serde(default)]
    pub why: Option<String>,
}

/// What a daemon knows of moves that are under way.
pub(super) struct Moving {
    worker: Worker,
    active: Mutex<HashSet<TaskId>>,
    dead: Mutex<LruCache<TransferId, ()>>,
    draining: AtomicBool,
}

impl Moving {
    /// `worker` is asked whether what arrives can be resumed here.
    pub(super) fn new(worker: Worker) -> Self {
        Self {
            worker,
            active: Mutex::default(),
            dead: Mutex::new(LruCache::new(DEAD)),
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

    fn dead(&self) -> MutexGuard<'_, LruCache<TransferId, ()>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
