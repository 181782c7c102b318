//! `dormouse drain`: moves all tasks to other daemons, or gives those of a node back to the others.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::json;
use ureq::http::Method;

use super::wire_task::moved;
use crate::cli::args::daemon::Drain;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{DAEMON, Done, Failure, NOT_MOVED, OK, USAGE};
use crate::cli::output::{self, format, out, say};
use crate::daemon::http::nodes::{Node, Nodes};
use crate::daemon::http::peers as wire;

/// How often a node is asked what it has still.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Drains a node, and waits until it has nothing left.
fn drain_node(client: &Client, name: &str, command: &Drain) -> Result<Done, Failure> {
    let path = format!("/v1/nodes/{}/drain", escaped(name));
    let method = match command.undo {
        true => Method::DELETE,
        false => Method::POST,
    };
    let mut node: Node = client.json(method, &path, None::<&()>)?;
    if command.undo {
        match output::as_json() {
            true => output::result(&node),
            false => say!("node {name} takes work again"),
        }
        return OK;
    }
    let began = Instant::now();
    while node.owned > 0 && began.elapsed() < command.patience.0 {
        std::thread::sleep(ASK_EVERY);
        let nodes: Nodes = client.get("/v1/nodes")?;
        let mut nodes = nodes.nodes.into_iter();
        match nodes.find(|other| other.number == node.number) {
            Some(found) => node = found,
            // It has ended, and has given all back before.
            None => node.owned = 0,
        }
    }
    if output::as_json() {
        output::result(&node);
    }
    match node.owned {
        0 => {
            say!(
                "node {name} has no tasks and takes none; stop it, or `dormouse drain --node {name} --undo`"
            );
            OK
        }
        left => {
            say!(
                "node {name} has {left} tasks still, whose guests compute: each is given back when it waits. If the \
                 node is stopped before, they go on elsewhere from their last sleep"
            );
            Ok(Done::Own(NOT_MOVED))
        }
    }
}

pub(super) fn drain(command: &Drain) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    if let Some(name) = &command.node {
        return drain_node(&client, name, command);
    }
    let asked = wire::Drain {
        to: command.to.clone(),
        cancel: command.cancel,
        patience: Some(command.patience.0.as_secs_f64()),
    };
    let body = serde_json::to_vec(&asked)
        .map_err(|error| Failure::new(USAGE, format!("cannot write the request: {error}")))?;
    let mut response = client.send(Method::POST, "/v1/drain", "application/json", body)?;
    if command.cancel {
        match output::as_json() {
            true => output::result(&json!({ "draining": false })),
            false => say!("the daemon takes tasks again"),
        }
        return OK;
    }
    let (mut count, mut bytes, mut stay) = (0_u64, 0_u64, Vec::new());
    let mut all = Vec::new();
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    for line in BufReader::new(reader).lines() {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::new(DAEMON, format!("the daemon's answer broke off: {error}"))
        };
        let line = line.map_err(|error| broken(&error))?;
        let gone: wire::Gone = serde_json::from_str(&line).map_err(|error| broken(&error))?;
        if output::as_json() {
            all.push(gone.clone());
        }
        let number = count + stay.len() as u64 + 1;
        let of = gone.of.unwrap_or(number);
        match (gone.to, gone.error) {
            (Some(to), _) => {
                count += 1;
                bytes += to.bytes;
                say!("{number}/{of}  {}", moved(gone.task, &to));
            }
            (None, error) => {
                let error = error.unwrap_or_default();
                say!("{number}/{of}  task {} stays: {error}", gone.task);
                stay.push((gone.task, error));
            }
        }
    }
    if output::as_json() {
        output::result(&json!({ "draining": true, "moved": count, "bytes": bytes, "tasks": all }));
    } else {
        out!(
            "moved {count} tasks, {}; {} stay",
            format::bytes(bytes),
            stay.len()
        );
        for (task, error) in &stay {
            out!("{task:>8}  {error}");
        }
        say!("the daemon takes no tasks from now on; stop it, or `dormouse drain --cancel`");
    }
    match stay.len() {
        0 => OK,
        _ => Ok(Done::Own(NOT_MOVED)),
    }
}
