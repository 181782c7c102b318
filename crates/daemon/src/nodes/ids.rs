//! Numbers for new tasks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::member::Member;
use crate::error::Error as Refused;
use crate::model::TaskId;
use crate::model::error::Error;

/// A node takes at least so many numbers from the store at once. Those that are left when it ends are
/// given to no task.
const TAKEN_AT_ONCE: u64 = 256;

/// Where a daemon's numbers come from.
pub(crate) enum Ids {
    /// The daemon has the store for itself, and counts.
    Counted(AtomicU64),
    /// Several nodes share the store, which gives each of them some.
    Taken {
        member: Arc<Member>,
        left: Mutex<VecDeque<u64>>,
    },
}

/// Numbers for some tasks.
pub(crate) enum Reserved {
    Counted(Arc<Ids>),
    Taken(VecDeque<u64>),
}

impl Ids {
    /// The numbers after the highest that any task has or had.
    pub(crate) fn after(last: TaskId, member: Option<Arc<Member>>) -> Self {
        match member {
            None => Self::Counted(AtomicU64::new(last.0 + 1)),
            Some(member) => Self::Taken {
                member,
                left: Mutex::default(),
            },
        }
    }

    /// Reserves numbers for so many tasks.
    ///
    /// # Errors
    /// If the store has to be asked for more, and cannot be.
    pub(crate) async fn reserve(self: &Arc<Self>, count: usize) -> Result<Reserved, Error> {
        let ids = self.clone();
        match **self {
            Self::Counted(_) => Ok(Reserved::Counted(ids)),
            Self::Taken { .. } => {
                let reserved = tokio::task::spawn_blocking(move || ids.reserve_blocking(count));
                // An error means that the runtime is going down.
                reserved.await.map_err(|_| Refused::Closing)?
            }
        }
    }

    /// The same on a thread that may wait.
    ///
    /// # Errors
    /// If the store has to be asked for more, and cannot be.
    pub(crate) fn reserve_blocking(self: &Arc<Self>, count: usize) -> Result<Reserved, Error> {
        let (member, left) = match &**self {
            Self::Counted(_) => return Ok(Reserved::Counted(self.clone())),
            Self::Taken { member, left } => (member, left),
        };
        let mut reserved: VecDeque<u64> = {
            let mut left = left.lock();
            let count = count.min(left.len());
            left.drain(..count).collect()
        };
        let missing = (count - reserved.len()) as u64;
        if missing > 0 {
            let more = member.take_ids(missing.max(TAKEN_AT_ONCE))?;
            let end = more.start + missing;
            reserved.extend(more.start..end);
            left.lock().extend(end..more.end);
        }
        Ok(Reserved::Taken(reserved))
    }
}

impl Reserved {
    /// The next number. No more are asked for than were reserved.
    pub(crate) fn next(&mut self) -> Option<TaskId> {
        match self {
            Self::Counted(ids) => match &**ids {
                Ids::Counted(next) => Some(TaskId(next.fetch_add(1, Ordering::Relaxed))),
                Ids::Taken { .. } => None,
            },
            Self::Taken(reserved) => reserved.pop_front().map(TaskId),
        }
    }
}
