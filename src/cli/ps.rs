//! `dormouse ps`, and the lists of tasks that other commands go by.

use std::cmp::Reverse;

use super::args::{Ps, Sort, Which};
use super::client::{Client, segment};
use super::exit::{Done, Failure, USAGE};
use super::text::{self, out, say};
use crate::model::TaskState;
use crate::server::wire;

/// A page of the API's.
const PAGE: u64 = 1000;

/// So many tasks are sorted at most: each is some 500 bytes on its way here.
const MOST_SORTED: u64 = 100_000;

/// The tasks that match, the newest first, up to `limit` of them; and the lowest number among them, where there are more.
pub(super) fn list(
    client: &Client,
    which: &Which,
    before: Option<u64>,
    limit: u64,
) -> Result<(Vec<wire::Task>, Option<u64>), Failure> {
    let mut query = String::new();
    if let Some(states) = &which.state {
        query.push_str(&format!(
            "&state={}",
            segment(&states.replace(' ', "")).replace("%2C", ",")
        ));
    }
    if let Some(pattern) = &which.name {
        query.push_str(&format!("&name={}", segment(pattern)));
    }
    let page = |before: Option<u64>, limit: u64| -> Result<wire::Tasks, Failure> {
        let before = before.map_or_else(String::new, |before| format!("&before={before}"));
        client.get(&format!("/v1/tasks?limit={limit}{query}{before}"))
    };
    let mut tasks: Vec<wire::Task> = Vec::new();
    let mut next = before;
    loop {
        let left = limit - tasks.len() as u64;
        let found = page(next, left.clamp(1, PAGE))?;
        if left == 0 {
            // The page after the last: there may be nothing on it.
            let more = !found.tasks.is_empty() || found.next.is_some();
            return Ok((tasks, next.filter(|_| more)));
        }
        tasks.extend(found.tasks);
        match found.next {
            Some(before) => next = Some(before),
            None => return Ok((tasks, None)),
        }
    }
}

pub(super) fn ps(command: &Ps) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let (mut tasks, more) = match command.sort {
        Sort::Id => list(&client, &command.which, command.before, command.limit)?,
        _ => list(&client, &command.which, command.before, MOST_SORTED)?,
    };
    let shown = usize::try_from(command.limit).unwrap_or(usize::MAX);
    if command.sort != Sort::Id {
        if more.is_some() {
            let text = format!(
                "--sort: more than {MOST_SORTED} tasks match, too many to sort; say fewer with --state, --name or --before"
            );
            return Err(Failure::new(USAGE, text));
        }
        sort(&mut tasks, command.sort);
        let found = tasks.len();
        tasks.truncate(shown);
        if found > tasks.len() {
            say!(
                "{} of {found} tasks that match; --limit {found} shows all",
                tasks.len()
            );
        }
    }
    if text::as_json() {
        text::result(&tasks);
    } else {
        table(&tasks);
    }
    if let (Sort::Id, Some(before)) = (command.sort, more) {
        say!(
            "there are more than these {}: --before {before} shows the next, --limit NUMBER more at once",
            tasks.len()
        );
    }
    Ok(Done::Guest(0))
}

fn sort(tasks: &mut [wire::Task], by: Sort) {
    let state = |task: &wire::Task| task.state.parse::<TaskState>().ok();
    // Times of one form, so that their order is that of their text. The sort is stable: the newest first among equals.
    match by {
        Sort::Id => tasks.sort_by_key(|task| Reverse(task.id)),
        Sort::Name => tasks.sort_by_key(|task| (task.name.is_none(), task.name.clone())),
        Sort::State => tasks.sort_by_key(state),
        Sort::Wakes => tasks.sort_by_key(|task| (task.wakes.is_none(), task.wakes.clone())),
        Sort::Changed => tasks.sort_by_key(|task| Reverse(task.changed.clone())),
        Sort::Submitted => tasks.sort_by_key(|task| Reverse(task.submitted.clone())),
        Sort::Snapshot => tasks.sort_by_key(|task| Reverse(task.snapshot_bytes)),
        Sort::Output => tasks.sort_by_key(|task| Reverse(task.output_bytes)),
        Sort::Memory => tasks.sort_by_key(|task| Reverse(task.memory)),
        Sort::Runs => tasks.sort_by_key(|task| Reverse(task.runs)),
    }
}

fn table(tasks: &[wire::Task]) {
    out!(
        "{:>8}  {:<10}  {:<24}  {:<14}  {:>9}  PROGRAM",
        "ID",
        "STATE",
        "WAKES",
        "NAME",
        "SNAPSHOT"
    );
    for task in tasks {
        let moved = task.moved_to.as_ref();
        let wakes = match (moved, task.exit_code, &task.wakes) {
            (Some(to), _, _) => format!("{} at {}", to.task, to.address),
            _ if task.memory_wanted.is_some() => {
                let what = task.waits_for.as_deref();
                format!("waits for {}", what.unwrap_or("memory"))
            }
            (None, _, Some(wakes)) => wakes.clone(),
            (None, Some(code), None) => format!("exit code {code}"),
            (None, None, None) => {
                let error = task.error.as_ref();
                error.map_or("-".into(), |error| cut(error, 24))
            }
        };
        let name = task.name.as_deref().unwrap_or("-");
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
        if let Some(found) = &task.trouble {
            out!("{:>10}{}", "", trouble(found));
        }
    }
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

pub(super) fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_string(),
    }
}
