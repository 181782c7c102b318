//! The guest's clocks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::abi::{Memory, Result, arg};
use super::errno::Errno;
use crate::clock::Clock;
use crate::model::{ClockId, Deadline};

/// Where the guest's clocks stood at a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockV1 {
    /// The guest's monotonic clock in nanoseconds.
    pub monotonic: u64,
    /// The wall clock in nanoseconds since the Unix epoch.
    pub realtime: u64,
}

/// The guest's clocks over the host's: the monotonic one goes on over a suspend.
#[derive(Debug)]
pub(super) struct GuestClock {
    host: Arc<dyn Clock>,
    /// The guest's monotonic time when the host's stood at `host_base`.
    guest_base: u64,
    host_base: u64,
}

impl GuestClock {
    pub(super) fn new(host: Arc<dyn Clock>) -> Self {
        let host_base = host.monotonic();
        Self {
            guest_base: host_base,
            host_base,
            host,
        }
    }

    /// Goes on from a suspend: the time asleep has passed, as far as the wall clock tells.
    pub(super) fn restore(host: Arc<dyn Clock>, saved: ClockV1) -> Self {
        let asleep = host.realtime().saturating_sub(saved.realtime);
        Self {
            guest_base: saved.monotonic.saturating_add(asleep),
            host_base: host.monotonic(),
            host,
        }
    }

    /// The host's clock.
    pub(super) fn host(&self) -> Arc<dyn Clock> {
        self.host.clone()
    }

    pub(super) fn save(&self) -> ClockV1 {
        ClockV1 {
            monotonic: self.now(ClockId::Monotonic),
            realtime: self.now(ClockId::Realtime),
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

/// The clock of this number, if a guest can use it. CPU-time clocks mean nothing across hosts.
pub(super) fn clock_id(number: u32) -> Option<ClockId> {
    match number {
        0 => Some(ClockId::Realtime),
        1 => Some(ClockId::Monotonic),
        _ => None,
    }
}

pub(super) fn clock_res_get(arguments: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    clock_id(arg(arguments, 0)).ok_or(Errno::Badf)?;
    memory.write_u64(arg(arguments, 1), 1)
}

pub(super) fn clock_time_get(
    clock: &GuestClock,
    arguments: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let id = clock_id(arg(arguments, 0)).ok_or(Errno::Badf)?;
    memory.write_u64(arg(arguments, 2), clock.now(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;

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
}
