//! What each step of the work on a module took, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::format::bytes;
use super::out;
use crate::task::Work;
use crate::task::progress::Timing;

/// Prints a table with a row for each step, and one for all.
pub(crate) fn print(steps: &[Timing]) {
    out!(
        "{:24}{:>12}{:>12}{:>14}",
        "step",
        "time",
        "CPU time",
        "peak memory"
    );
    for step in steps {
        row(&name(step), step.wall, step.cpu, step.peak_memory);
    }
    let wall = steps.iter().map(|step| step.wall).sum();
    let cpu = steps.iter().map(|step| step.cpu).sum();
    let peak = steps.iter().filter_map(|step| step.peak_memory).max();
    row("all", wall, cpu, peak);
}

fn row(name: &str, wall: Duration, cpu: Duration, peak: Option<u64>) {
    let seconds = |span: Duration| format!("{:.3} s", span.as_secs_f64());
    let peak = peak.map_or_else(|| "?".into(), bytes);
    out!(
        "{name:24}{:>12}{:>12}{peak:>14}",
        seconds(wall),
        seconds(cpu)
    );
}

/// A step of an engine's work has the engine's name beside it.
fn name(step: &Timing) -> String {
    match step.work {
        Work::Rewriting => step.step.clone(),
        Work::Compiling(engine) => format!("{} ({engine})", step.step),
    }
}

/// An object for each step.
pub(crate) fn json(steps: &[Timing]) -> Vec<Value> {
    let object = |step: &Timing| {
        let engine = match step.work {
            Work::Rewriting => None,
            Work::Compiling(engine) => Some(engine.to_string()),
        };
        json!({
            "step": step.step,
            "engine": engine,
            "seconds": step.wall.as_secs_f64(),
            "cpu_seconds": step.cpu.as_secs_f64(),
            "peak_bytes": step.peak_memory,
        })
    };
    steps.iter().map(object).collect()
}
