//! The guest's clocks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::abi::{Memory, Result, arg};
use super::errno::Errno;
use super::state::StateV1;
use crate::model::clock::{Clock, Marks, Steady, passed_since};
use crate::model::{ClockId, Deadline, Ends, Wait};

/// Where the guest's clocks stood at a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockV1 {
    /// The guest's monotonic clock in nanoseconds.
    pub monotonic: u64,
    /// The wall clock in nanoseconds since the Unix epoch.
    pub realtime: u64,
    /// The moment by clocks that nobody sets.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub marks: Marks,
}

/// What a guest's clocks tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clocks {
    /// The host's time.
    #[default]
    Host,
    /// A time of the guest's own, which tells nothing of the host's: it begins at the same moment for every guest, and
    /// moves by a microsecond when it is read, and to the end of each wait for a time.
    Virtual,
}

impl FromStr for Clocks {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "host" => Ok(Self::Host),
            "virtual" => Ok(Self::Virtual),
            _ => Err(format!("{text:?} is neither host nor virtual")),
        }
    }
}

impl fmt::Display for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Virtual => "virtual",
        })
    }
}

/// When a guest's own time begins: the first second of the year 2000, in nanoseconds since the Unix epoch.
const BEGINNING: u64 = 946_684_800_000_000_000;

/// How far a guest's own time moves when it is read: one that waits for a time by reading the clock comes to an end.
const TICK: u64 = 1_000;

/// A time of the guest's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnTimeV1 {
    /// How much of it has passed, in nanoseconds.
    pub passed: u64,
    /// What the guest's monotonic clock showed beneath when the last wait began.
    pub waits_since: u64,
}

/// The guest's clocks over the host's: the monotonic one goes on over a suspend.
///
/// What is waited for is measured by them, also for a guest with a time of its own.
#[derive(Debug)]
pub(super) struct GuestClock {
    own: Option<OwnTimeV1>,
    host: Arc<dyn Clock>,
    /// The guest's monotonic time when the host's stood at `host_base`.
    guest_base: u64,
    host_base: u64,
}

impl GuestClock {
    pub(super) fn new(host: Arc<dyn Clock>) -> Self {
        let host_base = host.monotonic();
        Self {
            own: None,
            guest_base: host_base,
            host_base,
            host,
        }
    }

    /// Goes on from a suspend: the time asleep has passed, as far as it can be known.
    pub(super) fn restore(host: Arc<dyn Clock>, saved: ClockV1) -> Self {
        let asleep = passed_since(saved.realtime, saved.marks, &*host);
        Self {
            own: None,
            guest_base: saved.monotonic.saturating_add(asleep),
            host_base: host.monotonic(),
            host,
        }
    }

    /// A clock that goes on from the host's wall clock, and is never set.
    pub(super) fn age(&self) -> Steady {
        Steady::new(self.host.clone(), self.host.realtime())
    }

    pub(super) fn save(&self) -> ClockV1 {
        ClockV1 {
            monotonic: self.now(ClockId::Monotonic),
            realtime: self.now(ClockId::Realtime),
            marks: self.host.marks(),
        }
    }

    pub(super) fn now(&self, clock: ClockId) -> u64 {
        match clock {
            ClockId::Realtime => self.host.realtime(),
            ClockId::Monotonic => {
                let since = self.host.monotonic().saturating_sub(self.host_base);
                self.guest_base.saturating_add(since)
            }
        }
    }

    /// Gives a new guest a time of its own, if it is to have one.
    pub(super) fn begin_own_time(&mut self, wanted: Option<Clocks>) {
        let virtual_time = wanted == Some(Clocks::Virtual);
        self.own = virtual_time.then(OwnTimeV1::default);
    }

    /// A time of its own for a guest that is resumed, as the host wants it; where it says nothing, as it was. Its
    /// monotonic clock does not go back.
    pub(super) fn resume_own_time(&mut self, wanted: Option<Clocks>, saved: Option<OwnTimeV1>) {
        let now = self.now(ClockId::Monotonic);
        let continued = || OwnTimeV1 {
            passed: now,
            waits_since: now,
        };
        self.own = match wanted {
            None => saved,
            Some(Clocks::Virtual) => Some(saved.unwrap_or_else(continued)),
            Some(Clocks::Host) => {
                let passed = saved.map_or(0, |saved| saved.passed);
                self.guest_base = self.guest_base.max(passed);
                None
            }
        };
    }

    pub(super) fn own_time(&self) -> Option<OwnTimeV1> {
        self.own
    }

    /// What the guest sees on a clock.
    pub(super) fn told(&self, clock: ClockId) -> u64 {
        match (&self.own, clock) {
            (None, clock) => self.now(clock),
            (Some(own), ClockId::Monotonic) => own.passed,
            (Some(own), ClockId::Realtime) => BEGINNING.saturating_add(own.passed),
        }
    }

    fn read(&mut self, clock: ClockId) -> u64 {
        if let Some(own) = &mut self.own {
            own.passed = own.passed.saturating_add(TICK);
        }
        self.told(clock)
    }

    /// The deadline at which a clock shows this to the guest.
    pub(super) fn deadline(&self, clock: ClockId, at: u64) -> Deadline {
        match self.own {
            None => Deadline { clock, at },
            Some(_) => self.after(at.saturating_sub(self.told(clock))),
        }
    }

    /// The deadline after so much time. As POSIX says, setting the wall clock does not change a relative sleep.
    pub(super) fn after(&self, timeout: u64) -> Deadline {
        let begun = match &self.own {
            None => self.now(ClockId::Monotonic),
            Some(own) => own.waits_since,
        };
        Deadline {
            clock: ClockId::Monotonic,
            at: begun.saturating_add(timeout),
        }
    }

