//! `dormouse submit`: gives a daemon a module to run.

use serde_json::json;
use ureq::http::Method;

use super::wire_task;
use crate::cli::args::daemon::Submit;
use crate::cli::client::Client;
use crate::cli::exit::{Code, DAEMON, Done, Failure, MODULE, OK, USAGE};
use crate::cli::module_file::{Source, file_name};
use crate::cli::output::progress::Bar;
use crate::cli::output::{self, out};
use crate::cli::parse::guest::{environment, tmpfs};
use crate::daemon::http::wire;
use crate::error::ErrorKind;

/// A batch has at most so many tasks.
const MAX_BATCH_TASKS: u32 = 10_000;

/// What the tasks of a batch are submitted with has at most so many bytes together.
const MAX_BATCH_BYTES: usize = 16 << 20;

pub(super) fn submit(command: &Submit) -> Result<Done, Failure> {
    let Some((module, arguments)) = command.program.command.split_first() else {
        return Err(Failure::new(USAGE, "give a module to submit"));
    };
    let source = Source::load(module, command.program.digest.as_deref())?;
    let client = Client::new(command.remote.url.as_deref())?;
    let mut task = task(command, module, arguments)?;
    task.module = upload(&client, source, module, command.program.preempt)?.module;
    match command.count {
        1 => {
            let task: wire::Task = client.json(Method::POST, "/v1/tasks", Some(&task))?;
            wire_task::print(&task);
            OK
        }
        count => copies(&client, task, count),
    }
}

/// The request, without its module.
fn task(command: &Submit, module: &str, arguments: &[String]) -> Result<wire::Submit, Failure> {
    let tmpfs = tmpfs(&command.program.tmpfs, &command.limits.limits())?;
    let tmpfs = tmpfs.into_iter().map(|dir| wire::Tmpfs {
        guest: dir.guest,
        size: Some(wire::Size::Bytes(dir.limit)),
    });
    let schedule = &command.schedule;
    Ok(wire::Submit {
        args: std::iter::once(file_name(module))
            .chain(arguments.iter().cloned())
            .collect(),
        env: environment(&command.program.env)?.into_iter().collect(),
        tmpfs: tmpfs.collect(),
        at: schedule.at.map(|at| at.to_string()),
        every: schedule.every.clone(),
        restart: schedule.restart.map(|restart| restart.to_string()),
        ..wire_task::submission(&command.grants, &command.task, &command.limits)?
    })
}

/// Sends the module; one that is named by its digest only has to be there, and resumable.
fn upload(
    client: &Client,
    source: Source,
    module: &str,
    preempt: bool,
) -> Result<wire::Module, Failure> {
    // Until it is dropped.
    let _bar = Bar::elsewhere(&file_name(module));
    let query = if preempt { "?preempt=true" } else { "" };
    if let Some(digest) = source.digest {
        return client.get(&format!("/v1/modules/{digest}{query}"));
    }
    let path = format!("/v1/modules{query}");
    let mut uploaded = client
        .send(Method::PUT, &path, "application/wasm", source.bytes)
        .map_err(|failure| failure.about(MODULE, module))?;
    uploaded
        .body_mut()
        .read_json()
        .map_err(|error| Failure::new(DAEMON, format!("cannot understand the daemon: {error}")))
}

/// Submits a task many times, in batches.
fn copies(client: &Client, mut task: wire::Submit, count: u32) -> Result<Done, Failure> {
    // What is stored of a task is no more than what is sent of it.
    let size = json!(task).to_string().len();
    let fitting = u32::try_from(MAX_BATCH_BYTES / size).unwrap_or(u32::MAX);
    let batch = MAX_BATCH_TASKS.min(fitting.max(1));
    let mut left = count;
    let mut ids = Vec::new();
    while left > 0 {
        task.count = Some(left.min(batch));
        left -= left.min(batch);
        let told: Vec<wire::Submitted> = client.json(Method::POST, "/v1/batch", Some(&[&task]))?;
        for submitted in told {
            match (submitted.id, submitted.error) {
                (Some(id), _) if output::as_json() => ids.push(json!({ "id": id })),
                (Some(id), _) => out!("{id}"),
                (None, error) => {
                    let kind = submitted.kind.as_deref().map(str::parse::<ErrorKind>);
                    let code = kind.and_then(Result::ok).map_or(USAGE, Code::from);
                    return Err(Failure::new(code, error.unwrap_or_default()));
                }
            }
        }
    }
    if output::as_json() {
        output::result(&ids);
    }
    OK
}
