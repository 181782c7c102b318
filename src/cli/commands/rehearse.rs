//! `dormouse run --rehearse`: suspends a guest at every call that may block. Each time it goes
//! through the bytes of a snapshot into a fresh instance, on another engine where the build has
//! several.
//!
//! A guest with checks (`--preempt`) comes to far more of them than there is time to suspend it at.
//! It is suspended at its first [`CHECKS_IN_A_ROW`] checks, then after it has computed for a
//! millisecond, and then for longer and longer, up to [`MAX_COMPUTATION`].

use std::time::Duration;

use crate::cli::exit::{Done, Failure};
use crate::cli::guest::grants::GuestGrants;
use crate::cli::output::{format, say};
use crate::cli::process;
use crate::cli::progress::Bar;
use crate::engine::EngineKind;
use crate::task;
use crate::task::{Program, Runtime, Snapshot, Step, Task};
use crate::wasi::{Bindings, HeldSocket};

/// After this many checks in a row a guest is suspended first.
const CHECKS_IN_A_ROW: usize = 16;

/// After this many suspends the time between two of them doubles.
const SUSPENDS_BETWEEN_DOUBLINGS: usize = 8;

/// How long a guest with checks computes at most before it is suspended again.
const MAX_COMPUTATION: Duration = Duration::from_millis(100);

/// The engines that take turns: all of this build that can run the program, or only the one that
/// was asked for. The program is compiled for each before the guest starts, so that the guest's
/// time does not include it.
pub(crate) fn engines(
    runtime: &Runtime,
    program: &Program,
    first: EngineKind,
    only: bool,
    bar: &Bar,
) -> Vec<EngineKind> {
    let mut engines = vec![first];
    let mut unable = Vec::new();
    for other in EngineKind::available().filter(|kind| *kind != first && !only) {
        match program.compile(runtime, other, bar) {
            Ok(_) => engines.push(other),
            Err(error) => unable.push(error),
        }
    }
    for error in unable {
        say!("rehearsing without it: {error}");
    }
    engines
}

/// Runs a guest to its end, and says how often it was suspended.
pub(crate) fn rehearse(
    runtime: &Runtime,
    mut task: Task,
    engines: &[EngineKind],
    grants: &GuestGrants,
) -> Result<Done, Failure> {
    process::runtime()?.block_on(async {
        let mut count = 0usize;
        let mut largest = 0;
        let mut turns = engines.iter().cycle().skip(1);
        loop {
            task.set_unwind_always(true);
            if task.program().manifest().preempt {
                preempt(&mut task, count);
            }
            match task.step()? {
                Step::Parked(mut parked) => {
                    let bytes = parked.freeze()?.encode()?;
                    largest = largest.max(bytes.len());
                    count += 1;
                    let engine = *turns.next().unwrap_or(&engines[0]);
                    // Connections stay, as they do in a daemon.
                    let held = task.asleep().sockets;
                    drop(task);
                    task = thaw(runtime, &bytes, engine, grants, held)?;
                    tokio::select! {
                        () = task::time_ends(&task) => task.check_time()?,
                        ready = task::reactor::ready(&mut task) => ready?,
                    }
                }
                Step::Exited(code) => {
                    let names: Vec<String> = engines.iter().map(ToString::to_string).collect();
                    say!(
                        "rehearsed: suspended {count} times on {}, largest snapshot {}",
                        names.join(" and "),
                        format::bytes(largest as u64),
                    );
                    return Ok(Done::Guest(code));
                }
            }
        }
    })
}

/// Has the next step end at a check: the later, the more suspends there have been.
fn preempt(task: &mut Task, count: usize) {
    let Some(later) = count.checked_sub(CHECKS_IN_A_ROW) else {
        return task.preempt_next();
    };
    let doubled = u32::try_from(later / SUSPENDS_BETWEEN_DOUBLINGS).unwrap_or(u32::MAX);
    let factor = 1_u32.checked_shl(doubled).unwrap_or(u32::MAX);
    let computation = Duration::from_millis(1)
        .saturating_mul(factor)
        .min(MAX_COMPUTATION);
    let handle = task.handle();
    // Where the system gives no thread, the guest is suspended only at its calls.
    drop(std::thread::Builder::new().spawn(move || {
        std::thread::sleep(computation);
        handle.preempt();
    }));
}

/// A fresh instance, made from nothing but the bytes of a snapshot.
fn thaw(
    runtime: &Runtime,
    bytes: &[u8],
    engine: EngineKind,
    grants: &GuestGrants,
    held: Vec<HeldSocket>,
) -> Result<Task, Failure> {
    let (_, given) = grants.bindings()?;
    let snapshot = Snapshot::decode(bytes, &given.limits)?;
    let program = runtime.load_snapshot(&snapshot)?;
    let bindings = Bindings { held, ..given };
    Ok(Task::builder(runtime, &program)
        .engine(engine)
        .bindings(bindings)
        .resume(&snapshot)?)
}
