//! The end-to-end tests: every guest on every engine, real programs, broken input, signals.
//!
//! Trials are made at run time from `wasm/guests.json` and the engines in this build. What a guest
//! should print is asked of PyPI's `wasmtime`, which runs the module as it is.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod broken;
mod guests;
mod http;
mod https;
mod objects;
mod programs;
mod serve;
mod signals;
mod traps;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let trials = [
        guests::trials(),
        guests::component_trials(),
        objects::trials(),
        broken::trials(),
        signals::trials(),
        programs::trials(),
        http::trials(),
        https::trials(),
        serve::trials(),
        traps::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
