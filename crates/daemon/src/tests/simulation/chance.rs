//! What a seed draws, and the time that goes with it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::clock::{Clock, Mark, Marks};
use crate::model::{MonotonicTime, Timestamp};

/// Draws from a seed. Its clones draw from the same row of numbers.
#[derive(Clone)]
pub(super) struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A number below this one.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.0.lock().u64(..end)
    }

    /// Whether something happens that happens so often in a hundred times.
    pub(super) fn of(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A span of at least so many milliseconds, and less than so many.
    pub(super) fn milliseconds(&self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.below((to - from) * 1000))
    }

    /// How long a step takes: mostly a few milliseconds, now and then much longer.
    pub(super) fn step(&self) -> Duration {
        match self.below(100) {
            0 => self.milliseconds(100, 3000),
            1..10 => self.milliseconds(10, 100),
            _ => self.milliseconds(0, 10),
        }
    }
}

/// The clocks of a machine in the world: tokio's time, which stands still while anything is done.
#[derive(Debug)]
pub(super) struct WorldClock {
    began: Instant,
    /// How far this machine's wall clock is ahead.
    ahead: Duration,
    /// The number of its start.
    boot: u64,
}

impl WorldClock {
    pub(super) fn new(began: Instant, ahead: Duration, boot: u64) -> Self {
        Self { began, ahead, boot }
    }
}

/// When the worlds begin, in seconds since 1970.
const BEGINNING: u64 = 1_700_000_000;

impl Clock for WorldClock {
    fn realtime(&self) -> Timestamp {
        let since = Duration::from_secs(BEGINNING) + self.ahead + self.began.elapsed();
        Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> MonotonicTime {
        MonotonicTime::ZERO.saturating_add(self.began.elapsed())
    }

    fn marks(&self) -> Marks {
        let at = self.monotonic();
        Marks {
            store: None,
            machine: Some(Mark { of: self.boot, at }),
        }
    }
}
