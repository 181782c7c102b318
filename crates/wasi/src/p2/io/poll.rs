//! `wasi:io/poll`: waits for the first of several pollables.

use std::collections::BTreeMap;

use dormouse_model::{ClockId, Deadline, MonotonicTime};

use super::watch::{self, Watched, is_ready, watched};
use crate::p2::abi::Borrow;
use crate::p2::call::Call;
use crate::p2::resource::Pollable;
use crate::p2::stop::{Called, Stop, trap};

/// How many pollables one call takes, since each costs the host a system call.
const MAX_POLLABLES: usize = 1 << 16;

/// Whether a wait for the pollable would be over at once. Asking is reading a clock, so that a guest
/// with virtual time which asks again and again comes to an end.
pub(crate) fn ready(call: &mut Call<'_>, (pollable,): (Borrow<Pollable>,)) -> Called<bool> {
    watch::go_on(call.ctx);
    let parent = parent(call, &pollable)?;
    let watched = watched(call, parent)?;
    if let Watched::Timer(_) = watched {
        call.ctx.resources.clock.read_nanos(ClockId::Monotonic);
    }
    Ok(is_ready(call, watched))
}

pub(crate) fn block(call: &mut Call<'_>, (pollable,): (Borrow<Pollable>,)) -> Called<()> {
    poll(call, (vec![pollable],)).map(drop)
}

/// The places of the pollables that are ready, in the order of what they wait for: as with
/// Wasmtime, those of one resource come one after another.
pub(crate) fn poll(
    call: &mut Call<'_>,
    (pollables,): (Vec<Borrow<Pollable>>,),
) -> Called<Vec<u32>> {
    if pollables.is_empty() {
        return trap("empty poll list");
    }
    if pollables.len() > MAX_POLLABLES {
        return trap(format!("a poll of more than {MAX_POLLABLES} pollables"));
    }
    watch::go_on(call.ctx);
    let parents = pollables.iter().map(|pollable| parent(call, pollable));
    let parents: Vec<u32> = parents.collect::<Called<_>>()?;
    let all = parents.iter().map(|rep| watched(call, *rep));
    let all: Vec<Watched> = all.collect::<Called<_>>()?;

    let deadlines = deadlines(call, &all);
    let clock = &call.ctx.resources.clock;
    let last = clock.last_to_count(deadlines.iter().flatten().copied());
    let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (index, (watched, deadline)) in (0..).zip(all.iter().zip(&deadlines)) {
        let is_ready = match deadline {
            Some(deadline) => clock.until(*deadline).is_zero() && counts(*deadline, last),
            None => is_ready(call, *watched),
        };
        if is_ready {
            let parent = parents.get(index as usize).copied().unwrap_or_default();
            found.entry(parent).or_default().push(index);
        }
    }
    if found.is_empty() {
        return Err(wait(call, &all, deadlines));
    }
    if let Some(last) = last {
        call.ctx.resources.clock.end_wait(last);
    }
    Ok(found.into_values().flatten().collect())
}

fn parent(call: &Call<'_>, pollable: &Borrow<Pollable>) -> Called<u32> {
    let resources = &call.ctx.component.resources;
    resources.get::<Pollable>(pollable.rep)?;
    resources.parent(pollable.rep)
}

/// The deadline of each pollable that is a timer: those of before if this very call has blocked
/// already.
fn deadlines(call: &mut Call<'_>, all: &[Watched]) -> Vec<Option<Deadline>> {
    let kept = call.ctx.poll.take().filter(|_| call.woken.is_some());
    if let Some(kept) = kept.filter(|kept| kept.len() == all.len()) {
        return kept;
    }
    let clock = &mut call.ctx.resources.clock;
    clock.begin_wait();
    all.iter()
        .map(|watched| match watched {
            Watched::Timer(due) => Some(clock.deadline(ClockId::Monotonic, *due)),
            _ => None,
        })
        .collect()
}

/// Whether a deadline that has passed counts, where later ones than `last` do not.
fn counts(deadline: Deadline, last: Option<MonotonicTime>) -> bool {
    match (deadline, last) {
        (Deadline::Monotonic(at), Some(last)) => at <= last,
        _ => true,
    }
}

/// Keeps the deadlines for when the call is made again, and gives the wait.
fn wait(call: &mut Call<'_>, all: &[Watched], deadlines: Vec<Option<Deadline>>) -> Stop {
    let clock = &call.ctx.resources.clock;
    let given = deadlines.iter().flatten();
    let deadline = given
        .min_by_key(|deadline| clock.until(**deadline))
        .copied();
    call.ctx.poll = Some(deadlines);
    watch::wait(call, deadline, all)
}
