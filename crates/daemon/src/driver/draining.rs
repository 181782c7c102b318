//! How a node is drained: it takes no new work, puts what it has to sleep, and gives it back, so that
//! others go on with it.

use crate::driver::Driver;
use crate::model::{Event, TaskId, TaskState, When};

impl Driver {
    /// Whether this node is being drained.
    pub(super) fn is_draining(&self) -> bool {
        self.ownership.as_ref().is_some_and(|tasks| tasks.draining)
    }

    /// Begins to drain this node, or ends that.
    pub(super) fn set_draining(&mut self, draining: bool) {
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        tasks.draining = draining;
        match draining {
            // What the store says is looked at once: an answer to a claim may have been lost.
            true => tasks.doubt(),
            false => tasks.claim_soon(),
        }
        if draining {
            self.put_to_sleep();
        }
    }

    /// A turn of a node that is being drained: what is in memory is asked to go to sleep, and what is
    /// not is given back.
    pub(super) fn drain(&mut self) {
        self.put_to_sleep();
        let Some(tasks) = &self.ownership else {
            return;
        };
        let idle = tasks.owned.iter().filter(|id| !self.live.contains_key(id));
        let idle: Vec<TaskId> = idle.copied().collect();
        if !idle.is_empty() {
            self.give_back(idle);
        }
    }

    /// Asks all guests to suspend; those that wait are frozen at once. Tasks that only wait for a
    /// thread are let go.
    pub(super) fn put_to_sleep(&mut self) {
        let live: Vec<TaskId> = self.live.keys().copied().collect();
        for id in live {
            let Some(live) = self.live.get_mut(&id) else {
                continue;
            };
            live.handle.suspend();
            match live.guest.take() {
                Some(guest) => {
                    self.step(id, Event::Start);
                    self.asked(guest);
                }
                None if live.state == TaskState::Ready && !live.busy => {
                    self.release(id, When::NEVER)
                }
                None => {}
            }
        }
    }
}
