//! `dormouse inspect` of a daemon's task.

use super::task_ref::with_rule;
use super::wire_task;
use crate::cli::args::daemon::Remote;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, format, out};
use crate::daemon::http::wire;
use crate::model::TaskSpec;
use crate::model::spec::Access;

pub(crate) fn inspect(remote: &Remote, id: &str) -> Result<Done, Failure> {
    let client = Client::new(remote)?;
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
    print_grants(&task.spec);
    OK
}

/// What is known of a task, each with its name.
fn fields(task: &wire::Task) -> Vec<(&'static str, Option<String>)> {
    let spec = &task.spec;
    vec![
        ("task", Some(task.id.to_string())),
        ("name", task.name.clone()),
        ("program", Some(spec.arguments().join(" "))),
        ("damaged", task.damaged.clone()),
        ("state", Some(task.state.clone())),
        ("node", task.node.clone()),
        ("waits for", task.waits_for.clone()),
        ("wakes", task.wakes.clone()),
        ("every", shown(spec.schedule.every.as_ref())),
        ("exit code", task.exit_code.map(|code| code.to_string())),
        ("error", task.error.clone()),
        (
            "preparing",
            task.preparing.as_ref().map(wire_task::preparing),
        ),
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
        ("moved to", task.moved_to.as_ref().map(wire_task::location)),
        ("engine", shown(spec.engine)),
        (
            "limits",
            Some(listed(spec)).filter(|limits| !limits.is_empty()),
        ),
        ("restart", shown(spec.restart)),
        ("place", place(spec)),
        ("not placed", task.unplaced.clone()),
        ("clocks", shown(spec.clocks)),
        ("random", shown(spec.random)),
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
            "connection",
            task.accepted_by.map(|id| format!("accepted by task {id}")),
        ),
        ("open", connections(&task.connections)),
        (
            "variables",
            Some(task.variables.join(" ")).filter(|names| !names.is_empty()),
        ),
    ]
}

/// What the task is given of the daemon's machine.
fn print_grants(spec: &TaskSpec) {
    for address in &spec.network.listen {
        out!("{:<10} {address}", "listens on");
    }
    if let Some(address) = &spec.network.http {
        let instances = match spec.network.instances() {
            Some(most) => format!(", by an instance for each request, {most} at most at once"),
            None => String::new(),
        };
        out!("{:<10} http://{address}{instances}", "answers at");
    }
    for dir in &spec.mounts {
        let read_only = match dir.access {
            Access::ReadOnly => ", to be read only",
            Access::Kept | Access::ReadWrite => "",
        };
        out!(
            "{:<10} {} as {}{read_only}",
            "directory",
            dir.host,
            dir.guest
        );
    }
    for dir in &spec.tmpfs {
        out!(
            "{:<10} {} of {}",
            "in memory",
            dir.guest,
            format::bytes(dir.size.map_or(0, |size| size.0))
        );
    }
}

/// The labels that it asks for, if it does.
fn place(spec: &TaskSpec) -> Option<String> {
    let labels = spec.place.iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    (!labels.is_empty()).then(|| labels.join(" "))
}

/// The tasks of its connections, if it has any.
fn connections(tasks: &[u64]) -> Option<String> {
    let numbers: Vec<String> = tasks.iter().map(u64::to_string).collect();
    let count = tasks.len();
    (count > 0).then(|| format!("{count} connections, of tasks {}", numbers.join(" ")))
}

fn shown(word: Option<impl ToString>) -> Option<String> {
    word.map(|word| word.to_string())
}

fn listed(spec: &TaskSpec) -> String {
    let limits = spec.limits.iter().map(|limit| limit.to_string());
    limits.collect::<Vec<_>>().join(" ")
}
