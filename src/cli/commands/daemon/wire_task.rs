//! Tasks as they are sent to a daemon and come back.

use std::path::Path;

use crate::cli::exit::{Failure, NO_INPUT, USAGE};
use crate::cli::output::{self, format, out};
use crate::daemon::http::{peers, wire};
use crate::model::TaskSpec;

/// Names directories by whole paths of the host: the daemon's working directory is another.
pub(super) fn whole_paths(spec: &mut TaskSpec) -> Result<(), Failure> {
    for mount in &mut spec.mounts {
        let failed = |error| Failure::new(NO_INPUT, format!("cannot find {}: {error}", mount.host));
        let host = Path::new(&mount.host).canonicalize().map_err(failed)?;
        mount.host = host.to_str().map(String::from).ok_or_else(|| {
            Failure::new(USAGE, format!("the path {} is not UTF-8", host.display()))
        })?;
    }
    Ok(())
}

/// Prints a new task: its ID, or all of it as JSON.
pub(super) fn print(task: &wire::Task) {
    match output::as_json() {
        true => output::result(task),
        false => out!("{}", task.id),
    }
}

/// How a task stands, in a word.
pub(super) fn state(task: &wire::Task) -> &str {
    match task.damaged.is_some() {
        true => "damaged",
        false => &task.state,
    }
}

/// Where a task is that has moved.
pub(super) fn location(to: &wire::MovedTo) -> String {
    format!("task {} of daemon {} at {}", to.task, to.daemon, to.address)
}

/// Why a task does not go on for now.
pub(super) fn trouble(found: &wire::Trouble) -> String {
    let wire::Trouble {
        since,
        tries,
        next,
        error,
    } = found;
    format!("since {since}, tried {tries} times, next at {next}: {error}")
}

/// How far a task's module is, which is made ready.
pub(super) fn preparing(found: &wire::Preparing) -> String {
    let work = match found.engine {
        None => "resumable".into(),
        Some(engine) => format!("ready for {engine}"),
    };
    let percent = (found.share * 100.0).floor();
    let left = found.left.ceil();
    let step = &found.step;
    format!("its module is made {work}: {step}, {percent:.0} % done, about {left:.0} s left")
}

/// A line about a task that has moved to another daemon.
pub(super) fn moved(task: u64, to: &peers::There) -> String {
    let late = match to.confirmed {
        true => "",
        false => "; it has not confirmed that yet, and is told again until it does",
    };
    format!(
        "task {task} is task {} of daemon {} at {} now: {} sent, it stood still for {}{late}",
        to.task,
        to.daemon,
        to.address,
        format::bytes(to.bytes),
        milliseconds(to.stopped)
    )
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}
