//! Standard output and the log.
//!
//! `simple-log` writes to standard output and offers no other stream. Standard output is the
//! guest's, and a program reads it. So where there is a log, descriptor 1 becomes standard error,
//! and what is meant for standard output goes to a duplicate of what it was before.

use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;

use rustix::stdio;

use crate::wasi::Output;

/// What standard output was, where the log has taken its descriptor.
static STDOUT: OnceLock<File> = OnceLock::new();

/// Starts the log, if there is to be one. Without it only what a user must know is printed, by the
/// commands.
///
/// # Errors
/// Says why there is no log.
pub(crate) fn start_log(verbose: u8, daemon: bool) -> Result<(), String> {
    // Of the engines, only what goes wrong.
    let level = match verbose {
        0 if daemon => "warn,dormouse=info",
        0 => return Ok(()),
        1 => "warn,dormouse=debug",
        _ => "warn,dormouse=trace",
    };
    move_stdout().map_err(|error| error.to_string())?;
    let builder = simple_log::LogConfigBuilder::builder().level(level)?;
    simple_log::new(builder.output_console().build())
}

fn move_stdout() -> io::Result<()> {
    let before = stdio::stdout().try_clone_to_owned()?;
    stdio::dup2_stdout(stdio::stderr())?;
    // Called once, at the start.
    let _ = STDOUT.set(before.into());
    Ok(())
}

/// Standard output for a guest.
pub(crate) fn guest_stdout() -> io::Result<Output> {
    match STDOUT.get() {
        Some(file) => file.try_clone().map(Output::File),
        None => Ok(Output::Inherit),
    }
}

/// Standard output for our own lines.
pub(crate) fn stdout() -> Box<dyn Write> {
    match STDOUT.get() {
        Some(file) => Box::new(file),
        None => Box::new(io::stdout()),
    }
}
