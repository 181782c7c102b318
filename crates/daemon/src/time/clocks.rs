//! The daemon's clocks. Due times are times of a steady clock, which continues over restarts and
//! which nobody sets. How far the wall clock is ahead of it is read again and again.
//!
//! ```text
//!   steady clock  ----------------------------------------->  sleeps, restarts, limits of time
//!        + ahead                 | the wall clock is set:
//!   wall clock    ------------   | -------------------------  schedules, `--at`, waits for a time of day
//!                                `- their due times are shifted, and schedules judged anew
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::clock::{Clock, Mark, Marks, Steady, passed_since};
use crate::model::{MonotonicTime, Timestamp, When};
use crate::store::Stamp;

/// A smaller difference is no step: two clocks that are read one after the other differ by as much.
const SMALLEST_STEP: Duration = Duration::from_millis(20);

/// For so long after a step, what was computed before it may still be stored.
const SET_LATELY: Duration = Duration::from_secs(60);

/// Both clocks.
#[derive(Debug)]
pub(crate) struct Time {
    steady: Steady,
    /// The number of the store whose clock it is.
    store: u64,
    /// In nanoseconds.
    ahead: AtomicI64,
    /// When the wall clock was last set, in nanoseconds of the steady clock; `u64::MAX` if never.
    stepped: AtomicU64,
}

impl Time {
    /// Goes on from what was last stored. A new store's steady clock begins as the wall clock.
    pub(crate) fn new(clock: Arc<dyn Clock>, store: u64, last: Option<Stamp>) -> Self {
        let (now, ahead) = match last {
            None => (MonotonicTime::beginning_as(clock.realtime()), 0),
            Some(last) => {
                let then = Marks {
                    store: None,
                    machine: last.machine,
                };
                let off = passed_since(last.realtime, then, &*clock);
                (last.now.saturating_add(off), last.ahead)
            }
        };
        Self {
            steady: Steady::new(clock, now),
            store,
            ahead: AtomicI64::new(ahead),
            stepped: AtomicU64::new(u64::MAX),
        }
    }

    /// The clocks of the system.
    fn clock(&self) -> &Arc<dyn Clock> {
        self.steady.clock()
    }

    /// The steady clock.
    pub(crate) fn now(&self) -> MonotonicTime {
        self.steady.now()
    }

    /// The wall clock, by the difference that was last read: so a step happens for all tasks at
    /// once.
    pub(crate) fn wall(&self) -> Timestamp {
        self.to_wall(self.now())
    }

    /// How far the wall clock is ahead of the steady one, in nanoseconds.
    pub(crate) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// The time of the wall clock at a time of the steady one.
    pub(crate) fn to_wall(&self, steady: MonotonicTime) -> Timestamp {
        Timestamp::from_nanos(steady.as_nanos().saturating_add_signed(self.ahead()))
    }

    /// The time of the steady clock at a time of the wall clock.
    pub(crate) fn to_steady(&self, wall: Timestamp) -> MonotonicTime {
        let wall = wall.as_nanos();
        MonotonicTime::from_nanos(wall.saturating_add_signed(self.ahead().saturating_neg()))
    }

    /// When something is due, by the steady clock.
    pub(crate) fn due(&self, when: When) -> Option<MonotonicTime> {
        when.at(self.ahead())
    }

    /// The stamp to store with a change.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            now: self.now(),
            ahead: self.ahead(),
            realtime: self.clock().realtime(),
            machine: self.clock().marks().machine,
        }
    }

    /// Compares the clocks; returns by how many nanoseconds the wall clock has been set, if it was.
    /// From then on the new time counts.
    pub(crate) fn look(&self) -> Option<i64> {
        let (wall, now) = self.both();
        let ahead = i64::try_from(i128::from(wall.as_nanos()) - i128::from(now.as_nanos()))
            .unwrap_or(i64::MAX);
        let by = ahead.saturating_sub(self.ahead());
        if Duration::from_nanos(by.unsigned_abs()) < SMALLEST_STEP {
            return None;
        }
        self.ahead.store(ahead, Ordering::Relaxed);
        self.stepped.store(now.as_nanos(), Ordering::Relaxed);
        Some(by)
    }

    /// Whether what is being stored may have been computed before the wall clock was set.
    pub(crate) fn was_set_lately(&self) -> bool {
        let stepped = self.stepped.load(Ordering::Relaxed);
        let since = MonotonicTime::from_nanos(stepped);
        stepped != u64::MAX && self.now().saturating_duration_since(since) < SET_LATELY
    }

    /// Both clocks at one moment. A thread may be held up between the two reads, so that the
    /// closest pair of a few counts.
    fn both(&self) -> (Timestamp, MonotonicTime) {
        let mut best = (Timestamp::EPOCH, MonotonicTime::ZERO, Duration::MAX);
        for _ in 0..5 {
            let before = self.now();
            let wall = self.clock().realtime();
            let took = self.now().saturating_duration_since(before);
            if took < best.2 {
                best = (wall, before.saturating_add(took / 2), took);
            }
            if took < SMALLEST_STEP / 20 {
                break;
            }
        }
        (best.0, best.1)
    }
}

