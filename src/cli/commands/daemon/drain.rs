//! `dormouse drain`: moves all tasks to other daemons.

use std::io::{BufRead, BufReader};

use serde_json::json;
use ureq::http::Method;

use super::wire_task::moved;
use crate::cli::args::daemon::Drain;
use crate::cli::client::Client;
use crate::cli::exit::{DAEMON, Done, Failure, NOT_MOVED, OK, USAGE};
use crate::cli::output::{self, format, out, say};
use crate::daemon::http::peers as wire;

pub(super) fn drain(command: &Drain) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
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
