//! The commands that give a daemon a task, or get one from it: submit, import, export, resume, inspect.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use ureq::http::Method;

use super::args::{Export, Import, Remote, Streams, Submit, Which};
use super::bounds::Bounds;
use super::client::{Client, bytes, segment};
use super::exit::{Code, DAEMON, Done, Failure, MODULE, NO_INPUT, NO_TASK, USAGE};
use super::run::{dirs, environment, file_name, read_module, tmpfs};
use super::several::{self, Act};
use super::text::{self, out, say};
use crate::error::ErrorKind;
use crate::model::{Digest, check_name};
use crate::server::wire;
use crate::snapshot;
use crate::wasi::Access;

const OK: Result<Done, Failure> = Ok(Done::Guest(0));

/// A batch has at most so many tasks, and so many bytes of what they are submitted with.
const BATCH: u32 = 10_000;
const BATCH_BYTES: usize = 16 << 20;

pub(super) fn submit(command: &Submit) -> Result<Done, Failure> {
    let Some((module, arguments)) = command.command.split_first() else {
        return Err(Failure::new(USAGE, "give a module to submit"));
    };
    let known = super::run::by_digest(module)?;
    let source = match known {
        Some(_) => Vec::new(),
        None => read_module(Path::new(module))?,
    };
    super::run::check_digest(|| Digest::of(&source), known, command.digest.as_deref())?;
    let client = Client::new(command.remote.url.as_deref())?;
    let (allow_connect, allow_listen) = command.reach.texts();
    let mut task = wire::Submit {
        allow_connect,
        allow_listen,
        clocks: command.reach.clocks.map(|clocks| clocks.to_string()),
        random: command.reach.random.map(|random| random.to_string()),
        args: std::iter::once(file_name(module))
            .chain(arguments.iter().cloned())
            .collect(),
        env: environment(&command.env)?.into_iter().collect(),
        dirs: directories(&command.dirs)?,
        listen: command.tcplisten.clone(),
        tmpfs: tmpfs(&command.tmpfs, &command.bounds.limits())?
            .into_iter()
            .map(|dir| wire::Tmpfs {
                guest: dir.guest,
                size: Some(wire::Size::Bytes(dir.limit)),
            })
            .collect(),
        name: command.name.clone(),
        engine: command.engine.map(|engine| engine.to_string()),
        at: command.at.map(|at| at.to_string()),
        every: command.every.clone(),
        limits: wire::settings(&command.bounds.limits),
        on_limit: command.bounds.on_limit.map(|on| on.to_string()),
        restart: command.restart.map(|restart| restart.to_string()),
        accept_changed_files: command.accept_changed_files,
        proxy_streams: command.streams == Streams::Proxy,
        ..wire::Submit::default()
    };
    let bar = super::progress::Bar::elsewhere(&file_name(module));
    let query = match command.preempt {
        true => "?preempt=true",
        false => "",
    };
    let uploaded: wire::Module = match known {
        Some(digest) => client.get(&format!("/v1/modules/{digest}{query}"))?,
        None => {
            let path = format!("/v1/modules{query}");
            let mut uploaded = client
                .send(Method::PUT, &path, "application/wasm", source)
                .map_err(|failure| failure.about(MODULE, module))?;
            uploaded.body_mut().read_json().map_err(|error| {
                Failure::new(DAEMON, format!("cannot understand the daemon: {error}"))
            })?
        }
    };
    drop(bar);
    task.module = uploaded.module;
    if command.count == 1 {
        let task: wire::Task = client.json(Method::POST, "/v1/tasks", Some(&task))?;
        tell(&task);
        return OK;
    }
    // What is sent of a task is no less than what is stored of it.
    let size = json!(task).to_string().len();
    let fit = u32::try_from(BATCH_BYTES / size).unwrap_or(u32::MAX);
    let at_once = BATCH.min(fit.max(1));
    let mut left = command.count;
    let mut ids = Vec::new();
    while left > 0 {
        task.count = Some(left.min(at_once));
        left -= left.min(at_once);
        let told: Vec<wire::Submitted> = client.json(Method::POST, "/v1/batch", Some(&[&task]))?;
        for submitted in told {
            match (submitted.id, submitted.error) {
                (Some(id), _) if text::as_json() => ids.push(json!({ "id": id })),
                (Some(id), _) => out!("{id}"),
                (None, error) => {
                    let kind = submitted.kind.as_deref().map(str::parse::<ErrorKind>);
                    let code = kind.and_then(Result::ok).map_or(USAGE, Code::from);
                    return Err(Failure::new(code, error.unwrap_or_default()));
                }
            }
        }
    }
    if text::as_json() {
        text::result(&ids);
    }
    OK
}

