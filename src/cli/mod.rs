//! The command line: one file a command.

mod args;
mod build;
mod exit;
mod guest;
mod inspect;
mod progress;
mod rehearse;
mod resume;
mod run;
mod text;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};
use self::exit::Failure;

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
    start_log(args.verbose);
    let result = match args.command {
        Command::Run(command) => run::run(command),
        Command::Resume(command) => resume::resume(command),
        Command::Inspect(command) => inspect::inspect(&command),
        Command::Build(command) => build::build(&command),
    };
    match result {
        Ok(code) => exit::of_guest(code),
        Err(Failure { code, message }) => {
            eprintln!("dormouse: {message}");
            code.into()
        }
    }
}

/// Logs to standard output, which is where `simple-log` writes. Without `--verbose` only what a user must know is said, by the commands.
fn start_log(verbose: u8) {
    if verbose > 0 {
        // Of the engines, only what goes wrong.
        let level = if verbose > 1 {
            "warn,dormouse=trace"
        } else {
            "warn,dormouse=debug"
        };
        let config = simple_log::LogConfigBuilder::builder()
            .level(level)
            .map(|builder| builder.output_console().build());
        if let Err(error) = config.and_then(simple_log::new) {
            eprintln!("dormouse: cannot start the log: {error}");
        }
    }
}
