//! A guest's clocks over the host's.

use std::sync::Arc;
use std::time::Duration;

use dormouse_model::clock::{Clock, Marks, Steady, passed_since};
use dormouse_model::{ClockId, Deadline, MonotonicTime, Timestamp};
use serde::{Deserialize, Serialize};

use dormouse_model::spec::Clocks;

/// Where a guest's clocks stood at a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockV1 {
    /// The guest's monotonic clock.
    pub monotonic: MonotonicTime,
    /// The wall clock.
    pub realtime: Timestamp,
    /// The same moment by clocks that cannot be set.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub marks: Marks,
}

/// The virtual time of a guest at a suspend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualTimeV1 {
    /// How much of it has passed, which is what the guest's monotonic clock shows: its zero is the
    /// guest's start.
    pub passed: MonotonicTime,
    /// When the last wait began, by the monotonic clock that deadlines are measured on.
    pub waits_since: MonotonicTime,
}

/// When virtual time begins for every guest: at the first second of the year 2000.
const VIRTUAL_START: Timestamp = Timestamp::from_nanos(946_684_800_000_000_000);

/// How far virtual time moves when it is read, so that a guest which waits by reading the clock
/// comes to an end.
const VIRTUAL_TICK: Duration = Duration::from_micros(1);

/// The guest's clocks over the host's. The monotonic one counts the time asleep.
///
/// Deadlines are measured by the host's clocks, also for a guest with virtual time.
#[derive(Debug)]
pub(crate) struct GuestClock {
    virtual_time: Option<VirtualTimeV1>,
    host: Arc<dyn Clock>,
    /// The guest's monotonic clock when the host's showed `host_base`.
    guest_base: MonotonicTime,
    /// The host's monotonic clock when this was made.
    host_base: MonotonicTime,
}

impl GuestClock {
    /// The clocks of a new guest.
    pub(crate) fn new(host: Arc<dyn Clock>, clocks: Option<Clocks>) -> Self {
        let host_base = host.monotonic();
        Self {
            virtual_time: (clocks == Some(Clocks::Virtual)).then(VirtualTimeV1::default),
            guest_base: host_base,
            host_base,
            host,
        }
    }

    /// The clocks of a resumed guest. The time asleep has passed, as far as it can be known.
    pub(crate) fn restore(host: Arc<dyn Clock>, saved: ClockV1) -> Self {
        let asleep = passed_since(saved.realtime, saved.marks, &*host);
        Self {
            virtual_time: None,
            guest_base: saved.monotonic.saturating_add(asleep),
            host_base: host.monotonic(),
            host,
        }
    }

    /// Decides whether a resumed guest has virtual time. The bindings say it, or else it is as
    /// before. A change from one to the other does not set the monotonic clock back.
    pub(crate) fn restore_virtual_time(
        &mut self,
        clocks: Option<Clocks>,
        saved: Option<VirtualTimeV1>,
    ) {
        let now = self.monotonic();
        let begin_now = || VirtualTimeV1 {
            passed: now,
            waits_since: now,
        };
        self.virtual_time = match clocks {
            None => saved,
            Some(Clocks::Virtual) => Some(saved.unwrap_or_else(begin_now)),
            Some(Clocks::Host) => {
                let passed = saved.map_or(MonotonicTime::ZERO, |saved| saved.passed);
                self.guest_base = self.guest_base.max(passed);
                None
            }
        };
    }

    /// Where the clocks stand now, for a snapshot.
    pub(crate) fn save(&self) -> ClockV1 {
        ClockV1 {
            monotonic: self.monotonic(),
            realtime: self.host.realtime(),
            marks: self.host.marks(),
        }
    }

    /// The guest's virtual time, for a snapshot.
    pub(crate) fn save_virtual_time(&self) -> Option<VirtualTimeV1> {
        self.virtual_time
    }

    /// A clock that shows the host's wall-clock time now and cannot be set.
    pub(crate) fn steady(&self) -> Steady {
        let begins = MonotonicTime::beginning_as(self.host.realtime());
        Steady::new(self.host.clone(), begins)
    }

    /// What the monotonic clock shows without virtual time. Deadlines are measured by it.
    pub(crate) fn monotonic(&self) -> MonotonicTime {
        let since = self.host.monotonic();
        let since = since.saturating_duration_since(self.host_base);
        self.guest_base.saturating_add(since)
    }

    /// What the monotonic clock shows to the guest.
    pub(crate) fn shown_monotonic(&self) -> MonotonicTime {
        let time = self.virtual_time;
        time.map_or_else(|| self.monotonic(), |time| time.passed)
    }

    /// The moment that the wall clock shows to the guest.
    pub(crate) fn wall(&self) -> Timestamp {
        match &self.virtual_time {
            None => self.host.realtime(),
            Some(time) => {
                let passed = time.passed.saturating_duration_since(MonotonicTime::ZERO);
                VIRTUAL_START.saturating_add(passed)
            }
        }
    }

    /// The guest reads a clock, in nanoseconds, which moves virtual time.
    pub(crate) fn read_nanos(&mut self, clock: ClockId) -> u64 {
        if let Some(time) = &mut self.virtual_time {
            time.passed = time.passed.saturating_add(VIRTUAL_TICK);
        }
        match clock {
            ClockId::Realtime => self.wall().as_nanos(),
            ClockId::Monotonic => self.shown_monotonic().as_nanos(),
        }
    }

