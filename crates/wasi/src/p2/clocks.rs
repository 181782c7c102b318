//! `wasi:clocks`: the monotonic clock and the wall clock.

use dormouse_model::ClockId;

use super::abi::{Own, record};
use super::call::Call;
use super::resource::{Pollable, Timer};
use super::stop::Called;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

record! { Lift Lower:
    /// A moment by the wall clock.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Datetime {
        seconds: u64,
        nanoseconds: u32,
    }
}

pub(crate) fn monotonic_now(call: &mut Call<'_>, (): ()) -> Called<u64> {
    Ok(call.ctx.resources.clock.read_nanos(ClockId::Monotonic))
}

pub(crate) fn monotonic_resolution(call: &mut Call<'_>, (): ()) -> Called<u64> {
    let resolution = call.ctx.resources.clock.resolution();
    Ok(resolution.subsec_nanos().into())
}

pub(crate) fn subscribe_instant(call: &mut Call<'_>, (due,): (u64,)) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    let timer = resources.push_timer(Timer { due })?;
    resources.push_child(Pollable, timer).map(Own::new)
}

pub(crate) fn subscribe_duration(call: &mut Call<'_>, (span,): (u64,)) -> Called<Own<Pollable>> {
    let now = call.ctx.resources.clock.shown_monotonic();
    subscribe_instant(call, (now.as_nanos().saturating_add(span),))
}

pub(crate) fn wall_now(call: &mut Call<'_>, (): ()) -> Called<Datetime> {
    let now = call.ctx.resources.clock.read_nanos(ClockId::Realtime);
    Ok(Datetime {
        seconds: now / SECOND,
        // Less than a second.
        nanoseconds: (now % SECOND) as u32,
    })
}

pub(crate) fn wall_resolution(call: &mut Call<'_>, (): ()) -> Called<Datetime> {
    Ok(Datetime {
        seconds: 0,
        nanoseconds: call.ctx.resources.clock.resolution().subsec_nanos(),
    })
}
