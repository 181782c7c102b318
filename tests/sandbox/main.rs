//! What no guest, module or snapshot may do, tried on the real binary: `wasm/src/c/bug_sandbox.c` makes the steps
//! that it is told, and prints what came of each.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod bombs;
mod descriptors;
mod escapes;
mod grants;
mod modules;
mod rights;
mod sealed;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use dormouse_test_support::{dormouse, ended, finish, guest};

/// Steps as the guest takes them.
fn steps(steps: &[&str]) -> String {
    steps.join(";")
}

/// What a guest has printed.
fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(String::from).collect()
}

/// Runs steps to the end.
fn run(flags: &[String], script: &str) -> Output {
    let mut command = dormouse();
    command
        .arg("run")
        .args(flags)
        .arg(guest("bug_sandbox"))
        .arg(script);
    let output = finish(&mut command, Stdio::null());
    ended(&output, 0).expect("the guest ends");
    output
}

/// Runs steps up to their first wait.
fn sleep(snapshot: &Path, flags: &[String], script: &str) -> Output {
    let mut command = dormouse();
    command.args(["run", "--suspend", "always", "--snapshot"]);
    command
        .arg(snapshot)
        .args(flags)
        .arg(guest("bug_sandbox"))
        .arg(script);
    let output = finish(&mut command, Stdio::null());
    ended(&output, 75).expect("it sleeps");
    output
}

/// Goes on with a snapshot.
fn wake(snapshot: &Path, flags: &[String]) -> Output {
    let mut command = dormouse();
    command.arg("resume").args(flags).arg(snapshot);
    finish(&mut command, Stdio::null())
}

/// Runs the binary with so many MiB to write to, and so many seconds; its modules are its own, and a core is not
/// kept. Address space is not limited: engines reserve it by the terabyte, and use little.
fn bounded(memory: u64, seconds: u32, arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    let kib = memory * 1024;
    command.args([
        "-c",
        &format!("ulimit -c 0; ulimit -d {kib}; exec timeout -k 5 {seconds} \"$@\""),
    ]);
    command
        .arg("bash")
        .arg(env!("CARGO_BIN_EXE_dormouse"))
        .args(arguments);
    let cache = tempfile::tempdir().expect("a scratch directory");
    command.env("DORMOUSE_CACHE", cache.path().join("modules"));
    finish(&mut command, Stdio::null())
}