    /// The clocks' resolution.
    pub(crate) fn resolution(&self) -> Duration {
        match self.virtual_time {
            None => Duration::from_nanos(1),
            Some(_) => VIRTUAL_TICK,
        }
    }

    /// The deadline at which a clock shows so many nanoseconds to the guest.
    pub(crate) fn deadline(&self, clock: ClockId, nanoseconds: u64) -> Deadline {
        let (wall, monotonic) = (
            Timestamp::from_nanos(nanoseconds),
            MonotonicTime::from_nanos(nanoseconds),
        );
        match (self.virtual_time, clock) {
            (None, ClockId::Realtime) => Deadline::Realtime(wall),
            (None, ClockId::Monotonic) => Deadline::Monotonic(monotonic),
            (Some(_), ClockId::Realtime) => {
                self.deadline_after(wall.saturating_duration_since(self.wall()))
            }
            (Some(_), ClockId::Monotonic) => {
                self.deadline_after(monotonic.saturating_duration_since(self.shown_monotonic()))
            }
        }
    }

    /// The deadline after `timeout`, which counts from now, or in virtual time from the start of the
    /// wait. As POSIX says, setting the wall clock does not change a relative sleep.
    pub(crate) fn deadline_after(&self, timeout: Duration) -> Deadline {
        let begun = match &self.virtual_time {
            None => self.monotonic(),
            Some(time) => time.waits_since,
        };
        Deadline::Monotonic(begun.saturating_add(timeout))
    }

    /// The deadline after `timeout`, which counts from now, with virtual time as without.
    pub(crate) fn host_deadline_after(&self, timeout: Duration) -> Deadline {
        Deadline::Monotonic(self.monotonic().saturating_add(timeout))
    }

    /// The latest deadline that may count as passed; `None` where all may. In virtual time a wait
    /// ends at the first of its deadlines, even if the host is so late that others have passed, too.
    pub(crate) fn last_to_count(
        &self,
        deadlines: impl Iterator<Item = Deadline>,
    ) -> Option<MonotonicTime> {
        let monotonic = deadlines.filter_map(|deadline| match deadline {
            Deadline::Monotonic(at) => Some(at),
            Deadline::Realtime(_) => None,
        });
        monotonic.min().filter(|_| self.virtual_time.is_some())
    }

    /// A wait begins. Its deadlines are made after this call.
    pub(crate) fn begin_wait(&mut self) {
        let now = self.monotonic();
        if let Some(time) = &mut self.virtual_time {
            time.waits_since = now;
        }
    }

    /// A wait has ended. If it was by a deadline at this moment, virtual time moves there.
    pub(crate) fn end_wait(&mut self, at: MonotonicTime) {
        if at > self.monotonic() {
            return;
        }
        if let Some(time) = &mut self.virtual_time {
            let waited = at.saturating_duration_since(time.waits_since);
            time.waits_since = time.waits_since.saturating_add(waited);
            time.passed = time.passed.saturating_add(waited);
        }
    }

    /// The time until a deadline; zero once it has passed.
    pub(crate) fn until(&self, deadline: Deadline) -> Duration {
        match deadline {
            Deadline::Realtime(at) => at.saturating_duration_since(self.host.realtime()),
            Deadline::Monotonic(at) => at.saturating_duration_since(self.monotonic()),
        }
    }

    /// What the wall clock is going to show at a deadline, as far as is known now.
    pub(crate) fn on_wall(&self, deadline: Deadline) -> Timestamp {
        match deadline {
            Deadline::Realtime(at) => at,
            Deadline::Monotonic(_) => self.host.realtime().saturating_add(self.until(deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::clock::SimClock;

    const ASLEEP: Duration = Duration::from_nanos(70);

    fn wall(nanoseconds: u64) -> Timestamp {
        Timestamp::from_nanos(nanoseconds)
    }

    #[test]
    fn time_asleep_counts_and_time_never_goes_back() {
        let before = Arc::new(SimClock::at(wall(1_000_000)));
        let clock = GuestClock::new(before.clone(), None);
        before.advance(Duration::from_nanos(500));
        let saved = clock.save();

        let later = Arc::new(SimClock::at(saved.realtime.saturating_add(ASLEEP)));
        let later = GuestClock::restore(later, saved);
        assert_eq!(later.monotonic(), saved.monotonic.saturating_add(ASLEEP));

        let set_back = GuestClock::restore(Arc::new(SimClock::at(wall(5))), saved);
        assert_eq!(set_back.monotonic(), saved.monotonic);
    }

    /// Setting the wall clock once changed how much time counted as asleep.
    #[test]
    fn setting_the_wall_clock_leaves_the_time_asleep_alone() {
        let host = Arc::new(SimClock::booted(wall(1_000_000), 7));
        let saved = GuestClock::new(host.clone(), None).save();
        let begun = host.monotonic();
        for set_to in [5, 900_000_000] {
            host.advance(ASLEEP);
            host.set_realtime(wall(set_to));
            let later = GuestClock::restore(host.clone(), saved);
            let asleep = host.monotonic().saturating_duration_since(begun);
            assert_eq!(later.monotonic(), saved.monotonic.saturating_add(asleep));
        }
        // After the machine has been started anew, the wall clock is all there is.
        let anew = SimClock::booted(saved.realtime.saturating_add(ASLEEP), 8);
        let later = GuestClock::restore(Arc::new(anew), saved);
        assert_eq!(later.monotonic(), saved.monotonic.saturating_add(ASLEEP));
    }
}
