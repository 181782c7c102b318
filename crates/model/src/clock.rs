//! Time is always injected: everything that reads a clock takes a [`Clock`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::{MonotonicTime, Timestamp};

/// The clocks of the host.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock. May jump when the administrator sets the time.
    fn realtime(&self) -> Timestamp;
    /// A clock that never goes back, and counts the time that the machine is suspended. Its zero is
    /// some moment in this process.
    fn monotonic(&self) -> MonotonicTime;
    /// This moment by clocks that nobody sets, for other processes to compare.
    fn marks(&self) -> Marks {
        Marks::default()
    }
}

/// A moment by clocks that nobody sets, as far as there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// By the steady clock of a daemon's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Mark>,
    /// By the time since the machine was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Mark>,
}

/// A moment by one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which clock: of which store, or of which start of which machine.
    pub of: u64,
    /// When, by that clock.
    pub at: MonotonicTime,
}

impl Marks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How much time has passed since a moment that was saved. A clock that nobody sets tells if there
/// is one of then that is there now; else the wall clock, and one that has been set back tells
/// nothing.
pub fn passed_since(realtime: Timestamp, then: Marks, clock: &dyn Clock) -> Duration {
    let now = clock.marks();
    let between = |then: Option<Mark>, now: Option<Mark>| match (then, now) {
        (Some(then), Some(now)) if then.of == now.of => {
            Some(now.at.saturating_duration_since(then.at))
        }
        _ => None,
    };
    between(then.store, now.store)
        .or_else(|| between(then.machine, now.machine))
        .unwrap_or_else(|| clock.realtime().saturating_duration_since(realtime))
}

/// A clock that nobody sets: it continues from what it showed by the monotonic one.
#[derive(Clone, Debug)]
pub struct Steady {
    clock: Arc<dyn Clock>,
    /// What it showed when the monotonic clock stood at `since`.
    shown: MonotonicTime,
    since: MonotonicTime,
}

impl Steady {
    /// A clock that shows this now.
    pub fn new(clock: Arc<dyn Clock>, shown: MonotonicTime) -> Self {
        Self {
            since: clock.monotonic(),
            clock,
            shown,
        }
    }

    /// What it shows now.
    pub fn now(&self) -> MonotonicTime {
        let passed = self.clock.monotonic().saturating_duration_since(self.since);
        self.shown.saturating_add(passed)
    }

    /// The clocks beneath it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: MonotonicTime,
    boot: Option<u64>,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    pub fn new() -> Self {
        Self {
            start: since_boot(),
            boot: which_boot(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn realtime(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn monotonic(&self) -> MonotonicTime {
        let passed = since_boot().saturating_duration_since(self.start);
        MonotonicTime::ZERO.saturating_add(passed)
    }

    fn marks(&self) -> Marks {
        let at = since_boot();
        Marks {
            store: None,
            machine: self.boot.map(|of| Mark { of, at }),
        }
    }
}

/// `CLOCK_BOOTTIME`: unlike `CLOCK_MONOTONIC` it continues while the machine is suspended. Its zero
/// is the machine's start.
pub fn since_boot() -> MonotonicTime {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    MonotonicTime::ZERO.saturating_add(Duration::new(seconds, nanoseconds))
}

/// A number of this start of the machine. Processes in another time namespace count from another
/// moment, so that the namespace is part of it. A snapshot that travels does not tell the machine's
/// own number, only a digest of it.
fn which_boot() -> Option<u64> {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&boot);
    hasher.update(namespace.as_os_str().as_encoded_bytes());
    let digest = hasher.finalize();
    let first = digest.as_bytes().first_chunk::<8>()?;
    Some(u64::from_le_bytes(*first))
}

/// A clock that moves only when told to, for tests and simulations.
#[derive(Debug, Default)]
pub struct SimClock {
    /// Nanoseconds since the Unix epoch.
    realtime: AtomicU64,
    /// Nanoseconds since this was made.
    monotonic: AtomicU64,
    boot: Option<u64>,
}

impl SimClock {
    /// A clock that shows this.
    pub fn at(realtime: Timestamp) -> Self {
        Self {
            realtime: AtomicU64::new(realtime.as_nanos()),
            monotonic: AtomicU64::new(0),
            boot: None,
        }
    }

    /// The same for a start of a machine that is known by a number.
    pub fn booted(realtime: Timestamp, boot: u64) -> Self {
        Self {
            boot: Some(boot),
            ..Self::at(realtime)
        }
    }

    /// Moves both clocks on. What has no room in nanoseconds is cut.
    pub fn advance(&self, span: Duration) {
        let nanoseconds = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.realtime.fetch_add(nanoseconds, Ordering::Relaxed);
        self.monotonic.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Sets the wall clock alone, as an administrator may.
    pub fn set_realtime(&self, realtime: Timestamp) {
        self.realtime.store(realtime.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn realtime(&self) -> Timestamp {
        Timestamp::from_nanos(self.realtime.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> MonotonicTime {
        MonotonicTime::from_nanos(self.monotonic.load(Ordering::Relaxed))
    }

    fn marks(&self) -> Marks {
        let at = self.monotonic();
        Marks {
            store: None,
            machine: self.boot.map(|of| Mark { of, at }),
        }
    }
}
