//! The log, on standard error.
//!
//! `simple-log` writes to standard output and offers no other stream. Standard output is the guest's,
//! and a program reads it. So where there is a log, descriptor 1 becomes standard error, and what is
//! meant for standard output goes to a duplicate of what it was before.

use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;

use rustix::stdio;

use super::text::say;
use crate::wasi::Output;

/// What standard output was, where the log has taken its descriptor.
static STDOUT: OnceLock<File> = OnceLock::new();

/// Starts the log, if there is to be one. Otherwise only what a user must know is said, by the
/// commands.
pub(super) fn start(verbose: u8, daemon: bool) {
    // Of the engines, only what goes wrong.
    let level = match verbose {
        0 if daemon => "warn,dormouse=info",
        0 => return,
        1 => "warn,dormouse=debug",
        _ => "warn,dormouse=trace",
    };
    let started = move_stdout()
        .map_err(|error| error.to_string())
        .and_then(|()| simple_log::LogConfigBuilder::builder().level(level))
        .and_then(|builder| simple_log::new(builder.output_console().build()));
    if let Err(error) = started {
        say!("cannot start the log: {error}");
    }
}

fn move_stdout() -> io::Result<()> {
    let before = stdio::stdout().try_clone_to_owned()?;
    stdio::dup2_stdout(stdio::stderr())?;
    // Called once, at the start.
    let _ = STDOUT.set(before.into());
    Ok(())
}

/// Standard output for a guest.
pub(super) fn output() -> io::Result<Output> {
    match STDOUT.get() {
        Some(file) => file.try_clone().map(Output::File),
        None => Ok(Output::Inherit),
    }
}

/// Standard output for our own lines.
pub(super) fn stdout() -> Box<dyn Write> {
    match STDOUT.get() {
        Some(file) => Box::new(file),
        None => Box::new(io::stdout()),
    }
}
