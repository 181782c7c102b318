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

use crate::model::clock::{Clock, Mark, Marks, Steady, passed_since};
use crate::model::{Timestamp, When};
use crate::store::Stamp;

/// A difference of fewer nanoseconds is no step: two clocks that are read one after the other
/// differ by as much.
const SMALLEST_STEP_NANOS: u64 = 20_000_000;

/// For this many nanoseconds after a step, what was computed before it may still be stored.
const UNSETTLED_FOR_NANOS: u64 = 60_000_000_000;

/// Both clocks.
#[derive(Debug)]
pub(crate) struct Time {
    steady: Steady,
    /// The number of the store whose clock it is.
    store: u64,
    ahead: AtomicI64,
    /// When the wall clock was last set, by the steady clock; `u64::MAX` if never.
    stepped: AtomicU64,
}

impl Time {
    /// Goes on from what was last stored. A new store's steady clock begins as the wall clock.
    pub(crate) fn new(clock: Arc<dyn Clock>, store: u64, last: Option<Stamp>) -> Self {
        let (now, ahead) = match last {
            None => (clock.realtime(), 0),
            Some(last) => {
                let then = Marks {
                    store: None,
                    machine: last.machine,
                };
                let off = passed_since(last.realtime.as_nanos(), then, &*clock);
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

    /// The steady clock, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
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
    pub(crate) fn to_wall(&self, steady: u64) -> Timestamp {
        Timestamp::from_nanos(steady.saturating_add_signed(self.ahead()))
    }

    /// The time of the steady clock at a time of the wall clock.
    pub(crate) fn to_steady(&self, wall: Timestamp) -> u64 {
        wall.as_nanos()
            .saturating_add_signed(self.ahead().saturating_neg())
    }

    /// When something is due, by the steady clock.
    pub(crate) fn due(&self, when: When) -> Option<u64> {
        when.at(self.ahead())
    }

    /// The stamp to store with a change.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            now: self.now(),
            ahead: self.ahead(),
            realtime: Timestamp::from_nanos(self.clock().realtime()),
            machine: self.clock().marks().machine,
        }
    }

    /// Compares the clocks; returns by how many nanoseconds the wall clock has been set, if it was.
    /// From then on the new time counts.
    pub(crate) fn look(&self) -> Option<i64> {
        let (wall, now) = self.both();
        let ahead = i64::try_from(i128::from(wall) - i128::from(now)).unwrap_or(i64::MAX);
        let by = ahead.saturating_sub(self.ahead());
        if by.unsigned_abs() < SMALLEST_STEP_NANOS {
            return None;
        }
        self.ahead.store(ahead, Ordering::Relaxed);
        self.stepped.store(now, Ordering::Relaxed);
        Some(by)
    }

    /// Whether what is being stored may have been computed before the wall clock was set.
    pub(crate) fn is_unsettled(&self) -> bool {
        let stepped = self.stepped.load(Ordering::Relaxed);
        stepped != u64::MAX && self.now().saturating_sub(stepped) < UNSETTLED_FOR_NANOS
    }

    /// Both clocks at one moment. A thread may be held up between the two reads, so that the
    /// closest pair of a few counts.
    fn both(&self) -> (u64, u64) {
        let mut best = (0, 0, u64::MAX);
        for _ in 0..5 {
            let before = self.now();
            let wall = self.clock().realtime();
            let took = self.now() - before;
            if took < best.2 {
                best = (wall, before + took / 2, took);
            }
            if took < SMALLEST_STEP_NANOS / 20 {
                break;
            }
        }
        (best.0, best.1)
    }
}

/// The clocks that tasks are given: those of the system, with the steady clock's mark, by which a
/// task knows how long it slept.
impl Clock for Time {
    fn realtime(&self) -> u64 {
        self.clock().realtime()
    }

    fn monotonic(&self) -> u64 {
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

    const SECOND: u64 = 1_000_000_000;
    const HOUR: u64 = 3600 * SECOND;
    const NOON: u64 = 1_800_000_000 * SECOND;

    #[test]
    fn what_sleeps_is_not_moved_when_the_wall_clock_is_set() {
        let clock = Arc::new(SimClock::at(NOON));
        let time = Time::new(clock.clone(), 1, None);
        let sleep = When::steady(time.now() + 5 * SECOND);
        let appointment = When::wall(Timestamp::from_nanos(NOON + HOUR));
        assert_eq!(
            (time.look(), time.wall()),
            (None, Timestamp::from_nanos(NOON))
        );
        for set_to in [NOON - 2 * HOUR, NOON + 87_600 * HOUR, NOON] {
            clock.set_realtime(set_to);
            assert!(time.look().is_some());
            assert_eq!(time.look(), None, "it is told once");
            assert_eq!(
                (time.now(), time.wall()),
                (NOON, Timestamp::from_nanos(set_to))
            );
            assert_eq!(time.due(sleep), Some(NOON + 5 * SECOND));
            let left = (NOON + HOUR).saturating_sub(set_to);
            let due = time.due(appointment).expect("it has a time");
            assert_eq!(due.saturating_sub(time.now()), left);
        }
        assert!(time.is_unsettled());
        clock.advance(2 * UNSETTLED_FOR_NANOS);
        assert!(!time.is_unsettled());
        // A correction that is too small to matter.
        clock.set_realtime(clock.realtime() + SMALLEST_STEP_NANOS / 2);
        assert_eq!(time.look(), None);
    }

    #[test]
    fn it_goes_on_over_a_restart_whatever_became_of_the_wall_clock() {
        let clock = Arc::new(SimClock::booted(NOON, 1));
        let time = Time::new(clock.clone(), 1, None);
        clock.advance(SECOND);
        let stamp = time.stamp();
        // The daemon is down while the clock is set back, then ahead.
        for set_to in [NOON - 2 * HOUR, NOON + 87_600 * HOUR] {
            clock.advance(SECOND);
            clock.set_realtime(set_to);
            let later = Time::new(clock.clone(), 1, Some(stamp));
            assert_eq!(later.now(), NOON + clock.monotonic());
            assert!(later.look().is_some());
            assert_eq!(later.wall(), Timestamp::from_nanos(set_to));
        }
        // After the machine was off for a minute, as far as its clock tells.
        let anew = Arc::new(SimClock::booted(stamp.realtime.as_nanos() + 60 * SECOND, 2));
        let later = Time::new(anew, 1, Some(stamp));
        assert_eq!((later.now(), later.look()), (stamp.now + 60 * SECOND, None));
        // One whose clock came up in the past has at least not lost what had passed before.
        let anew = Arc::new(SimClock::booted(SECOND, 3));
        assert_eq!(Time::new(anew, 1, Some(stamp)).now(), stamp.now);
    }
}
