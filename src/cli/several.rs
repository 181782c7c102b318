//! `dormouse pause`, `kill`, `rm`, `start`, and `resume` of a daemon's tasks: of one, of several, or of all that match.
//!
//! There is a line for each task. The exit code is 0 where all was done, else that of the first task, in the order in
//! which they were named, of which it was not; where some compute, and it is only not done yet, 83.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde_json::{Value, json};
use ureq::http::Method;

use super::args::{Remote, Several, Which};
use super::client::{Client, segment};
use super::exit::{Done, Failure, NOT_YET};
use super::ps;
use super::text::{self, say};
use crate::server::wire;

/// So many are asked for at once, so that they share a transaction of the store.
const AT_ONCE: usize = 16;

/// What is done with a task.
pub(super) enum Act {
    Pause,
    Kill,
    Remove,
    Start,
    Resume(wire::Resume),
}

impl Act {
    /// The states in which a task that is selected by its name can be meant; others are passed over.
    fn states(&self) -> &'static str {
        match self {
            Self::Pause => "ready,running,parked,hibernated",
            Self::Kill => "ready,running,parked,hibernated,paused",
            Self::Remove => "paused,exited,failed,moved",
            Self::Start => "hibernated",
            Self::Resume(_) => "paused",
        }
    }

    /// Does it with one task; gives what is told of it, and its state.
    fn one(&self, client: &Client, id: &str) -> Result<(String, Value), Failure> {
        let (word, late) = match self {
            Self::Remove => {
                let path = format!("/v1/tasks/{}", segment(id));
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

pub(super) fn several(command: &Several, act: &Act) -> Result<Done, Failure> {
    given(&command.remote, &command.ids, &command.which, act)
}

/// Does it with those that are named, or with those that match.
pub(super) fn given(
    remote: &Remote,
    ids: &[String],
    which: &Which,
    act: &Act,
) -> Result<Done, Failure> {
    let client = Client::new(remote.url.as_deref())?;
    let matching = match which.is_given() {
        false => Vec::new(),
        true => {
            let which = Which {
                state: which.state.clone().or_else(|| Some(act.states().into())),
                name: which.name.clone(),
            };
            let (tasks, _) = ps::list(&client, &which, None, u64::MAX)?;
            if tasks.is_empty() {
                say!("no task matches");
            }
            tasks.iter().map(|task| task.id.to_string()).collect()
        }
    };
    let mut first = None;
    let mut late = false;
    let mut results = Vec::new();
    each(&client, [ids, &matching].concat(), act, |id, result| {
        let known = match result {
            Ok((told, known)) => {
                if !text::as_json() {
                    say!("{told}");
                }
                late |= known["done"] == false;
                known
            }
            Err(failure) => {
                if !text::as_json() && ids.len() + matching.len() > 1 {
                    say!("{id}: {}", failure.message);
                }
                let known = json!({
                    "done": false,
                    "error": failure.message,
                    "code": failure.code.number(),
                });
                first.get_or_insert(failure);
                known
            }
        };
        if text::as_json() {
            let mut all = json!({ "task": id });
            if let (Some(all), Value::Object(known)) = (all.as_object_mut(), known) {
                all.extend(known);
            }
            results.push(all);
        }
    });
    if text::as_json() {
        text::result(&results);
    }
    match first {
        // It is not stored, and a crash would forget it.
        None if late => Ok(Done::Own(NOT_YET)),
        None => Ok(Done::Guest(0)),
        // One alone is told as any failure is.
        Some(failure) if ids.len() == 1 && matching.is_empty() && !text::as_json() => Err(failure),
        Some(failure) => Ok(Done::Own(failure.code)),
    }
}

type Told = Result<(String, Value), Failure>;

/// Does it with each, several at once, and tells in their order.
fn each(client: &Client, ids: Vec<String>, act: &Act, mut tell: impl FnMut(&str, Told)) {
    let next = AtomicUsize::new(0);
    let (done, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(ids.len()) {
            let (done, next, ids) = (done.clone(), &next, &ids);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(id) = ids.get(place) else { return };
                    // Whoever reads them stays until all are done.
                    let _ = done.send((place, act.one(client, id)));
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut told = 0;
        for (place, result) in results {
            early.insert(place, result);
            while let Some(result) = early.remove(&told) {
                tell(&ids[told], result);
                told += 1;
            }
        }
    });
}