    /// Of several deadlines, the one after which no other has passed: in a time of the guest's own the wait ends at the
    /// first, however late the host is.
    pub(super) fn first(&self, deadlines: impl Iterator<Item = Deadline>) -> u64 {
        let own = deadlines.filter(|deadline| deadline.clock == ClockId::Monotonic);
        let first = own.map(|deadline| deadline.at).min();
        first.filter(|_| self.own.is_some()).unwrap_or(u64::MAX)
    }

    /// A wait begins whose deadlines are going to be made.
    pub(super) fn begins_to_wait(&mut self) {
        let now = self.now(ClockId::Monotonic);
        if let Some(own) = &mut self.own {
            own.waits_since = now;
        }
    }

    /// A wait is over; this deadline was one of it, and may have passed.
    pub(super) fn passed(&mut self, deadline: Deadline) {
        if self.until(deadline) > 0 || deadline.clock != ClockId::Monotonic {
            return;
        }
        if let Some(own) = &mut self.own {
            let waited = deadline.at.saturating_sub(own.waits_since);
            own.waits_since = own.waits_since.saturating_add(waited);
            own.passed = own.passed.saturating_add(waited);
        }
    }

    /// Nanoseconds until a deadline; zero once it has passed.
    pub(super) fn until(&self, deadline: Deadline) -> u64 {
        deadline.at.saturating_sub(self.now(deadline.clock))
    }

    /// The deadline on the wall clock, if it is in the future.
    pub(super) fn on_wall(&self, deadline: Deadline) -> u64 {
        match deadline.clock {
            ClockId::Realtime => deadline.at,
            ClockId::Monotonic => self.host.realtime().saturating_add(self.until(deadline)),
        }
    }
}

/// Deadlines as a wait's end.
pub(super) fn ends(clock: &GuestClock, deadlines: impl Iterator<Item = Deadline> + Clone) -> Ends {
    let first = |id| {
        let of_clock = deadlines.clone().filter(move |d: &Deadline| d.clock == id);
        of_clock.min_by_key(|deadline| deadline.at)
    };
    Ends {
        after: first(ClockId::Monotonic).map(|deadline| clock.until(deadline)),
        at: first(ClockId::Realtime).map(|deadline| deadline.at),
    }
}

/// All deadlines of a wait. Which is the first of them may change when the wall clock is set.
pub(super) fn deadlines<'a>(
    wait: &Wait,
    poll: Option<&'a [Option<Deadline>]>,
) -> impl Iterator<Item = Deadline> + Clone + use<'a> {
    let first = match wait {
        Wait::Poll { deadline, .. } => *deadline,
        Wait::Yield | Wait::Host { .. } => None,
    };
    // What is kept of a poll belongs to it where it waits for a time at all.
    let polled = poll.filter(|_| first.is_some()).into_iter().flatten();
    polled.flatten().copied().chain(first)
}
impl StateV1 {
    /// When the guest's wait ends by itself, as seen from a clock now.
    pub fn ends(&self, wait: &Wait, clock: Arc<dyn Clock>) -> Ends {
        let clock = GuestClock::restore(clock, self.clock);
        ends(&clock, deadlines(wait, self.poll.as_deref()))
    }
}

/// The clock of this number, if a guest can use it. CPU-time clocks mean nothing across hosts.
pub(super) fn clock_id(number: u32) -> Option<ClockId> {
    match number {
        0 => Some(ClockId::Realtime),
        1 => Some(ClockId::Monotonic),
        _ => None,
    }
}

pub(super) fn clock_res_get(
    clock: &GuestClock,
    arguments: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    clock_id(arg(arguments, 0)).ok_or(Errno::Badf)?;
    let resolution = match clock.own {
        None => 1,
        Some(_) => TICK,
    };
    memory.write_u64(arg(arguments, 1), resolution)
}

pub(super) fn clock_time_get(
    clock: &mut GuestClock,
    arguments: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let id = clock_id(arg(arguments, 0)).ok_or(Errno::Badf)?;
    memory.write_u64(arg(arguments, 2), clock.read(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::SimClock;

    #[test]
    fn time_asleep_counts_and_time_never_goes_back() {
        let before = Arc::new(SimClock::at(1_000_000));
        let clock = GuestClock::new(before.clone());
        before.advance(500);
        let saved = clock.save();

        let later = GuestClock::restore(Arc::new(SimClock::at(saved.realtime + 70)), saved);
        assert_eq!(later.now(ClockId::Monotonic), saved.monotonic + 70);

        let set_back = GuestClock::restore(Arc::new(SimClock::at(5)), saved);
        assert_eq!(set_back.now(ClockId::Monotonic), saved.monotonic);
    }

    /// A clock that was set counted as time asleep, or made that count for nothing.
    #[test]
    fn setting_the_wall_clock_leaves_the_time_asleep_alone() {
        let host = Arc::new(SimClock::booted(1_000_000, 7));
        let saved = GuestClock::new(host.clone()).save();
        for set_to in [5, 900_000_000] {
            host.advance(70);
            host.set_realtime(set_to);
            let later = GuestClock::restore(host.clone(), saved);
            let asleep = host.monotonic();
            assert_eq!(later.now(ClockId::Monotonic), saved.monotonic + asleep);
        }
        // After the machine has been started anew, the wall clock is all there is.
        let anew = Arc::new(SimClock::booted(saved.realtime + 70, 8));
        let later = GuestClock::restore(anew, saved);
        assert_eq!(later.now(ClockId::Monotonic), saved.monotonic + 70);
    }
}
