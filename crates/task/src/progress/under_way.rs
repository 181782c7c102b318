//! How far the work on a module is, as data: an observer, another process and a client of the
//! daemon read the same.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::work::Work;

/// A step that takes longer than was expected is taken to take so much more of its time until now.
const OVERDUE: f64 = 0.1;

/// The step of the work on a module that is under way. What has been done of it is computed from
/// the time: nobody has to tell in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Of which work.
    pub work: Work,
    /// The step's name.
    pub step: String,
    /// Another process does it, or another thread, and this one waits for it.
    pub elsewhere: bool,
    /// When the work began, by the system's steady clock, which all processes share.
    pub(super) work_began: Duration,
    /// When the step began, by the same clock.
    pub(super) step_began: Duration,
    /// How long the step is expected to take.
    pub(super) expected: Duration,
    /// How long all that follows is expected to take.
    pub(super) expected_after: Duration,
}

impl UnderWay {
    /// A step of which nobody knows how long it takes.
    pub fn unknown(work: Work, step: &str) -> Self {
        let now = now();
        Self {
            work,
            step: step.into(),
            elsewhere: false,
            work_began: now,
            step_began: now,
            expected: Duration::ZERO,
            expected_after: Duration::ZERO,
        }
    }

    /// Work of which somebody else has said how far it is, just now.
    pub fn reported(work: Work, step: &str, share: f64, left: Duration) -> Self {
        // The time that the done share has taken, if the rest takes `left`.
        let done = share.clamp(0.0, 0.999);
        let took = Duration::try_from_secs_f64(left.as_secs_f64() * done / (1.0 - done));
        let unknown = Self::unknown(work, step);
        Self {
            elsewhere: true,
            work_began: unknown.work_began.saturating_sub(took.unwrap_or_default()),
            expected: left,
            ..unknown
        }
    }

    /// The share of the work that has been done, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.share_at(now())
    }

    /// How long the rest is going to take, as far as can be told.
    pub fn left(&self) -> Duration {
        self.left_at(now())
    }

    /// How long the work has taken until now.
    pub fn took(&self) -> Duration {
        now().saturating_sub(self.work_began)
    }

    fn left_at(&self, now: Duration) -> Duration {
        let taken = now.saturating_sub(self.step_began);
        // It goes on for a while also where it is overdue.
        let here = self.expected.saturating_sub(taken);
        let here = here.max(taken.mul_f64(OVERDUE).min(self.expected));
        here.saturating_add(self.expected_after)
    }

    fn share_at(&self, now: Duration) -> f64 {
        let taken = now.saturating_sub(self.work_began).as_secs_f64();
        let left = self.left_at(now).as_secs_f64();
        match taken + left > 0.0 {
            true => taken / (taken + left),
            false => 0.0,
        }
    }
}

/// The system's steady clock.
pub(super) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // It is never negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_done_grows_and_never_ends_by_itself() {
        let step = UnderWay {
            work: Work::Rewriting,
            step: "asyncify".into(),
            elsewhere: false,
            work_began: 10 * SECOND,
            step_began: 12 * SECOND,
            expected: 6 * SECOND,
            expected_after: 2 * SECOND,
        };
        let at = |seconds: u32| {
            (
                step.share_at(seconds * SECOND),
                step.left_at(seconds * SECOND),
            )
        };
        assert_eq!(at(12), (0.2, 8 * SECOND));
        assert_eq!(at(15), (0.5, 5 * SECOND));
        let mut before = 0.0;
        for seconds in 12..1000 {
            let (share, left) = at(seconds);
            assert!(share > before && share < 1.0, "{share} after {before}");
            assert!(left >= 2 * SECOND, "{left:?}");
            before = share;
        }
    }

    #[test]
    fn what_was_reported_goes_on_from_there() {
        let left = 30 * SECOND;
        let reported = UnderWay::reported(Work::Rewriting, "asyncify", 0.75, left);
        let at = reported.step_began;
        assert_eq!(reported.left_at(at), left);
        assert!((reported.share_at(at) - 0.75).abs() < 1e-9);
        assert!(reported.share_at(at + 10 * SECOND) > 0.75);
    }

    #[test]
    fn the_clock_is_that_of_the_system() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let uptime = uptime.split(' ').next().expect("a number");
        let uptime: f64 = uptime.parse().expect("seconds");
        // It counts the time since the start, as `/proc/uptime` does, but for that in which the
        // machine slept.
        assert!(now().as_secs_f64() <= uptime + 60.0);
        assert!(now() > Duration::ZERO);
    }
}
