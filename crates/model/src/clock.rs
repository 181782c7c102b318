//! Time is always injected: everything that reads a clock takes a [`Clock`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The clocks of the host.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Nanoseconds since the Unix epoch. May jump when the administrator sets the time.
    fn realtime(&self) -> u64;
    /// Nanoseconds since some fixed point in this process. Never goes back, and counts the time
    /// that the machine is suspended.
    fn monotonic(&self) -> u64;
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
    /// Nanoseconds.
    pub at: u64,
}

impl Marks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How much time has passed since a moment that was saved, in nanoseconds. A clock that
/// nobody sets tells if there is one of then that is there now; else the wall clock, and one that
/// has been set back tells nothing.
pub fn passed_since(realtime: u64, then: Marks, clock: &dyn Clock) -> u64 {
    let now = clock.marks();
    let between = |then: Option<Mark>, now: Option<Mark>| match (then, now) {
        (Some(then), Some(now)) if then.of == now.of => Some(now.at.saturating_sub(then.at)),
        _ => None,
    };
    between(then.store, now.store)
        .or_else(|| between(then.machine, now.machine))
        .unwrap_or_else(|| clock.realtime().saturating_sub(realtime))
}

/// A clock that nobody sets: it continues from what it showed by the monotonic one.
#[derive(Clone, Debug)]
pub struct Steady {
    clock: Arc<dyn Clock>,
    /// What it showed when the monotonic clock stood at `since`.
    shown: u64,
    since: u64,
}

impl Steady {
    /// A clock that shows this now.
    pub fn new(clock: Arc<dyn Clock>, shown: u64) -> Self {
        Self {
            since: clock.monotonic(),
            clock,
            shown,
        }
    }

    /// Nanoseconds.
    pub fn now(&self) -> u64 {
        let passed = self.clock.monotonic().saturating_sub(self.since);
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
    start: u64,
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
    fn realtime(&self) -> u64 {
        // A machine whose clock stands before 1970 is treated as standing at 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> u64 {
        since_boot().saturating_sub(self.start)
    }

    fn marks(&self) -> Marks {
        let at = since_boot();
        Marks {
            store: None,
            machine: self.boot.map(|of| Mark { of, at }),
        }
    }
}

/// `CLOCK_BOOTTIME`: unlike `CLOCK_MONOTONIC` it continues while the machine is suspended.
fn since_boot() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
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
    realtime: AtomicU64,
    monotonic: AtomicU64,
    boot: Option<u64>,
}

impl SimClock {
    /// A clock at `realtime` nanoseconds since the Unix epoch.
    pub fn at(realtime: u64) -> Self {
        Self {
            realtime: AtomicU64::new(realtime),
            monotonic: AtomicU64::new(0),
            boot: None,
        }
    }

    /// The same for a start of a machine that is known by a number.
    pub fn booted(realtime: u64, boot: u64) -> Self {
        Self {
            boot: Some(boot),
            ..Self::at(realtime)
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

    fn marks(&self) -> Marks {
        let at = self.monotonic();
        Marks {
            store: None,
            machine: self.boot.map(|of| Mark { of, at }),
        }
    }
}
