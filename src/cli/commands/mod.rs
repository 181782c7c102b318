//! The commands: one file each.

mod audit;
mod build;
mod cache;
mod compile;
mod completions;
#[cfg(feature = "components")]
mod compose;
#[cfg(feature = "server")]
mod daemon;
mod inspect;
mod keygen;
mod manual;
mod rehearse;
mod resume;
mod run;
mod serve_http;

use super::args::Command;
use super::exit::{Done, Failure};

/// Runs a command.
pub(crate) fn run(command: Command) -> Result<Done, Failure> {
    match command {
        Command::Run(command) => run::run(command),
        Command::ServeHttp(command) => serve_http::serve_http(command),
        Command::Resume(command) => resume::resume(command),
        Command::Inspect(command) => inspect::inspect(&command),
        Command::Build(command) => build::build(&command),
        #[cfg(feature = "components")]
        Command::Compose(command) => compose::compose(&command),
        Command::Compile(command) => compile::compile(&command),
        Command::Cache(command) => cache::run(&command),
        Command::Keygen(command) => keygen::keygen(&command),
        Command::Audit(command) => audit::audit(&command),
        #[cfg(feature = "server")]
        Command::Daemon(command) => daemon::run(&command),
        Command::Completions(command) => completions::completions(&command),
        Command::Man(command) => manual::manual(&command),
    }
}
