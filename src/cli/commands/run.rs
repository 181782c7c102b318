//! `dormouse run`.

use super::rehearse;
use crate::cli::args::Run;
use crate::cli::exit::{Done, Failure, MODULE, USAGE};
use crate::cli::guest::grants::GuestGrants;
use crate::cli::guest::session::{self, Session};
use crate::cli::module_file::{Source, file_name, preempt};
use crate::cli::output::progress::Bar;
use crate::cli::parse::guest::{engine, environment, tmpfs};
use crate::cli::snapshot_file::Destination;
use crate::model::Limits;
use crate::task::{Runtime, Task};
use crate::wasi::Config;

pub(crate) fn run(command: Run) -> Result<Done, Failure> {
    let done = run_module(command)?;
    session::tell_end(done);
    Ok(done)
}

fn run_module(command: Run) -> Result<Done, Failure> {
    let Some((module, arguments)) = command.program.command.split_first() else {
        return Err(Failure::new(USAGE, "give a module to run"));
    };
    let source = Source::load(module, command.program.digest.as_deref())?;
    let limits = command.limits.limits();
    let transform = command.suspension.transform;
    let runtime = Runtime::builder()
        .transform(transform)
        .preempt(preempt(command.program.preempt, transform)?)
        .limits(limits)
        .build()?;
    let engine = engine(command.engine)?;
    let grants = GuestGrants::open(&command.grants, &command.limits)?;
    let seal = command.sealing.load()?;
    let bar = Bar::new(&file_name(module));
    let program = match &source.digest {
        Some(digest) => runtime.load_known(digest)?,
        None => runtime
            .load_with_progress(&source.bytes, &bar)
            .map_err(|error| Failure::from(error).about(MODULE, module))?,
    };
    let task = Task::builder(&runtime, &program)
        .engine(engine)
        .config(config(&command, module, arguments, &limits)?)
        .bindings(grants.bindings()?)
        .limits(limits)
        .progress(&bar)
        .start()?;
    if command.rehearse {
        let only = command.engine.is_some();
        let engines = rehearse::engines(&runtime, &program, engine, only, &bar);
        // It listens to signals during the rehearsal.
        let _preparation = bar.finish();
        return rehearse::rehearse(&runtime, task, &engines, &grants, limits);
    }
    let preparation = bar.finish();
    session::drive(Session {
        task,
        policy: command.suspension.suspend,
        checkpoint: command.suspension.checkpoint.map(|span| span.0),
        destination: Destination {
            path: command.snapshot,
            slim: command.suspension.slim,
            seal,
        },
        grants,
        preparation,
    })
}

/// What the guest starts with.
fn config(
    command: &Run,
    module: &str,
    arguments: &[String],
    limits: &Limits,
) -> Result<Config, Failure> {
    Ok(Config {
        args: std::iter::once(file_name(module))
            .chain(arguments.iter().cloned())
            .collect(),
        env: environment(&command.program.env)?,
        tmpfs: tmpfs(&command.program.tmpfs, limits)?,
    })
}
