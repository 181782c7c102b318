//! `dormouse run`.

use std::num::NonZeroU16;

use super::rehearse;
use crate::cli::args::Run;
use crate::cli::exit::{Done, Failure, MODULE};
use crate::cli::guest::grants::GuestGrants;
use crate::cli::guest::requests::{self, Requests};
use crate::cli::guest::session::{self, Session};
use crate::cli::module_file::{file_name, preempt};
use crate::cli::parse::guest::engine;
use crate::cli::progress::Bar;
use crate::cli::snapshot_file::Destination;
use crate::cli::task_file;
use crate::model::Limits;
use crate::task::{Runtime, Task};

pub(crate) fn run(command: Run) -> Result<Done, Failure> {
    let done = run_module(command, None)?;
    session::tell_end(done);
    Ok(done)
}

/// Runs a component that answers HTTP requests, with an instance for each of them, and as many at
/// once.
pub(crate) fn run_per_request(command: Run, most: NonZeroU16) -> Result<Done, Failure> {
    run_module(command, Some(most))
}

fn run_module(command: Run, per_request: Option<NonZeroU16>) -> Result<Done, Failure> {
    let config = command.program.config.as_deref();
    let (spec, file) = task_file::with_flags(config, command.spec())?;
    if let Some(file) = &file {
        file.tell_what_run_leaves_out();
    }
    let source = task_file::source(&spec, file.as_ref(), &command.trust.load()?)?;
    let transform = command.suspension.transform.name;
    let runtime = Runtime::builder()
        .transform(transform)
        .preempt(preempt(spec.suspend.preempt, transform)?)
        .limits(spec.limits(&Limits::default()))
        .build()?;
    let only = spec.engine.is_some();
    let engine = engine(spec.engine)?;
    let suspend = spec.suspend.clone();
    let grants = GuestGrants::open(spec)?;
    let seal = command.sealing.load()?;
    let bar = Bar::new(&file_name(&source.name));
    let about = |error| Failure::from(error).about(MODULE, &source.name);
    source.keep_machine_code(&runtime).map_err(about)?;
    let program = match &source.digest {
        Some(digest) => runtime.load_known(digest)?,
        None => runtime
            .load_with_progress(&source.bytes, &bar)
            .map_err(about)?,
    };
    if let Some(most) = per_request {
        program
            .check_serving(true)
            .map_err(|error| about(error.into()))?;
        // Compiled before the first request comes.
        program.compile(&runtime, engine, &bar)?;
        let preparation = bar.finish();
        return requests::serve(Requests {
            runtime,
            program,
            engine,
            grants,
            most,
            preparation,
        });
    }
    let (config, bindings) = grants.bindings()?;
    let task = Task::builder(&runtime, &program)
        .engine(engine)
        .config(config)
        .bindings(bindings)
        .progress(&bar)
        .start()?;
    if command.rehearse {
        let engines = rehearse::engines(&runtime, &program, engine, only, &bar);
        // It listens to signals during the rehearsal.
        let _preparation = bar.finish();
        return rehearse::rehearse(&runtime, task, &engines, &grants);
    }
    let preparation = bar.finish();
    session::drive(Session {
        task,
        policy: suspend.policy.unwrap_or_default(),
        checkpoint: command.suspension.checkpoint.map(|span| span.0),
        destination: Destination {
            path: suspend.snapshot.unwrap_or_else(|| "./snapshot".into()),
            slim: suspend.slim,
            seal,
        },
        grants,
        preparation,
    })
}
