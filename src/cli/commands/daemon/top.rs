//! `dormouse top`: what a daemon does.

use std::io::Write;
use std::time::Duration;

use super::wire_task;
use crate::cli::args::daemon::Top;
use crate::cli::client::Client;
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::format::{self, shortened};
use crate::cli::output::{self, escape, out, streams};
use crate::daemon::http::wire;

pub(super) fn top(command: &Top) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let mut before: Option<wire::Stats> = None;
    loop {
        let stats: wire::Stats = client.get("/v1/stats")?;
        let tasks: wire::Tasks = client.get("/v1/tasks?limit=15")?;
        if output::as_json() {
            let both = serde_json::json!({ "stats": stats, "tasks": tasks.tasks });
            // One object on a line.
            let written = output::print(&escape::json(&both.to_string()));
            if command.once || !written {
                return OK;
            }
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        if !command.once {
            // To the top left, and clear the screen: every terminal knows these sequences.
            let mut stdout = streams::stdout();
            let cleared = stdout
                .write_all(b"\x1b[H\x1b[2J")
                .and_then(|()| stdout.flush());
            if cleared.is_err() {
                return OK;
            }
        }
        show(&stats, before.as_ref(), &tasks);
        if command.once || output::failed().is_some() {
            return OK;
        }
        before = Some(stats);
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn show(stats: &wire::Stats, before: Option<&wire::Stats>, tasks: &wire::Tasks) {
    let up = humantime::format_duration(Duration::from_secs(stats.uptime as u64));
    out!(
        "dormouse {}, daemon {}, up {up}",
        stats.version,
        stats.daemon
    );
    let count = |state: &str| stats.tasks.get(state).copied().unwrap_or(0);
    let states = [
        "ready",
        "running",
        "parked",
        "hibernated",
        "paused",
        "exited",
        "failed",
    ];
    let counts = states.map(|state| format!("{} {state}", count(state)));
    out!("tasks   {}", counts.join(", "));
    let rate = |now: u64, then: Option<u64>| match (before, then) {
        (Some(before), Some(then)) => {
            now.saturating_sub(then) as f64 / (stats.uptime - before.uptime).max(0.001)
        }
        _ => now as f64 / stats.uptime.max(0.001),
    };
    out!(
        "rates   {:.0} submitted/s, {:.0} wake-ups/s, {:.0} suspends/s",
        rate(stats.submitted, before.map(|b| b.submitted)),
        rate(stats.wakes, before.map(|b| b.wakes)),
        rate(stats.suspends, before.map(|b| b.suspends)),
    );
    out!(
        "memory  {} of {}; guests have {} of {}, of it {} wait in memory; snapshots being made {}; {} wait for memory",
        format::bytes(stats.memory),
        format::bytes(stats.budget.size),
        format::bytes(stats.budget.used),
        format::bytes(stats.budget.guests),
        format::bytes(stats.warm_memory),
        format::bytes(stats.budget.snapshots),
        stats.budget.waiting,
    );
    out!(
        "disk    {}, of it {} in {} modules and bases; snapshots are stored {:.0} times smaller",
        format::bytes(stats.disk),
        format::bytes(stats.blob_bytes),
        stats.blobs,
        stats.dedup_ratio
    );
    out!("");
    for task in &tasks.tasks {
        let wakes = task.wakes.as_deref().unwrap_or("-");
        let program = shortened(&task.spec.arguments().join(" "), 50);
        let state = wire_task::state(task);
        out!("{:>8}  {state:<10}  {wakes:<24}  {program}", task.id);
    }
}