/// Tells of a new task.
fn tell(task: &wire::Task) {
    match text::as_json() {
        true => text::result(task),
        false => out!("{}", task.id),
    }
}

/// The host's side as the daemon finds it, whatever its own directory is.
fn directories(given: &[String]) -> Result<Vec<wire::Dir>, Failure> {
    let absolute = |dir: crate::wasi::HostDir| {
        let failed = |error| {
            Failure::new(
                NO_INPUT,
                format!("cannot find {}: {error}", dir.host.display()),
            )
        };
        let host = dir.host.canonicalize().map_err(failed)?;
        let host = host.to_str().map(String::from).ok_or_else(|| {
            Failure::new(USAGE, format!("the path {} is not UTF-8", host.display()))
        })?;
        Ok(wire::Dir {
            host,
            guest: dir.guest,
            read_only: match dir.access {
                Access::Kept => None,
                Access::ReadOnly => Some(true),
                Access::ReadWrite => Some(false),
            },
        })
    };
    dirs(given)?.into_iter().map(absolute).collect()
}

/// Where a task is now.
pub(super) fn there(to: &wire::MovedTo) -> String {
    format!("task {} of daemon {} at {}", to.task, to.daemon, to.address)
}

/// `resume` of tasks of the daemon's, with other limits.
pub(super) fn resume(
    remote: &Remote,
    ids: &[String],
    which: &Which,
    bounds: &Bounds,
) -> Result<Done, Failure> {
    let more = wire::Resume {
        limits: wire::settings(&bounds.limits),
        on_limit: bounds.on_limit.map(|on| on.to_string()),
    };
    several::given(remote, ids, which, &Act::Resume(more)).map_err(neither)
}

/// `inspect` of a task of the daemon's.
pub(super) fn inspect(remote: &Remote, id: &str) -> Result<Done, Failure> {
    let client = Client::new(remote.url.as_deref())?;
    let task: wire::Task = client
        .get(&format!("/v1/tasks/{}", segment(id)))
        .map_err(neither)?;
    if text::as_json() {
        text::result(&task);
        return OK;
    }
    let fields = [
        ("task", Some(task.id.to_string())),
        ("name", task.name),
        ("program", Some(task.args.join(" "))),
        ("state", Some(task.state)),
        ("waits for", task.waits_for),
        ("wakes", task.wakes),
        ("every", task.every),
        ("exit code", task.exit_code.map(|code| code.to_string())),
        ("error", task.error),
        ("trouble", task.trouble.as_ref().map(super::ps::trouble)),
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
        ("moved to", task.moved_to.as_ref().map(there)),
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
        ("snapshot", Some(text::bytes(task.snapshot_bytes))),
        ("output", Some(text::bytes(task.output_bytes))),
        (
            "memory",
            Some(text::bytes(task.memory)).filter(|_| task.memory > 0),
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
            text::bytes(dir.size.and_then(|size| size.bytes()).unwrap_or(0))
        );
    }
    OK
}

fn listed(limits: &BTreeMap<String, String>) -> String {
    let limits = limits.iter().map(|(name, value)| format!("{name}={value}"));
    limits.collect::<Vec<_>>().join(" ")
}

