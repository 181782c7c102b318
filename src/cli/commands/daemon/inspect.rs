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
    let fields = [
        ("task", Some(task.id.to_string())),
        ("name", task.name),
        ("program", Some(task.args.join(" "))),
        ("damaged", task.damaged),
        ("state", Some(task.state)),
        ("waits for", task.waits_for),
        ("wakes", task.wakes),
        ("every", task.every),
        ("exit code", task.exit_code.map(|code| code.to_string())),
        ("error", task.error),
        ("trouble", task.trouble.as_ref().map(wire_task::trouble)),
        ("submitted", Some(task.submitted)),
        ("changed", Some(task.changed)),
        (
            "started",
            Some(format!(
                "{} times, put to sleep {} times",
                task.runs, task.sleeps
            )),
        ),
        ("copy of", task.forked_from),
        ("came from", task.came_from),
        ("moved to", task.moved_to.as_ref().map(wire_task::place)),
        ("engine", task.engine),
        (
            "limits",
            Some(listed(&task.limits)).filter(|limits| !limits.is_empty()),
        ),
        ("restart", task.restart),
        ("clocks", task.clocks),
        ("random", task.random),
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
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            out!("{name:<10} {value}");
        }
    }
    for address in task.listen {
        out!("{:<10} {address}", "listens on");
    }
    for dir in task.dirs {
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
    for dir in task.tmpfs {
        out!(
            "{:<10} {} of {}",
            "in memory",
            dir.guest,
            format::bytes(dir.size.and_then(|size| size.bytes()).unwrap_or(0))
        );
    }
    OK
}

fn listed(limits: &BTreeMap<String, String>) -> String {
    let limits = limits.iter().map(|(name, value)| format!("{name}={value}"));
    limits.collect::<Vec<_>>().join(" ")
}
