//! `dormouse export`: a copy of a task as a snapshot file.

use serde_json::json;
use ureq::http::Method;

use crate::cli::args::daemon::Export;
use crate::cli::client::{Client, bytes, escaped};
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, say};
use crate::snapshot;

pub(super) fn export(command: &Export) -> Result<Done, Failure> {
    // Keys that cannot be read are reported before the daemon is asked.
    let seal = command.sealing.load()?;
    let client = Client::new(&command.remote)?;
    let path = format!("/v1/tasks/{}/snapshot", escaped(&command.id));
    let response = client.send(Method::GET, &path, "application/json", Vec::new())?;
    snapshot::write(&command.output, &seal.close(bytes(response)?)?)?;
    if output::as_json() {
        let snapshot = command.output.to_string_lossy();
        output::result(&json!({ "task": command.id, "snapshot": snapshot }));
        return OK;
    }
    say!(
        "a copy of task {} is in {}; the task goes on in the daemon",
        command.id,
        command.output.display()
    );
    OK
}
