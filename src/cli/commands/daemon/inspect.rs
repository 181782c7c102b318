//! `dormouse inspect` of a daemon's task.

use std::collections::BTreeMap;

use super::task_ref::with_rule;
use super::wire_task;
use crate::cli::args::daemon::Remote;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, format, out};
use crate::daemon::http::wire;

pub(crate) fn inspect(remote: &Remote, id: &str) -> Result<Done, Failure> {
    let client = Client::new(remote.url.as_deref())?;
    let task: wire::Task = client
        .get(&format!("/v1/tasks/{}", escaped(id)))
        .map_err(with_rule)?;
    if output::as_json() {
        output::result(&task);
        return OK;
    }
    for (name, value) in fields(&task) {
        if let Some(value) = value {
            out!("{name:<10} {value}");
        }
    }
    print_grants(&task);
    OK
}

/// What is known of a task, each with its name.
fn fields(task: &wire::Task) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("task", Some(task.id.to_string())),
        ("name", task.name.clone()),
        ("program", Some(task.args.join(" "))),
        ("damaged", task.damaged.clone()),
        ("state", Some(task.state.clone())),
        ("waits for", task.waits_for.clone()),
        ("wakes", task.wakes.clone()),
        ("every", task.every.clone()),
        ("exit code", task.exit_code.map(|code| code.to_string())),
        ("error", task.error.clone()),
        ("trouble", task.trouble.as_ref().map(wire_task::trouble)),
        ("submitted", Some(task.submitted.clone())),
        ("changed", Some(task.changed.clone())),
        (
            "started",
            Some(format!(
                "{} times, put to sleep {} times",
                task.runs, task.sleeps
            )),
        ),
        ("copy of", task.forked_from.clone()),
        ("came from", task.came_from.clone()),
        ("moved to", task.moved_to.as_ref().map(wire_task::place)),
        ("engine", task.engine.clone()),
        (
            "limits",
            Some(listed(&task.limits)).filter(|limits| !limits.is_empty()),
        ),
        ("restart", task.restart.clone()),
        ("clocks", task.clocks.clone()),
        ("random", task.random.clone()),
        (
            "module",
            Some(task.module[..task.module.len().min(12)].to_string()),
        ),
        ("snapshot", Some(format::bytes(task.snapshot_bytes))),
        ("output", Some(format::bytes(task.output_bytes))),
        (
            "memory",
            Some(format::bytes(task.memory)).filter(|_| task.memory > 0),
        ),
        (
            "variables",
            Some(task.env.join(" ")).filter(|names| !names.is_empty()),
        ),
    ]
}

/// What the task is given of the daemon's machine.
fn print_grants(task: &wire::Task) {
    for address in &task.listen {
        out!("{:<10} {address}", "listens on");
    }
    for dir in &task.dirs {
        let read_only = match dir.read_only {
            Some(true) => ", to be read only",
            _ => "",
        };
        out!(
            "{:<10} {} as {}{read_only}",
            "directory",
            dir.host,
            dir.guest
        );
    }
    for dir in &task.tmpfs {
        out!(
            "{:<10} {} of {}",
            "in memory",
            dir.guest,
            format::bytes(dir.size.as_ref().and_then(|size| size.bytes()).unwrap_or(0))
        );
    }
}

fn listed(limits: &BTreeMap<String, String>) -> String {
    let limits = limits.iter().map(|(name, value)| format!("{name}={value}"));
    limits.collect::<Vec<_>>().join(" ")
}
