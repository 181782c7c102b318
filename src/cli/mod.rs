//! The command line: one file a command.

mod args;
mod build;
mod exit;
mod guest;
mod inspect;
mod log;
mod progress;
mod rehearse;
mod resume;
mod run;
mod text;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::args::{Args, Command};
use self::exit::Failure;

/// As many descriptors as a guest may have, and some for us: a guest that has taken all that there
/// are could not be suspended.
const DESCRIPTORS: u64 = 4096;

fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|now| now < wanted) {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        // Where it cannot be, it stays as it is.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Runs the command line of this process and gives its exit code.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes. A closed pipe is no
            // reason for another message.
            let _ = error.print();
            return match error.use_stderr() {
                true => exit::USAGE.into(),
                false => ExitCode::SUCCESS,
            };
        }
    };
    log::start(args.verbose);
    raise_descriptors();
    let result = match args.command {
        Command::Run(command) => run::run(command),
        Command::Resume(command) => resume::resume(command),
        Command::Inspect(command) => inspect::inspect(&command),
        Command::Build(command) => build::build(&command),
    };
    let result = result.and_then(|done| match text::failed() {
        Some(error) => {
            let message = format!("cannot write to standard output: {error}");
            Err(Failure::new(exit::WRITE, message))
        }
        None => Ok(done),
    });
    match result {
        Ok(code) => exit::of_guest(code),
        Err(Failure { code, message }) => {
            text::say!("{message}");
            code.into()
        }
    }
}
