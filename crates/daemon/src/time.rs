//! The daemon's time. What is due is so by a steady clock, which goes on over restarts and which nobody
//! sets; how far the wall clock is ahead of it is looked at again and again.
//!
//! ```text
//!   steady clock  ----------------------------------------->  sleeps, restarts, limits of time
//!        + ahead                 | the wall clock is set:
//!   wall clock    ------------   | -------------------------  schedules, `--at`, waits for a time of day
//!                                `- their due times are shifted, and schedules judged anew
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::model::When;
use crate::model::clock::{Clock, Mark, Marks, Steady, passed_since};
use crate::store::Stamp;

/// Two clocks that are read one after the other differ by less; a step that is smaller is none, in
/// nanoseconds.
const TOLERANCE: u64 = 20_000_000;

/// What was computed before a step may be stored so long after it, in nanoseconds.
const SETTLED: u64 = 60_000_000_000;

/// Both clocks.
#[derive(Debug)]
pub(super) struct Time {
    steady: Steady,
    /// The number of the store whose clock it is.
    store: u64,
    ahead: AtomicI64,
    /// When the wall clock was last set, by the steady clock; `u64::MAX` if never.
    stepped: AtomicU64,
}

impl Time {
    /// Goes on from what was last stored. A new store's steady clock begins as the wall clock.
    pub(super) fn new(clock: Arc<dyn Clock>, store: u64, last: Option<Stamp>) -> Self {
        let (now, ahead) = match last {
            None => (clock.realtime(), 0),
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

    /// The clocks beneath.
    fn clock(&self) -> &Arc<dyn Clock> {
        self.steady.clock()
    }

    /// The steady clock, in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.steady.now()
    }

    /// The wall clock, as it was when it was last looked at: for who runs it is set for all at once.
    pub(super) fn wall(&self) -> u64 {
        self.to_wall(self.now())
    }

    /// How far the wall clock is ahead.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// What the wall clock shows at a time of the steady one.
    pub(super) fn to_wall(&self, steady: u64) -> u64 {
        steady.saturating_add_signed(self.ahead())
    }

    /// When the wall clock shows a time, by the steady one.
    pub(super) fn to_steady(&self, wall: u64) -> u64 {
        wall.saturating_add_signed(self.ahead().saturating_neg())
    }

    /// When something is due, by the steady clock.
    pub(super) fn due(&self, when: When) -> Option<u64> {
        when.at(self.ahead())
    }

    /// What to store with a change.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            now: self.now(),
            ahead: self.ahead(),
            realtime: self.clock().realtime(),
            machine: self.clock().marks().machine,
        }
    }

    /// Looks whether the wall clock has been set; says by how much, in nanoseconds. From then on the new
    /// time counts.
    pub(super) fn look(&self) -> Option<i64> {
        let (wall, now) = self.both();
        let ahead = i64::try_from(i128::from(wall) - i128::from(now)).unwrap_or(i64::MAX);
        let by = ahead.saturating_sub(self.ahead());
        if by.unsigned_abs() < TOLERANCE {
            return None;
        }
        self.ahead.store(ahead, Ordering::Relaxed);
        self.stepped.store(now, Ordering::Relaxed);
        Some(by)
    }

    /// Whether what is being stored may have been computed before the wall clock was set.
    pub(super) fn is_unsettled(&self) -> bool {
        let stepped = self.stepped.load(Ordering::Relaxed);
        stepped != u64::MAX && self.now().saturating_sub(stepped) < SETTLED
    }

    /// Both clocks at one moment: a thread may be held up between the two.
    fn both(&self) -> (u64, u64) {
        let mut best = (0, 0, u64::MAX);
        for _ in 0..5 {
            let before = self.now();
            let wall = self.clock().realtime();
            let took = self.now() - before;
            if took < best.2 {
                best = (wall, before + took / 2, took);
            }
            if took < TOLERANCE / 20 {
                break;
            }
        }
        (best.0, best.1)
    }
}

/// What tasks are given: the clocks beneath, and the steady one to tell how long they slept.
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
        let appointment = When::wall(NOON + HOUR);
        assert_eq!((time.look(), time.wall()), (None, NOON));
        for set_to in [NOON - 2 * HOUR, NOON + 87_600 * HOUR, NOON] {
            clock.set_realtime(set_to);
            assert!(time.look().is_some());
            assert_eq!(time.look(), None, "it is told once");
            assert_eq!((time.now(), time.wall()), (NOON, set_to));
            assert_eq!(time.due(sleep), Some(NOON + 5 * SECOND));
            let left = (NOON + HOUR).saturating_sub(set_to);
            let due = time.due(appointment).expect("it has a time");
            assert_eq!(due.saturating_sub(time.now()), left);
        }
        assert!(time.is_unsettled());
        clock.advance(2 * SETTLED);
        assert!(!time.is_unsettled());
        // A correction that is too small to matter.
        clock.set_realtime(clock.realtime() + TOLERANCE / 2);
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
            assert_eq!(later.wall(), set_to);
        }
        // After the machine was off for a minute, as far as its clock tells.
        let anew = Arc::new(SimClock::booted(stamp.realtime + 60 * SECOND, 2));
        let later = Time::new(anew, 1, Some(stamp));
        assert_eq!((later.now(), later.look()), (stamp.now + 60 * SECOND, None));
        // One whose clock came up in the past has at least not lost what had passed before.
        let anew = Arc::new(SimClock::booted(SECOND, 3));
        assert_eq!(Time::new(anew, 1, Some(stamp)).now(), stamp.now);
    }
}
