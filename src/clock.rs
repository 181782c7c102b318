//! Time is always injected: everything that reads a clock takes a [`Clock`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The two clocks of the host.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Nanoseconds since the Unix epoch. May jump when the administrator sets the time.
    fn realtime(&self) -> u64;
    /// Nanoseconds since some fixed point in this process. Never goes back.
    fn monotonic(&self) -> u64;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn realtime(&self) -> u64 {
        // A machine whose clock stands before 1970 is treated as standing at 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told to, for tests and simulations.
#[derive(Debug, Default)]
pub struct SimClock {
    realtime: AtomicU64,
    monotonic: AtomicU64,
}

impl SimClock {
    /// A clock at `realtime` nanoseconds since the Unix epoch.
    pub fn at(realtime: u64) -> Self {
        Self {
            realtime: AtomicU64::new(realtime),
            monotonic: AtomicU64::new(0),
        }
    }

    /// Moves both clocks on by `nanoseconds`.
    pub fn advance(&self, nanoseconds: u64) {
        self.realtime.fetch_add(nanoseconds, Ordering::Relaxed);
        self.monotonic.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Sets the wall clock alone, as an administrator may.
    pub fn set_realtime(&self, nanoseconds: u64) {
        self.realtime.store(nanoseconds, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn realtime(&self) -> u64 {
        self.realtime.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> u64 {
        self.monotonic.load(Ordering::Relaxed)
    }
}
