//! `dormouse run --rehearse`: suspends at every call that may block, through the full bytes of a
//! snapshot into a fresh instance, with both engines taking turns where both are built.

use super::exit::{Done, Failure};
use super::guest::Given;
use crate::engine::EngineKind;
use crate::scheduler;
use crate::snapshot::Limits;
use crate::task::{Restore, Runtime, Snapshot, Step, Task, quiet};
use crate::wasi::{Bindings, HeldSocket, RestoreOptions};

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
) -> Result<Done, Failure> {
    super::guest::runtime()?.block_on(async {
        let mut count = 0usize;
        let mut largest = 0;
        let mut turns = engines.iter().cycle().skip(1);
        loop {
            task.unwind_always(true);
            match task.step()? {
                Step::Parked(_) => {
                    let bytes = task.freeze()?.encode()?;
                    largest = largest.max(bytes.len());
                    count += 1;
                    let engine = *turns.next().unwrap_or(&engines[0]);
                    // Connections stay, as they do in a daemon.
                    let held = task.asleep().sockets;
                    drop(task);
                    task = thaw(runtime, &bytes, engine, given, held)?;
                    scheduler::wait(&mut task).await?;
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

/// A fresh instance from nothing but the bytes.
fn thaw(
    runtime: &Runtime,
    bytes: &[u8],
    engine: EngineKind,
    given: &Given,
    held: Vec<HeldSocket>,
) -> Result<Task, Failure> {
    let snapshot = Snapshot::decode(bytes, &Limits::default())?;
    let program = runtime.load_snapshot(&snapshot)?;
    let restore = Restore {
        bindings: Bindings {
            held,
            ..given.bindings()?
        },
        options: RestoreOptions::default(),
        ..Restore::default()
    };
    Ok(Task::thaw(
        runtime, &program, engine, &snapshot, restore, &quiet,
    )?)
}
