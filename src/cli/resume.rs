//! `dormouse resume`.

use super::args::Resume;
use super::exit::{Done, Failure};
use super::guest::{self, Session};
use super::progress::Bar;
use super::run::{dirs, engine, read_module};
use crate::snapshot::{self, Limits};
use crate::task::{Restore, Runtime, RuntimeOptions, Snapshot, Task};
use crate::wasi::RestoreOptions;

pub(super) fn resume(command: Resume) -> Result<Done, Failure> {
    let limits = Limits::default();
    let file = snapshot::read(&command.snapshot, &limits)?;
    let at_file = |error: crate::Error| {
        let failure = Failure::from(error);
        Failure::new(
            failure.code,
            format!("{}: {}", command.snapshot.display(), failure.message),
        )
    };
    let saved = Snapshot::decode(&file, &limits).map_err(at_file)?;
    let runtime = Runtime::new(RuntimeOptions {
        transform: command.common.transform,
        ..RuntimeOptions::default()
    })?;
    let bar = Bar::new(&command.snapshot.display().to_string());
    let progress = |stage: &str, number: usize, stages: usize| bar.stage(stage, number, stages);
    let program = match &command.module {
        Some(module) => runtime.load_beside(&read_module(module)?, &saved, &progress),
        None => runtime.load_snapshot(&saved),
    }
    .map_err(at_file)?;
    let restore = Restore {
        bindings: guest::bindings(dirs(&command.common.dirs)?)?,
        options: RestoreOptions {
            accept_changed_files: command.accept_changed_files,
        },
        clock: None,
    };
    let engine = engine(command.common.engine)?;
    let task =
        Task::thaw(&runtime, &program, engine, &saved, restore, &progress).map_err(at_file)?;
    drop(bar);
    guest::drive(Session {
        task,
        policy: command.common.suspend,
        snapshot: command.output.unwrap_or(command.snapshot),
        slim: command.common.slim,
        dirs: command.common.dirs,
    })
}
