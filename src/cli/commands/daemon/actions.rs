//! What `dormouse pause`, `kill`, `rm`, `start` and `resume` do to a task.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::client::{Client, escaped};
use crate::cli::exit::Failure;
use crate::daemon::http::wire;

/// What is done to a task.
pub(super) enum Action {
    Pause,
    Kill,
    Remove,
    Start,
    Resume(wire::Resume),
}

impl Action {
    /// The states in which the action makes sense. A filter that names no state leaves out tasks in
    /// other states.
    pub(super) fn states(&self) -> &'static str {
        match self {
            Self::Pause => "ready,running,parked,hibernated",
            Self::Kill => "ready,running,parked,hibernated,paused",
            Self::Remove => "paused,exited,failed,moved",
            Self::Start => "hibernated",
            Self::Resume(_) => "paused",
        }
    }

    /// Does it to one task; gives a line about the result, and the same as JSON.
    pub(super) fn apply(&self, client: &Client, id: &str) -> Result<(String, Value), Failure> {
        let (word, late) = match self {
            Self::Remove => {
                let path = format!("/v1/tasks/{}", escaped(id));
                client.send(Method::DELETE, &path, "application/json", Vec::new())?;
                return Ok((format!("task {id} is removed"), json!({ "done": true })));
            }
            Self::Pause => ("pause", "it is paused when it blocks"),
            Self::Kill => ("kill", "it ends at its next call to the host"),
            Self::Start => ("start", ""),
            Self::Resume(_) => ("resume", ""),
        };
        let body = match self {
            Self::Resume(more) => Some(more),
            _ => None,
        };
        let (task, done) = client.act(id, word, body)?;
        let told = match (self, done) {
            (Self::Start, _) => format!("task {} starts now", task.id),
            (_, true) => format!("task {} is {}", task.id, task.state),
            (_, false) => format!(
                "task {} computes; {late}, unless the daemon dies before",
                task.id
            ),
        };
        Ok((
            told,
            json!({ "done": done, "id": task.id, "state": task.state }),
        ))
    }
}
