//! What a daemon has in memory of the moves that are under way.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};

use crate::model::{MoveId, TaskId};
use crate::workers::worker::Worker;

/// The most moves that are remembered, until the daemon ends, because they ended before their task
/// was stored here: an offer of one may still be in a connection's buffers.
const REMEMBERED_DEAD_MOVES: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// What a daemon knows of moves that are under way.
pub(crate) struct ActiveMoves {
    /// Tries whether a task that arrives can be resumed here.
    pub(crate) worker: Worker,
    active: Mutex<HashSet<TaskId>>,
    dead: Mutex<LruCache<MoveId, ()>>,
    draining: AtomicBool,
}

impl ActiveMoves {
    pub(crate) fn new(worker: Worker) -> Self {
        Self {
            worker,
            active: Mutex::default(),
            dead: Mutex::new(LruCache::new(REMEMBERED_DEAD_MOVES)),
            draining: AtomicBool::new(false),
        }
    }

    /// Whether the daemon takes no new tasks, because its tasks are being moved away.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// The tasks of which a move is under way.
    pub(crate) fn active(&self) -> MutexGuard<'_, HashSet<TaskId>> {
        self.active.lock()
    }

    /// The moves that ended before their task was stored here.
    pub(crate) fn dead(&self) -> MutexGuard<'_, LruCache<MoveId, ()>> {
        self.dead.lock()
    }
}
