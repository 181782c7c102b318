//! `dormouse pause`, `kill`, `rm`, `start`, and `resume` of a daemon's tasks: of one, of several,
//! or of all that match a filter.
//!
//! Each task has a line of output. The exit code is 0 where the action has been done to all; else
//! that of the first task, in the order of the command line, to which it could not be done; else
//! 83, where some tasks compute and the action is not done yet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde_json::{Value, json};

use super::actions::Action;
use super::list::list;
use super::task_ref::with_rule;
use crate::cli::args::daemon::{Filter, Remote, Tasks};
use crate::cli::args::limits::LimitFlags;
use crate::cli::client::Client;
use crate::cli::exit::{Done, Failure, NOT_YET, OK};
use crate::cli::output::{self, say};
use crate::daemon::http::wire;

/// At most this many requests are under way at once: the daemon stores their changes in one
/// transaction.
const CONCURRENT_REQUESTS: usize = 16;

/// Does something to the tasks that a command names.
pub(super) fn all(command: &Tasks, action: &Action) -> Result<Done, Failure> {
    apply(&command.remote, &command.ids, &command.filter, action)
}

/// `resume` of a daemon's tasks, with other limits.
pub(crate) fn resume(
    remote: &Remote,
    ids: &[String],
    filter: &Filter,
    limits: &LimitFlags,
) -> Result<Done, Failure> {
    let more = wire::Resume {
        limits: limits.limits.iter().copied().collect(),
        on_limit: limits.on_limit,
    };
    apply(remote, ids, filter, &Action::Resume(more)).map_err(with_rule)
}

/// The IDs of the tasks that match a filter.
fn matching(client: &Client, filter: &Filter, action: &Action) -> Result<Vec<String>, Failure> {
    if !filter.is_given() {
        return Ok(Vec::new());
    }
    let filter = Filter {
        state: filter
            .state
            .clone()
            .or_else(|| Some(action.states().into())),
        name: filter.name.clone(),
    };
    let (tasks, _) = list(client, &filter, None, u64::MAX)?;
    if tasks.is_empty() {
        say!("no task matches");
    }
    Ok(tasks.iter().map(|task| task.id.to_string()).collect())
}

fn apply(
    remote: &Remote,
    ids: &[String],
    filter: &Filter,
    action: &Action,
) -> Result<Done, Failure> {
    let client = Client::new(remote)?;
    let matching = matching(&client, filter, action)?;
    let mut first = None;
    let mut late = false;
    let mut results = Vec::new();
    each(&client, [ids, &matching].concat(), action, |id, result| {
        let known = match result {
            Ok((line, known)) => {
                if !output::as_json() {
                    say!("{line}");
                }
                late |= known["done"] == false;
                known
            }
            Err(failure) => {
                if !output::as_json() && ids.len() + matching.len() > 1 {
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
        if output::as_json() {
            let mut all = json!({ "task": id });
            if let (Some(all), Value::Object(known)) = (all.as_object_mut(), known) {
                all.extend(known);
            }
            results.push(all);
        }
    });
    if output::as_json() {
        output::result(&results);
    }
    match first {
        // The request is not stored, and a crash of the daemon would forget it.
        None if late => Ok(Done::Own(NOT_YET)),
        None => OK,
        // The failure of the only task is that of the command.
        Some(failure) if ids.len() == 1 && matching.is_empty() && !output::as_json() => {
            Err(failure)
        }
        Some(failure) => Ok(Done::Own(failure.code)),
    }
}

/// A line about one task, and the same as JSON.
type Outcome = Result<(String, Value), Failure>;

/// Applies the action to each task, several at once, and reports the outcomes in the tasks' order.
fn each(client: &Client, ids: Vec<String>, action: &Action, mut report: impl FnMut(&str, Outcome)) {
    let next = AtomicUsize::new(0);
    let (done, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_REQUESTS.min(ids.len()) {
            let (done, next, ids) = (done.clone(), &next, &ids);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(id) = ids.get(index) else { return };
                    // The receiver is below, and stays until all are done.
                    let _ = done.send((index, action.apply(client, id)));
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut reported = 0;
        for (index, outcome) in outcomes {
            early.insert(index, outcome);
            while let Some(outcome) = early.remove(&reported) {
                report(&ids[reported], outcome);
                reported += 1;
            }
        }
    });
}
