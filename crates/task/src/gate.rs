//! A gate before what a guest does outside of itself: calls on files, sockets and host functions.
//!
//! A daemon that shares its store with others may go on with a task only for as long as no other
//! daemon can have taken it. The gate closes by itself at the end of that time, unless it is kept open
//! for longer. So a process that was stopped for a while finds it closed at the first call after that.
//! The clock is `CLOCK_BOOTTIME`, which goes on while a process or its machine is suspended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::MonotonicTime;
use crate::model::clock::since_boot;

/// The gate. It begins closed.
#[derive(Debug, Default)]
pub struct Gate {
    /// Nanoseconds since the machine's start.
    open_until: AtomicU64,
    shut: AtomicBool,
}

impl Gate {
    /// Keeps the gate open until this time since the machine's start, at least.
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
            && since_boot().as_nanos() < self.open_until.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_open_for_as_long_as_it_is_kept_open() {
        const HOUR: Duration = Duration::from_secs(3600);
        let gate = Gate::default();
        assert!(!gate.is_open());
        gate.keep_open(since_boot());
        assert!(!gate.is_open());
        let later = since_boot().saturating_add(HOUR);
        gate.keep_open(later);
        assert!(gate.is_open());
        // An answer that comes late does not shorten it.
        gate.keep_open(since_boot());
        assert!(gate.is_open());
        gate.shut();
        gate.keep_open(later.saturating_add(HOUR));
        assert!(!gate.is_open());
    }
}
