//! `dormouse run --rehearse`: suspends at every call that may block, through the full bytes of a
//! snapshot into a fresh instance, with both engines taking turns where both are built.
//!
//! A guest with checks makes far more of them than it could be suspended at. It is suspended at the
//! first [`AT_ONCE`] that it comes to, then after a millisecond, and after ever longer, up to
//! [`LONGEST`].

use std::time::Duration;

use super::exit::{Done, Failure};
use super::guest::Given;
use crate::engine::EngineKind;
use crate::model::Limits;
use crate::scheduler;
use crate::task::{Restore, Runtime, Snapshot, Step, Task, quiet};
use crate::wasi::{Bindings, HeldSocket, RestoreOptions};

/// How many suspends of a guest with checks follow each other at once.
const AT_ONCE: usize = 16;

/// How long such a guest computes at most before it is suspended.
const LONGEST: Duration = Duration::from_millis(100);

/// The engines that take turns: all of this build, or only the one asked for.
pub(super) fn engines(first: EngineKind, only: bool) -> Vec<EngineKind> {
    let others = EngineKind::available().filter(|kind| *kind != first && !only);
    std::iter::once(first).chain(others).collect()
}

/// Runs a guest to its end, and says how often it was suspended.
pub(super) fn rehearse(
    runtime: &Runtime,
    mut task: Task,
    engines: &[EngineKind],
    given: &Given,
    limits: Limits,
) -> Result<Done, Failure> {
    super::guest::runtime()?.block_on(async {
        let mut count = 0usize;
        let mut largest = 0;
        let mut turns = engines.iter().cycle().skip(1);
        loop {
            task.unwind_always(true);
            if task.program().manifest().preempt {
                preempt(&mut task, count);
            }
            match task.step()? {
                Step::Parked(_) => {
                    let bytes = task.freeze()?.encode()?;
                    largest = largest.max(bytes.len());
                    count += 1;
                    let engine = *turns.next().unwrap_or(&engines[0]);
                    // Connections stay, as they do in a daemon.
                    let held = task.asleep().sockets;
                    drop(task);
                    task = thaw(runtime, &bytes, engine, given, held, limits)?;
                    tokio::select! {
                        () = scheduler::time_ends(&task) => task.check_time()?,
                        ready = scheduler::wait(&mut task) => ready?,
                    }
                }
                Step::Exited(code) => {
                    let names: Vec<String> = engines.iter().map(ToString::to_string).collect();
                    super::text::say!(
                        "rehearsed: suspended {count} times on {}, largest snapshot {}",
                        names.join(" and "),
                        super::text::bytes(largest as u64),
                    );
                    return Ok(Done::Guest(code));
                }
            }
        }
    })
}

/// Ends the next step somewhere in a computation, the later the more of them have been.
fn preempt(task: &mut Task, count: usize) {
    let Some(later) = count.checked_sub(AT_ONCE) else {
        return task.preempt_next();
    };
    let doubled = u32::try_from(later / 8).unwrap_or(u32::MAX);
    let factor = 1_u32.checked_shl(doubled).unwrap_or(u32::MAX);
    let patience = Duration::from_millis(1).saturating_mul(factor).min(LONGEST);
    let handle = task.handle();
    // Without the thread it is suspended at its calls alone.
    drop(std::thread::Builder::new().spawn(move || {
        std::thread::sleep(patience);
        handle.preempt();
    }));
}

/// A fresh instance from nothing but the bytes.
fn thaw(
    runtime: &Runtime,
    bytes: &[u8],
    engine: EngineKind,
    given: &Given,
    held: Vec<HeldSocket>,
    limits: Limits,
) -> Result<Task, Failure> {
    let snapshot = Snapshot::decode(bytes, &limits)?;
    let program = runtime.load_snapshot(&snapshot)?;
    let restore = Restore {
        bindings: Bindings {
            held,
            ..given.bindings()?
        },
        options: RestoreOptions::default(),
        limits,
        ..Restore::default()
    };
    Ok(Task::thaw(
        runtime, &program, engine, &snapshot, restore, &quiet,
    )?)
}
