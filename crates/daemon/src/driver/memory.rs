//! Memory: which tasks are put to sleep to free some, and which wait for it.

use std::time::Duration;

use tokio::time::Instant;

use crate::driver::{Driver, MOST_INSTANCES, WEIGH_EVERY};
use crate::memory::machine::resident;
use crate::memory::trim::trim;
use crate::model::{Event, TaskId, TaskState, When};

/// The shortest time between two returns of the allocator's free memory to the system.
const TRIM_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// An instance of at least this many bytes makes it worth to return free memory to the system.
const WORTH_TRIMMING_BYTES: u64 = 4 << 20;

impl Driver {
    /// Where instances that wait take too much memory or too many places, as many as needed are put
    /// to sleep.
    pub(super) fn relieve_memory(&mut self) {
        let limit = self.shared.options.max_warm_memory;
        let used = self.shared.metrics.warm_bytes();
        let mut crowd = self.loaded.saturating_sub(MOST_INSTANCES * 3 / 4);
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

    /// Makes room for tasks that wait for memory: of the guests that are parked, the largest are
    /// put to sleep. Where that cannot help, a guest is evicted.
    pub(super) fn make_room(&mut self) {
        let budget = &self.shared.budget;
        let mut shortage = budget.shortage();
        if shortage > 0 {
            let mut idle: Vec<_> = Vec::new();
            for live in self.live.values().filter(|live| live.memory > 0) {
                let parked = live.state == TaskState::Parked && !live.busy;
                match live.handle.is_asked() {
                    // It is being put to sleep.
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
            budget.evict_blocked(|id| {
                let live = self.live.get(&id);
                live.is_some_and(|live| !live.stubborn || live.state != TaskState::Parked)
            });
        }
        if self.weighed.elapsed() >= WEIGH_EVERY
            && let Some(resident) = resident()
        {
            self.weighed = Instant::now();
            let running = |id| {
                self.live
                    .get(&id)
                    .is_some_and(|live| is_running(live.state))
            };
            // Memory that a compiler has left is given back too.
            if budget.check_resident(resident, running) {
                self.freed |=
                    resident > self.trimmed_to + self.trimmed_to / 4 + WORTH_TRIMMING_BYTES;
            }
        }
        if self.freed && self.trimmed.elapsed() >= TRIM_AT_MOST_EVERY {
            (self.freed, self.trimmed) = (false, Instant::now());
            self.trimmed_to = resident().unwrap_or(0);
            self.outside.run(Box::new(trim));
        }
    }

    /// An instance was dropped.
    pub(super) fn note_freed(&mut self, memory: u64) {
        self.freed |= memory >= WORTH_TRIMMING_BYTES;
    }

    /// There is no memory for a task, which waits in the store.
    pub(super) fn crowd(&mut self, id: TaskId, loaded: bool) {
        if loaded {
            // Its sockets are those of a guest that was evicted.
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
        // The output since its last snapshot is dropped.
        self.shared.enter(id, TaskState::Ready);
        self.admit();
    }

    /// Queues the tasks for which there is room now.
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
