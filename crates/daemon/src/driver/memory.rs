//! Memory: who is put to sleep for it, and who waits for it.

use std::time::{Duration, Instant};

use super::super::budget::{resident, trim::trim};
use super::{Driver, INSTANCES};
use crate::model::{Event, TaskId, TaskState, When};

/// While guests run, it is looked so often how much memory the process has.
pub(super) const WEIGH: Duration = Duration::from_millis(50);

/// The allocator is told to give memory back so often at most.
const TRIM: Duration = Duration::from_secs(1);

/// An instance with more bytes of memory leaves something to give back.
const MUCH: u64 = 4 << 20;

impl Driver {
    /// Where instances that wait take too much memory or too many places, as many as needed are put to sleep.
    pub(super) fn relieve_memory(&mut self) {
        let limit = self.shared.options.max_warm_memory;
        let used = self.shared.metrics.warm_bytes();
        let mut crowd = self.loaded.saturating_sub(INSTANCES * 3 / 4);
        if used <= limit && crowd == 0 {
            return;
        }
        let parked = self.live.values().filter(|live| {
            let idle = live.state == TaskState::Parked && !live.busy && !live.stubborn;
            idle && !live.handle.is_asked()
        });
        let mut excess = used.saturating_sub(limit);
        for live in parked {
            if excess == 0 && crowd == 0 {
                break;
            }
            excess = excess.saturating_sub(live.memory);
            crowd = crowd.saturating_sub(1);
            live.handle.suspend();
        }
    }

    /// Makes room for those who wait for memory: the largest of those that wait in memory are put to sleep. Where that
    /// cannot help, a guest is given up.
    pub(super) fn make_room(&mut self) {
        let budget = &self.shared.budget;
        let mut shortage = budget.shortage();
        if shortage > 0 {
            let mut idle: Vec<_> = Vec::new();
            for live in self.live.values().filter(|live| live.memory > 0) {
                let parked = live.state == TaskState::Parked && !live.busy;
                match live.handle.is_asked() {
                    // It is on its way.
                    true => shortage = shortage.saturating_sub(live.memory),
                    false if parked && !live.stubborn => idle.push(live),
                    false => {}
                }
            }
            idle.sort_unstable_by_key(|live| std::cmp::Reverse(live.memory));
            for live in idle {
                if shortage == 0 {
                    break;
                }
                shortage = shortage.saturating_sub(live.memory);
                live.handle.suspend();
            }
            budget.settle(|id| {
                let live = self.live.get(&id);
                live.is_some_and(|live| !live.stubborn || live.state != TaskState::Parked)
            });
        }
        if self.weighed.elapsed() >= WEIGH
            && let Some(resident) = resident()
        {
            self.weighed = Instant::now();
            let running = |id| {
                self.live
                    .get(&id)
                    .is_some_and(|live| is_running(live.state))
            };
            // What a compiler has left goes back too.
            if budget.weigh(resident, running) {
                self.freed |= resident > self.trimmed_to + self.trimmed_to / 4 + MUCH;
            }
        }
        if self.freed && self.trimmed.elapsed() >= TRIM {
            (self.freed, self.trimmed) = (false, Instant::now());
            self.trimmed_to = resident().unwrap_or(0);
            tokio::task::spawn_blocking(trim);
        }
    }

    /// An instance has gone.
    pub(super) fn note_freed(&mut self, memory: u64) {
        self.freed |= memory >= MUCH;
    }

    /// There is no memory for a task: it waits in the store.
    pub(super) fn crowd(&mut self, id: TaskId, loaded: bool) {
        if loaded {
            // Its sockets are those of a guest that was given up.
            self.shared.sockets.drop_kept(id);
        }
        self.remember(id, 0);
        self.step(id, Event::Preempt);
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        self.loaded -= usize::from(std::mem::take(&mut live.loaded));
        let asked = !live.asked.is_empty() || !live.waiting.is_empty();
        if asked || self.closing.is_some() {
            return self.release(id, When::NEVER);
        }
        live.crowded = true;
        live.loading = false;
        live.handle = Default::default();
        // What it has written since its last snapshot is not there any more.
        self.shared.enter(id, TaskState::Ready);
        self.admit();
    }

    /// Those are tried again for which there is room.
    pub(super) fn admit(&mut self) {
        for id in self.shared.budget.ready() {
            if let Some(live) = self.live.get_mut(&id)
                && std::mem::take(&mut live.crowded)
            {
                live.loading = true;
                self.queue.push(id);
            }
        }
    }
}

fn is_running(state: TaskState) -> bool {
    state == TaskState::Running
}
