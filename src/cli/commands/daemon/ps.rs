//! `dormouse ps`: a table of tasks.

use std::cmp::Reverse;

use super::list::list;
use super::wire_task::{self, preparing, trouble};
use crate::cli::args::daemon::{Ps, Sort};
use crate::cli::client::Client;
use crate::cli::exit::{Done, Failure, OK, USAGE};
use crate::cli::output::format::{self, shortened};
use crate::cli::output::{self, out, say};
use crate::daemon::http::wire;
use crate::model::TaskState;

/// At most this many tasks are sorted: the daemon sends some 500 bytes for each.
const MAX_SORTED_TASKS: u64 = 100_000;

pub(super) fn ps(command: &Ps) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let (mut tasks, more) = match command.sort {
        Sort::Id => list(&client, &command.filter, command.before, command.limit)?,
        _ => list(&client, &command.filter, command.before, MAX_SORTED_TASKS)?,
    };
    let shown = usize::try_from(command.limit).unwrap_or(usize::MAX);
    if command.sort != Sort::Id {
        if more.is_some() {
            let text = format!(
                "--sort: more than {MAX_SORTED_TASKS} tasks match, too many to sort; say fewer with --state, --name or --before"
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
    if output::as_json() {
        output::result(&tasks);
    } else {
        table(&tasks);
    }
    if let (Sort::Id, Some(before)) = (command.sort, more) {
        say!(
            "there are more than these {}: --before {before} shows the next, --limit NUMBER more at once",
            tasks.len()
        );
    }
    OK
}

fn sort(tasks: &mut [wire::Task], by: Sort) {
    let state = |task: &wire::Task| task.state.parse::<TaskState>().ok();
    // All times have one form, so that their texts sort as the times do. The sort is stable: among
    // equals the newest comes first.
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
    // Only where several daemons share the store.
    let with_nodes = tasks.iter().any(|task| task.node.is_some());
    let node = |name: &str| match with_nodes {
        true => format!("  {name:<8}"),
        false => String::new(),
    };
    out!(
        "{:>8}  {:<10}{}  {:<24}  {:<14}  {:>9}  PROGRAM",
        "ID",
        "STATE",
        node("NODE"),
        "WAKES",
        "NAME",
        "SNAPSHOT"
    );
    for task in tasks {
        let moved = task.moved_to.as_ref();
        let wakes = match (moved, task.exit_code, &task.wakes) {
            (Some(to), _, _) => format!("{} at {}", to.task, to.address),
            _ if task.unplaced.is_some() => "waits for a node".into(),
            _ if task.memory_wanted.is_some() => {
                let what = task.waits_for.as_deref();
                format!("waits for {}", what.unwrap_or("memory"))
            }
            (None, _, Some(wakes)) => wakes.clone(),
            (None, Some(code), None) => format!("exit code {code}"),
            (None, None, None) => {
                let error = task.error.as_ref();
                error.map_or("-".into(), |error| shortened(error, 24))
            }
        };
        let state = wire_task::state(task);
        let name = task.name.as_deref().unwrap_or("-");
        let size = match task.snapshot_bytes {
            0 => "-".into(),
            size => format::bytes(size),
        };
        let program = shortened(&task.spec.arguments().join(" "), 60);
        out!(
            "{:>8}  {state:<10}{}  {wakes:<24}  {name:<14}  {size:>9}  {program}",
            task.id,
            node(task.node.as_deref().unwrap_or("-")),
        );
        if let Some(unplaced) = &task.unplaced {
            out!("{:>10}{unplaced}", "");
        }
        if let Some(damaged) = &task.damaged {
            out!("{:>10}{damaged}", "");
        }
        if let Some(found) = &task.preparing {
            out!("{:>10}{}", "", preparing(found));
        }
        if let Some(found) = &task.trouble {
            out!("{:>10}{}", "", trouble(found));
        }
    }
}
