//! The commands that ask a daemon about tasks: submit, ps, logs, pause, resume, kill, rm, inspect,
//! export, import.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::time::SystemTime;

use serde_json::json;
use ureq::http::Method;

use super::args::{Export, Import, Logs, Named, Ps, Remote, Streams, Submit};
use super::bounds::Bounds;
use super::client::{Client, bytes, segment};
use super::exit::{DAEMON, Done, Failure, MISSING, NO_INPUT, NO_TASK, USAGE};
use super::run::{dirs, environment, file_name, read_module, tmpfs};
use super::text::{self, out, say};
use crate::model::Digest;
use crate::server::wire;
use crate::snapshot;
use crate::wasi::Access;

const OK: Result<Done, Failure> = Ok(Done::Guest(0));

/// A batch has at most so many tasks.
const BATCH: u32 = 10_000;

pub(super) fn submit(command: &Submit) -> Result<Done, Failure> {
    let Some((module, arguments)) = command.command.split_first() else {
        return Err(Failure::new(USAGE, "give a module to submit"));
    };
    let known = super::run::by_digest(module)?;
    let source = match known {
        Some(_) => Vec::new(),
        None => read_module(std::path::Path::new(module))?,
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
        at: command.at.as_deref().map(start).transpose()?,
        every: command.every.clone(),
        limits: wire::settings(&command.bounds.limits),
        on_limit: command.bounds.on_limit.map(|on| on.to_string()),
        restart: command.restart.map(|restart| restart.to_string()),
        accept_changed_files: command.accept_changed_files,
        proxy_streams: command.streams == Streams::Proxy,
        ..wire::Submit::default()
    };
    let bar = super::progress::Bar::new(&file_name(module));
    bar.stage("making it ready in the daemon", 0, 1);
    let query = match command.preempt {
        true => "?preempt=true",
        false => "",
    };
    let uploaded: wire::Module = match known {
        Some(digest) => client
            .get(&format!("/v1/modules/{digest}{query}"))
            .map_err(|failure| match failure.code {
                NO_TASK => Failure::new(MISSING, failure.message),
                _ => failure,
            })?,
        None => {
            let path = format!("/v1/modules{query}");
            let mut uploaded = client
                .send(Method::PUT, &path, "application/wasm", source)
                .map_err(|failure| failure.about(USAGE, module))?;
            uploaded.body_mut().read_json().map_err(|error| {
                Failure::new(DAEMON, format!("cannot understand the daemon: {error}"))
            })?
        }
    };
    drop(bar);
    task.module = uploaded.module;
    if command.count == 1 {
        let task: wire::Task = client.json(Method::POST, "/v1/tasks", Some(&task))?;
        out!("{}", task.id);
        return OK;
    }
    let mut left = command.count;
    while left > 0 {
        task.count = Some(left.min(BATCH));
        left -= left.min(BATCH);
        let told: Vec<wire::Submitted> = client.json(Method::POST, "/v1/batch", Some(&[&task]))?;
        for submitted in told {
            match (submitted.id, submitted.error) {
                (Some(id), _) => out!("{id}"),
                (None, error) => {
                    return Err(Failure::new(USAGE, error.unwrap_or_default()));
                }
            }
        }
    }
    OK
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

/// A time as RFC 3339: given so, or as `+10m` from now.
fn start(text: &str) -> Result<String, Failure> {
    let time = match text.strip_prefix('+') {
        Some(later) => humantime::parse_duration(later.trim())
            .ok()
            .and_then(|later| SystemTime::now().checked_add(later)),
        None => humantime::parse_rfc3339_weak(text).ok(),
    };
    let time = time.ok_or_else(|| {
        let text = format!("--at {text}: write 2030-01-31T12:00:00Z (UTC), or +10m from now");
        Failure::new(USAGE, text)
    })?;
    Ok(humantime::format_rfc3339_millis(time).to_string())
}

pub(super) fn ps(command: &Ps) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let states = match &command.state {
        Some(states) => format!("&state={}", states.replace(' ', "")),
        None => String::new(),
    };
    let mut tasks: Vec<wire::Task> = Vec::new();
    let mut before = String::new();
    while tasks.len() < command.limit {
        let limit = (command.limit - tasks.len()).min(1000);
        let path = format!("/v1/tasks?limit={limit}{states}{before}");
        let page: wire::Tasks = client.get(&path)?;
        tasks.extend(page.tasks);
        let Some(next) = page.next else { break };
        before = format!("&before={next}");
    }
    if command.json {
        text::print(&format!("{:#}", json!(tasks)));
        return OK;
    }
    out!(
        "{:>8}  {:<10}  {:<24}  {:<14}  {:>9}  PROGRAM",
        "ID",
        "STATE",
        "WAKES",
        "NAME",
        "SNAPSHOT"
    );
    for task in tasks {
        let wakes = match (task.exit_code, task.wakes) {
            _ if task.moved_to.is_some() => task
                .moved_to
                .as_ref()
                .map_or_else(String::new, |to| format!("{} at {}", to.task, to.address)),
            (_, Some(wakes)) => wakes,
            (Some(code), None) => format!("exit code {code}"),
            (None, None) => task
                .error
                .clone()
                .map_or("-".into(), |error| cut(&error, 24)),
        };
        let name = task.name.unwrap_or_else(|| "-".into());
        let size = match task.snapshot_bytes {
            0 => "-".into(),
            size => text::bytes(size),
        };
        let program = cut(&task.args.join(" "), 60);
        out!(
            "{:>8}  {:<10}  {wakes:<24}  {name:<14}  {size:>9}  {program}",
            task.id,
            task.state
        );
    }
    OK
}

