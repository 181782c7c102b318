//! The command line.
//!
//! `args` are the flags, `parse` makes values of their texts, `commands` has a file for each
//! command, and `output` prints. Files use each other in one direction only; `tests/tidy` holds it.

mod args;
#[cfg(feature = "server")]
mod client;
mod commands;
mod components;
#[cfg(feature = "server")]
mod data_dir;
mod exit;
mod guest;
mod hints;
mod module_file;
mod output;
mod parse;
mod process;
mod progress;
mod signals;
mod snapshot_file;
mod task_file;
#[cfg(all(test, feature = "server"))]
mod tests;
#[cfg(feature = "server")]
mod tls;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::Args;
use self::exit::Failure;
use self::output::say;

/// All commands and flags, for tests and for other programs.
pub fn command() -> clap::Command {
    Args::command()
}

/// Exit codes of our own with their meanings, in the order of their numbers.
pub fn exit_codes() -> &'static [(u8, &'static str)] {
    exit::CODES
}

/// Runs the command line of this process and gives its exit code.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let args = match parsed(&words) {
        Ok(args) => args,
        Err(code) => return code,
    };
    if args.json {
        output::set_json();
    }
    hints::behind_the_module(&args.command, &words);
    if let Err(error) = output::streams::start_log(args.verbose, args.command.is_daemon()) {
        say!("cannot start the log: {error}");
    }
    process::raise_descriptors();
    let result = commands::run(args.command);
    let result = result.and_then(|done| match output::failed() {
        Some(error) => {
            let message = format!("cannot write to standard output: {error}");
            Err(Failure::new(exit::WRITE, message))
        }
        None => Ok(done),
    });
    match result {
        Ok(done) => done.into(),
        Err(failure) => {
            output::failure(&failure);
            failure.code.into()
        }
    }
}

/// The command line. Where there is nothing to run, this prints why and gives the exit code.
fn parsed(words: &[OsString]) -> Result<Args, ExitCode> {
    let parsed = Args::try_parse_from(words);
    parsed.map_err(|error| tell(&error, words))
}

/// `--json`, where the command line could not be parsed.
fn asks_for_json(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "--json")
}

/// Prints what clap says: an error, help or the version.
fn tell(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() && asks_for_json(words) {
        output::set_json();
        output::failure(&Failure::new(exit::USAGE, text.trim_end()));
    } else if output::escape::is_plain(&text) {
        // clap knows which goes to which stream. A closed pipe is no reason for another message.
        drop(error.print());
    } else {
        // The error repeats a word of the command line.
        output::complain(&text);
    }
    match error.use_stderr() {
        true => exit::USAGE.into(),
        // Help and the version are no errors.
        false => ExitCode::SUCCESS,
    }
}