/// The clocks that tasks are given: those of the system, with the steady clock's mark, by which a
/// task knows how long it slept.
impl Clock for Time {
    fn realtime(&self) -> Timestamp {
        self.clock().realtime()
    }

    fn monotonic(&self) -> MonotonicTime {
        self.clock().monotonic()
    }

    fn marks(&self) -> Marks {
        let (of, at) = (self.store, self.now());
        Marks {
            store: Some(Mark { of, at }),
            ..self.clock().marks()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::SimClock;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const DECADE: Duration = Duration::from_secs(87_600 * 3600);
    const NOON: Timestamp = Timestamp::from_nanos(1_800_000_000 * 1_000_000_000);
    const BEGUN: MonotonicTime = MonotonicTime::beginning_as(NOON);

    fn two_hours_back() -> Timestamp {
        NOON.checked_sub(2 * HOUR).expect("after 1970")
    }

    #[test]
    fn what_sleeps_is_not_moved_when_the_wall_clock_is_set() {
        let clock = Arc::new(SimClock::at(NOON));
        let time = Time::new(clock.clone(), 1, None);
        let later = BEGUN.saturating_add(5 * SECOND);
        let (sleep, noon) = (When::steady(later), NOON.saturating_add(HOUR));
        let appointment = When::wall(noon);
        assert_eq!((time.now(), time.look(), time.wall()), (BEGUN, None, NOON));
        for set_to in [two_hours_back(), NOON.saturating_add(DECADE), NOON] {
            clock.set_realtime(set_to);
            assert!(time.look().is_some());
            assert_eq!(time.look(), None, "it is told once");
            assert_eq!((time.now(), time.wall()), (BEGUN, set_to));
            assert_eq!(time.due(sleep), Some(later));
            let left = noon.saturating_duration_since(set_to);
            let due = time.due(appointment).expect("it has a time");
            assert_eq!(due.saturating_duration_since(time.now()), left);
        }
        assert!(time.was_set_lately());
        clock.advance(2 * SET_LATELY);
        assert!(!time.was_set_lately());
        // A correction that is too small to matter.
        clock.set_realtime(clock.realtime().saturating_add(SMALLEST_STEP / 2));
        assert_eq!(time.look(), None);
    }

    #[test]
    fn it_goes_on_over_a_restart_whatever_became_of_the_wall_clock() {
        let clock = Arc::new(SimClock::booted(NOON, 1));
        let begun = clock.monotonic();
        let time = Time::new(clock.clone(), 1, None);
        clock.advance(SECOND);
        let stamp = time.stamp();
        // The daemon is down while the clock is set back, then ahead.
        for set_to in [two_hours_back(), NOON.saturating_add(DECADE)] {
            clock.advance(SECOND);
            clock.set_realtime(set_to);
            let later = Time::new(clock.clone(), 1, Some(stamp));
            let passed = clock.monotonic().saturating_duration_since(begun);
            assert_eq!(later.now(), BEGUN.saturating_add(passed));
            assert!(later.look().is_some());
            assert_eq!(later.wall(), set_to);
        }
        // After the machine was off for a minute, as far as its clock tells.
        let anew = SimClock::booted(stamp.realtime.saturating_add(60 * SECOND), 2);
        let later = Time::new(Arc::new(anew), 1, Some(stamp));
        let now = stamp.now.saturating_add(60 * SECOND);
        assert_eq!((later.now(), later.look()), (now, None));
        // One whose clock came up in the past has at least not lost what had passed before.
        let anew = SimClock::booted(Timestamp::EPOCH.saturating_add(SECOND), 3);
        assert_eq!(Time::new(Arc::new(anew), 1, Some(stamp)).now(), stamp.now);
    }
}