pub(super) fn export(command: &Export) -> Result<Done, Failure> {
    // Keys that cannot be read are told before anything is asked.
    let seal = super::keys::seal(&command.sealing)?;
    let client = Client::new(command.remote.url.as_deref())?;
    let path = format!("/v1/tasks/{}/snapshot", segment(&command.id));
    let response = client.send(Method::GET, &path, "application/json", Vec::new())?;
    let bytes = bytes(response)?;
    snapshot::write(&command.output, &seal.close(bytes)?)?;
    if text::as_json() {
        text::result(&json!({ "task": command.id, "snapshot": command.output.to_string_lossy() }));
        return OK;
    }
    say!(
        "a copy of task {} is in {}; the task goes on in the daemon",
        command.id,
        command.output.display()
    );
    OK
}

pub(super) fn import(command: &Import) -> Result<Done, Failure> {
    let keys = super::keys::unseal(&command.opening)?;
    let opened = super::resume::read_file(&command.snapshot, &keys, &command.bounds.limits())?;
    let encrypted = || snapshot::Error::Encrypted.into();
    let bytes = opened
        .snapshot
        .ok_or_else(encrypted)
        .map_err(|error| super::resume::at(&command.snapshot, error))?;
    let client = Client::new(command.remote.url.as_deref())?;
    let (allow_connect, allow_listen) = command.reach.texts();
    let task = wire::Submit {
        allow_connect,
        allow_listen,
        clocks: command.reach.clocks.map(|clocks| clocks.to_string()),
        random: command.reach.random.map(|random| random.to_string()),
        dirs: directories(&command.dirs)?,
        listen: command.tcplisten.clone(),
        name: command.name.clone(),
        engine: command.engine.map(|engine| engine.to_string()),
        limits: wire::settings(&command.bounds.limits),
        on_limit: command.bounds.on_limit.map(|on| on.to_string()),
        accept_changed_files: command.accept_changed_files,
        proxy_streams: command.streams == Streams::Proxy,
        ..wire::Submit::default()
    };
    let task = segment(&json!(task).to_string());
    let path = format!("/v1/snapshots?task={task}");
    let mut response = client.send(Method::POST, &path, "application/octet-stream", bytes)?;
    let task: wire::Task = response
        .body_mut()
        .read_json()
        .map_err(|error| Failure::new(DAEMON, format!("cannot understand the daemon: {error}")))?;
    if let Some(origin) = &task.forked_from {
        say!("this is a copy of task {origin}, which may go on as well");
    }
    tell(&task);
    OK
}

/// What `inspect` and `resume` are given: said by their help and by messages.
pub(super) const WHICH: &str = "what has a '/' in it or begins with '.' is a file; digits alone are a task's number; \
     anything else is the file of that name here, if there is one, else the task of that name";

/// The task of the daemon's that was given; `None` for a file.
///
/// # Errors
/// Where it can be neither.
pub(super) fn is_task<'a>(given: &'a Path, remote: &Remote) -> Result<Option<&'a str>, Failure> {
    let Some(text) = given.to_str().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().all(|c| c.is_ascii_digit()) {
        return Ok(Some(text));
    }
    // No name has a '/' in it or begins with '.'.
    if check_name(text).is_err() || given.exists() {
        return Ok(None);
    }
    // Where no daemon is known, a file is what is missing.
    Client::new(remote.url.as_deref()).map_err(|failure| match failure.code {
        DAEMON => Failure::new(
            NO_INPUT,
            format!("there is no file {text} here, and no daemon is known that could have a task of that name ({WHICH})"),
        ),
        _ => failure,
    })?;
    Ok(Some(text))
}

/// Names the rule where there is no such task.
fn neither(failure: Failure) -> Failure {
    match failure.code == NO_TASK && failure.message.starts_with("there is no task") {
        true => Failure::new(NO_TASK, format!("{} ({WHICH})", failure.message)),
        false => failure,
    }
}
