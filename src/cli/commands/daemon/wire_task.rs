//! Tasks as they are sent to a daemon and come back.

use crate::cli::args::daemon::{Connections, DaemonTask};
use crate::cli::args::guest::HostGrants;
use crate::cli::args::limits::LimitFlags;
use crate::cli::exit::{Failure, NO_INPUT, USAGE};
use crate::cli::output::{self, format, out};
use crate::cli::parse;
use crate::daemon::http::{peers, wire};
use crate::wasi::{Access, HostDir, Rule};

/// What `submit` and `import` have in common, for a request.
pub(super) fn submission(
    grants: &HostGrants,
    task: &DaemonTask,
    limits: &LimitFlags,
) -> Result<wire::Submit, Failure> {
    let texts = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect();
    let (network, determinism) = (&grants.network, &grants.determinism);
    Ok(wire::Submit {
        dirs: directories(&grants.dirs)?,
        listen: network.tcplisten.clone(),
        allow_connect: texts(&network.allow_connect),
        allow_listen: texts(&network.allow_listen),
        clocks: determinism.clocks.map(|clocks| clocks.to_string()),
        random: determinism.random.map(|random| random.to_string()),
        name: task.name.clone(),
        engine: task.engine.map(|engine| engine.to_string()),
        accept_changed_files: task.accept_changed_files,
        proxy_streams: task.streams == Connections::Proxy,
        limits: wire::settings(&limits.limits),
        on_limit: limits.on_limit.map(|on_limit| on_limit.to_string()),
        ..wire::Submit::default()
    })
}

/// Directories by whole paths of the host: the daemon's working directory is another.
fn directories(given: &[String]) -> Result<Vec<wire::Dir>, Failure> {
    let dirs = parse::guest::dirs(given)?;
    dirs.into_iter().map(directory).collect()
}

fn directory(dir: HostDir) -> Result<wire::Dir, Failure> {
    let failed = |error| {
        Failure::new(
            NO_INPUT,
            format!("cannot find {}: {error}", dir.host.display()),
        )
    };
    let host = dir.host.canonicalize().map_err(failed)?;
    let host = host
        .to_str()
        .map(String::from)
        .ok_or_else(|| Failure::new(USAGE, format!("the path {} is not UTF-8", host.display())))?;
    Ok(wire::Dir {
        host,
        guest: dir.guest,
        read_only: match dir.access {
            Access::Kept => None,
            Access::ReadOnly => Some(true),
            Access::ReadWrite => Some(false),
        },
    })
}

/// Prints a new task: its number, or all of it as JSON.
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
pub(super) fn place(to: &wire::MovedTo) -> String {
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
