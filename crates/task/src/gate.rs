//! A gate before what a guest does outside of itself: calls on files, sockets and host functions.
//!
//! A daemon that shares its store with others may go on with a task only for as long as no other
//! daemon can have taken it. The gate closes by itself at the end of that time, unless it is kept open
//! for longer. So a process that was stopped for a while finds it closed at the first call after that.
//! Its clock goes on while a process or its machine is suspended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::MonotonicTime;
use crate::model::clock::Clock;

/// The gate. It begins closed.
#[derive(Debug)]
pub struct Gate {
    clock: Arc<dyn Clock>,
    /// Nanoseconds of the monotonic clock.
    open_until: AtomicU64,
    shut: AtomicBool,
}

impl Gate {
    /// A gate by this monotonic clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            open_until: AtomicU64::new(0),
            shut: AtomicBool::new(false),
        }
    }

    /// Keeps the gate open until this time of the monotonic clock, at least.
    pub fn keep_open(&self, until: MonotonicTime) {
        self.open_until
            .fetch_max(until.as_nanos(), Ordering::SeqCst);
    }

    /// Closes the gate for good.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Whether it is open now.
    pub fn is_open(&self) -> bool {
        !self.shut.load(Ordering::SeqCst)
            && self.clock.monotonic().as_nanos() < self.open_until.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Timestamp;
    use crate::model::clock::SimClock;

    #[test]
    fn it_is_open_for_as_long_as_it_is_kept_open() {
        const SECOND: Duration = Duration::from_secs(1);
        let clock = Arc::new(SimClock::at(Timestamp::EPOCH));
        let gate = Gate::new(clock.clone());
        assert!(!gate.is_open());
        let soon = clock.monotonic().saturating_add(2 * SECOND);
        gate.keep_open(soon);
        assert!(gate.is_open());
        // An answer that comes late does not shorten it.
        gate.keep_open(clock.monotonic());
        clock.advance(SECOND);
        assert!(gate.is_open());
        clock.advance(SECOND);
        assert!(!gate.is_open());
        gate.keep_open(soon.saturating_add(SECOND));
        assert!(gate.is_open());
        gate.shut();
        gate.keep_open(soon.saturating_add(3600 * SECOND));
        assert!(!gate.is_open());
    }
}
