//! The command line: one file a command.

mod args;
mod audit;
mod bounds;
mod build;
#[cfg(feature = "server")]
mod client;
mod config;
mod exit;
mod guest;
mod hints;
mod inspect;
mod keys;
mod log;
#[cfg(feature = "server")]
mod logs;
mod making;
#[cfg(feature = "server")]
mod migrate;
#[cfg(feature = "server")]
mod moves;
mod progress;
#[cfg(feature = "server")]
mod ps;
mod rehearse;
mod resume;
mod run;
#[cfg(feature = "server")]
mod runs;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod several;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod tasks;
mod text;
mod time;
#[cfg(feature = "server")]
mod top;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::args::{Args, Command};
use self::exit::Failure;
#[cfg(feature = "server")]
use self::several::Act;

/// As many descriptors as a guest may have, and some for us: a guest that has taken all that there
/// are could not be suspended.
const DESCRIPTORS: u64 = 4096;

/// A daemon raises them further by itself.
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

/// What the command line knows, for tests and for programs that make completions or manuals of it.
pub fn command() -> clap::Command {
    <Args as clap::CommandFactory>::command()
}

/// Runs the command line of this process and gives its exit code.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let parsed = Args::try_parse_from(&words);
    let parsed = match parsed.as_ref().map(|args| config::expand(args, &words)) {
        Ok(Ok(Some(words))) => Args::try_parse_from(words),
        Ok(Err(failure)) => {
            if words.iter().any(|word| word == "--json") {
                text::set_json();
            }
            text::failure(&failure);
            return failure.code.into();
        }
        Ok(Ok(None)) | Err(_) => parsed,
    };
    let args = match parsed {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes. A closed pipe is no
            // reason for another message.
            match error.use_stderr() && words.iter().any(|word| word == "--json") {
                true => {
                    text::set_json();
                    let text = error.render().to_string();
                    text::failure(&Failure::new(exit::USAGE, text.trim_end()));
                }
                false => {
                    let text = error.render().to_string();
                    match text::is_plain(&text) {
                        true => drop(error.print()),
                        // It repeats what was given.
                        false => text::complain(&text),
                    }
                }
            }
            return match error.use_stderr() {
                true => exit::USAGE.into(),
                false => ExitCode::SUCCESS,
            };
        }
    };
    if args.json {
        text::set_json();
    }
    hints::behind_the_module(&args.command, &words);
    log::start(args.verbose, args.command.is_daemon());
    raise_descriptors();
    let result = match args.command {
        Command::Run(command) => run::run(command),
        Command::Resume(command) => resume::resume(command),
        Command::Inspect(command) => inspect::inspect(&command),
        Command::Build(command) => build::build(&command),
        Command::Keygen(command) => keys::keygen(&command),
        Command::Audit(command) => audit::audit(&command),
        #[cfg(feature = "server")]
        Command::Serve(command) => serve::serve(&command),
        #[cfg(feature = "server")]
        Command::Store(command) => store::store(&command),
        #[cfg(feature = "server")]
        Command::Submit(command) => tasks::submit(&command),
        #[cfg(feature = "server")]
        Command::Ps(command) => ps::ps(&command),
        #[cfg(feature = "server")]
        Command::Logs(command) => logs::logs(&command),
        #[cfg(feature = "server")]
        Command::Pause(command) => several::several(&command, &Act::Pause),
        #[cfg(feature = "server")]
        Command::Kill(command) => several::several(&command, &Act::Kill),
        #[cfg(feature = "server")]
        Command::Rm(command) => several::several(&command, &Act::Remove),
        #[cfg(feature = "server")]
        Command::Start(command) => several::several(&command, &Act::Start),
        #[cfg(feature = "server")]
        Command::Runs(command) => runs::runs(&command),
        #[cfg(feature = "server")]
        Command::Export(command) => tasks::export(&command),
        #[cfg(feature = "server")]
        Command::Import(command) => tasks::import(&command),
        #[cfg(feature = "server")]
        Command::Migrate(command) => migrate::migrate(&command),
        #[cfg(feature = "server")]
        Command::Drain(command) => migrate::drain(&command),
        #[cfg(feature = "server")]
        Command::Peers(command) => migrate::peers(&command),
        #[cfg(feature = "server")]
        Command::Moves(command) => moves::moves(&command),
        #[cfg(feature = "server")]
        Command::Decide(command) => moves::decide(&command),
        #[cfg(feature = "server")]
        Command::Top(command) => top::top(&command),
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
        Err(failure) => {
            text::failure(&failure);
            failure.code.into()
        }
    }
}
