//! A guest's clocks over the host's.

use std::sync::Arc;
use std::time::Duration;

use dormouse_model::clock::{Clock, Marks, Steady, passed_since};
use dormouse_model::{ClockId, Deadline, Timestamp};
use serde::{Deserialize, Serialize};

use crate::nanoseconds;
use dormouse_model::spec::Clocks;

/// Where a guest's clocks stood at a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockV1 {
    /// The guest's monotonic clock in nanoseconds.
    pub monotonic: u64,
    /// The wall clock.
    pub realtime: Timestamp,
    /// The same moment by clocks that cannot be set.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub marks: Marks,
}

/// The virtual time of a guest at a suspend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualTimeV1 {
    /// How much of it has passed, in nanoseconds. The guest's monotonic clock shows this number.
    pub passed: u64,
    /// When the last wait began, by the clock that deadlines are measured on, in nanoseconds.
    pub waits_since: u64,
}

/// When virtual time begins for every guest: at the first second of the year 2000.
const VIRTUAL_START: Timestamp = Timestamp::from_nanos(946_684_800_000_000_000);

/// How far virtual time moves when it is read, in nanoseconds, so that a guest which waits by
/// reading the clock comes to an end.
const VIRTUAL_TICK_NANOS: u64 = 1_000;