/// Where a task is now.
fn there(to: &wire::MovedTo) -> String {
    format!("task {} of daemon {} at {}", to.task, to.daemon, to.address)
}

pub(super) fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_string(),
    }
}

pub(super) fn logs(command: &Logs) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let follow = match command.follow {
        true => "?follow=true",
        false => "",
    };
    let path = format!("/v1/tasks/{}/logs{follow}", segment(&command.id));
    let mut response = client.send(Method::GET, &path, "application/json", Vec::new())?;
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut stdout = super::log::stdout();
    for line in BufReader::new(reader).lines() {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::new(DAEMON, format!("the daemon's answer broke off: {error}"))
        };
        let line = line.map_err(|error| broken(&error))?;
        let output: wire::Output = serde_json::from_str(&line).map_err(|error| broken(&error))?;
        let written = match output.stream {
            crate::store::Stream::Stdout => stdout
                .write_all(&output.bytes())
                .and_then(|()| stdout.flush()),
            crate::store::Stream::Stderr => std::io::stderr().write_all(&output.bytes()),
        };
        if written.is_err() {
            // Who reads has seen enough.
            return OK;
        }
    }
    let task: wire::Task = client.get(&format!("/v1/tasks/{}", segment(&command.id)))?;
    if let Some(to) = &task.moved_to {
        say!(
            "task {} has moved, with its output: it is {} now",
            task.id,
            there(to)
        );
    }
    OK
}

/// `pause` and `kill`.
pub(super) fn act(remote: &Remote, id: &str, act: &str, late: &str) -> Result<Done, Failure> {
    acted(remote, id, act, None, late)
}

/// `resume` of a task of the daemon's, with other limits.
pub(super) fn resume(remote: &Remote, id: &str, bounds: &Bounds) -> Result<Done, Failure> {
    let body = wire::Resume {
        limits: wire::settings(&bounds.limits),
        on_limit: bounds.on_limit.map(|on| on.to_string()),
    };
    acted(remote, id, "resume", Some(&body), "")
}

fn acted(
    remote: &Remote,
    id: &str,
    act: &str,
    body: Option<&wire::Resume>,
    late: &str,
) -> Result<Done, Failure> {
    let client = Client::new(remote.url.as_deref())?;
    let (task, done) = client.act(id, act, body)?;
    match done {
        true => say!("task {} is {}", task.id, task.state),
        false => say!("task {} computes; {late}", task.id),
    }
    OK
}

pub(super) fn remove(command: &Named) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let path = format!("/v1/tasks/{}", segment(&command.id));
    client.send(Method::DELETE, &path, "application/json", Vec::new())?;
    OK
}

/// `inspect` of a task of the daemon's.
pub(super) fn inspect(remote: &Remote, id: &str, as_json: bool) -> Result<Done, Failure> {
    let client = Client::new(remote.url.as_deref())?;
    let task: wire::Task = client.get(&format!("/v1/tasks/{}", segment(id)))?;
    if as_json {
        text::print(&format!("{:#}", json!(task)));
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
    out!("{}", task.id);
    OK
}

/// Whether what was given names a task of the daemon's, and no file.
pub(super) fn is_task<'a>(given: &'a std::path::Path, remote: &Remote) -> Option<&'a str> {
    let text = given.to_str()?;
    let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let number = text.parse::<u64>().is_ok();
    let name = !text.is_empty() && text.chars().all(plain) && !text.starts_with('.');
    match given.exists() {
        true => None,
        // A name that looks like a file's is one, unless there is a daemon to ask.
        false if number || (name && Client::new(remote.url.as_deref()).is_ok()) => Some(text),
        false => None,
    }
}
