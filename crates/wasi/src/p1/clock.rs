//! `clock_res_get` and `clock_time_get`.

use dormouse_model::ClockId;

use super::errno::Errno;
use super::memory::{Memory, Result, arg};
use crate::clocks::GuestClock;

/// The clock of this number, if guests can use it. CPU-time clocks mean nothing across hosts.
pub(super) fn clock_id(number: u32) -> Option<ClockId> {
    match number {
        0 => Some(ClockId::Realtime),
        1 => Some(ClockId::Monotonic),
        _ => None,
    }
}

pub(super) fn clock_res_get(clock: &GuestClock, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    clock_id(arg(a, 0)).ok_or(Errno::Badf)?;
    memory.write_u64(arg(a, 1), u64::from(clock.resolution().subsec_nanos()))
}

pub(super) fn clock_time_get(
    clock: &mut GuestClock,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let id = clock_id(arg(a, 0)).ok_or(Errno::Badf)?;
    memory.write_u64(arg(a, 2), clock.read_nanos(id))
}