/// The guest's clocks over the host's. The monotonic one counts the time asleep.
///
/// Deadlines are measured by the host's clocks, also for a guest with virtual time.
#[derive(Debug)]
pub(crate) struct GuestClock {
    virtual_time: Option<VirtualTimeV1>,
    host: Arc<dyn Clock>,
    /// The guest's monotonic clock when the host's showed `host_base`, in nanoseconds.
    guest_base: u64,
    /// The host's monotonic clock when this was made, in nanoseconds.
    host_base: u64,
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
        let asleep = passed_since(saved.realtime.as_nanos(), saved.marks, &*host);
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
        let now = self.now(ClockId::Monotonic);
        let begin_now = || VirtualTimeV1 {
            passed: now,
            waits_since: now,
        };
        self.virtual_time = match clocks {
            None => saved,
            Some(Clocks::Virtual) => Some(saved.unwrap_or_else(begin_now)),
            Some(Clocks::Host) => {
                let passed = saved.map_or(0, |saved| saved.passed);
                self.guest_base = self.guest_base.max(passed);
                None
            }
        };
    }

    /// Where the clocks stand now, for a snapshot.
    pub(crate) fn save(&self) -> ClockV1 {
        ClockV1 {
            monotonic: self.now(ClockId::Monotonic),
            realtime: Timestamp::from_nanos(self.host.realtime()),
            marks: self.host.marks(),
        }
    }

    /// The guest's virtual time, for a snapshot.
    pub(crate) fn save_virtual_time(&self) -> Option<VirtualTimeV1> {
        self.virtual_time
    }

    /// A clock that shows the host's wall-clock time now and cannot be set.
    pub(crate) fn steady(&self) -> Steady {
        Steady::new(self.host.clone(), self.host.realtime())
    }

    /// What a clock shows without virtual time, in nanoseconds. Deadlines are measured by it.
    pub(crate) fn now(&self, clock: ClockId) -> u64 {
        match clock {
            ClockId::Realtime => self.host.realtime(),
            ClockId::Monotonic => {
                let since = self.host.monotonic().saturating_sub(self.host_base);
                self.guest_base.saturating_add(since)
            }
        }
    }

    /// What a clock shows to the guest, in nanoseconds.
    pub(crate) fn shown(&self, clock: ClockId) -> u64 {
        match (&self.virtual_time, clock) {
            (None, clock) => self.now(clock),
            (Some(time), ClockId::Monotonic) => time.passed,
            (Some(time), ClockId::Realtime) => VIRTUAL_START.as_nanos().saturating_add(time.passed),
        }
    }

    /// The moment that the wall clock shows to the guest.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_nanos(self.shown(ClockId::Realtime))
    }

    /// The guest reads a clock, which moves virtual time.
    pub(crate) fn read(&mut self, clock: ClockId) -> u64 {
        if let Some(time) = &mut self.virtual_time {
            time.passed = time.passed.saturating_add(VIRTUAL_TICK_NANOS);
        }
        self.shown(clock)
    }

    /// The clocks' resolution in nanoseconds.
    pub(crate) fn resolution_nanos(&self) -> u64 {
        match self.virtual_time {
            None => 1,
            Some(_) => VIRTUAL_TICK_NANOS,
        }
    }

    /// The deadline at which a clock shows `at` to the guest.
    pub(crate) fn deadline(&self, clock: ClockId, at: u64) -> Deadline {
        match self.virtual_time {
            None => Deadline { clock, at },
            Some(_) => self.deadline_after(at.saturating_sub(self.shown(clock))),
        }
    }

    /// The deadline after `timeout` nanoseconds, which count from now, or in virtual time from the
    /// start of the wait. As POSIX says, setting the wall clock does not change a relative sleep.
    pub(crate) fn deadline_after(&self, timeout: u64) -> Deadline {
        let begun = match &self.virtual_time {
            None => self.now(ClockId::Monotonic),
            Some(time) => time.waits_since,
        };
        Deadline {
            clock: ClockId::Monotonic,
            at: begun.saturating_add(timeout),
        }
    }

    /// The deadline after `timeout`, which counts from now, with virtual time as without.
    pub(crate) fn host_deadline_after(&self, timeout: Duration) -> Deadline {
        Deadline {
            clock: ClockId::Monotonic,
            at: self
                .now(ClockId::Monotonic)
                .saturating_add(nanoseconds::of(timeout)),
        }
    }

    /// The latest deadline that may count as passed. In virtual time a wait ends at the first of
    /// its deadlines, even if the host is so late that others have passed, too.
    pub(crate) fn last_to_count(&self, deadlines: impl Iterator<Item = Deadline>) -> u64 {
        let monotonic = deadlines.filter(|deadline| deadline.clock == ClockId::Monotonic);
        let first = monotonic.map(|deadline| deadline.at).min();
        first
            .filter(|_| self.virtual_time.is_some())
            .unwrap_or(u64::MAX)
    }

    /// A wait begins. Its deadlines are made after this call.
    pub(crate) fn begin_wait(&mut self) {
        let now = self.now(ClockId::Monotonic);
        if let Some(time) = &mut self.virtual_time {
            time.waits_since = now;
        }
    }

    /// A wait has ended. If it was by this deadline, virtual time moves to the deadline.
    pub(crate) fn end_wait(&mut self, deadline: Deadline) {
        if self.nanos_until(deadline) > 0 || deadline.clock != ClockId::Monotonic {
            return;
        }
        if let Some(time) = &mut self.virtual_time {
            let waited = deadline.at.saturating_sub(time.waits_since);
            time.waits_since = time.waits_since.saturating_add(waited);
            time.passed = time.passed.saturating_add(waited);
        }
    }

    /// Nanoseconds until a deadline; zero once it has passed.
    pub(crate) fn nanos_until(&self, deadline: Deadline) -> u64 {
        deadline.at.saturating_sub(self.now(deadline.clock))
    }

    /// The time until a deadline; zero once it has passed.
    pub(crate) fn until(&self, deadline: Deadline) -> Duration {
        Duration::from_nanos(self.nanos_until(deadline))
    }

    /// What the wall clock is going to show at a deadline, as far as is known now.
    pub(crate) fn on_wall(&self, deadline: Deadline) -> Timestamp {
        match deadline.clock {
            ClockId::Realtime => Timestamp::from_nanos(deadline.at),
            ClockId::Monotonic => {
                Timestamp::from_nanos(self.host.realtime()).saturating_add(self.until(deadline))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::clock::SimClock;

    #[test]
    fn time_asleep_counts_and_time_never_goes_back() {
        let before = Arc::new(SimClock::at(1_000_000));
        let clock = GuestClock::new(before.clone(), None);
        before.advance(500);
        let saved = clock.save();

        let later = GuestClock::restore(
            Arc::new(SimClock::at(saved.realtime.as_nanos() + 70)),
            saved,
        );
        assert_eq!(later.now(ClockId::Monotonic), saved.monotonic + 70);

        let set_back = GuestClock::restore(Arc::new(SimClock::at(5)), saved);
        assert_eq!(set_back.now(ClockId::Monotonic), saved.monotonic);
    }

    /// Setting the wall clock once changed how much time counted as asleep.
    #[test]
    fn setting_the_wall_clock_leaves_the_time_asleep_alone() {
        let host = Arc::new(SimClock::booted(1_000_000, 7));
        let saved = GuestClock::new(host.clone(), None).save();
        for set_to in [5, 900_000_000] {
            host.advance(70);
            host.set_realtime(set_to);
            let later = GuestClock::restore(host.clone(), saved);
            let asleep = host.monotonic();
            assert_eq!(later.now(ClockId::Monotonic), saved.monotonic + asleep);
        }
        // After the machine has been started anew, the wall clock is all there is.
        let anew = Arc::new(SimClock::booted(saved.realtime.as_nanos() + 70, 8));
        let later = GuestClock::restore(anew, saved);
        assert_eq!(later.now(ClockId::Monotonic), saved.monotonic + 70);
    }
}
