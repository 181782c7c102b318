//! `dormouse import`: a task from a snapshot file.

use serde_json::json;
use ureq::http::Method;

use super::wire_task;
use crate::cli::args::daemon::Import;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{DAEMON, Done, Failure, OK};
use crate::cli::output::say;
use crate::cli::snapshot_file;
use crate::daemon::http::wire;
use crate::snapshot;

pub(super) fn import(command: &Import) -> Result<Done, Failure> {
    let keys = command.opening.load()?;
    let opened = snapshot_file::read(&command.snapshot, &keys, &command.limits.limits())?;
    let encrypted = || snapshot::Error::Encrypted.into();
    let bytes = opened
        .content
        .ok_or_else(encrypted)
        .map_err(|error| snapshot_file::at(&command.snapshot, error))?;
    let client = Client::new(&command.remote)?.with_trace(None);
    let mut spec = command.spec();
    wire_task::whole_paths(&mut spec)?;
    let task = escaped(&json!(spec).to_string());
    let path = format!("/v1/snapshots?task={task}");
    let mut response = client.send(Method::POST, &path, "application/octet-stream", bytes)?;
    let task: wire::Task = response
        .body_mut()
        .read_json()
        .map_err(|error| Failure::new(DAEMON, format!("cannot understand the daemon: {error}")))?;
    if let Some(origin) = &task.forked_from {
        say!("this is a copy of task {origin}, which may go on as well");
    }
    wire_task::print(&task);
    OK
}
