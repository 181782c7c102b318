//! The flags and arguments of the command line.
//!
//! Flags that several commands have are one struct each: what a guest is given ([`guest`]), what it
//! may take ([`limits`]), keys ([`keys`]), and which daemon is asked ([`daemon`]).

pub(crate) mod cache;
#[cfg(feature = "server")]
pub(crate) mod daemon;
pub(crate) mod examples;
#[cfg(feature = "server")]
pub(crate) mod given;
pub(crate) mod guest;
pub(crate) mod keys;
pub(crate) mod limits;
mod local;
mod transform;

use clap::{Parser, Subcommand};

pub(crate) use self::cache::Compile;
use self::examples::after_help;
#[cfg(feature = "components")]
pub(crate) use self::local::Compose;
pub(crate) use self::local::{
    Audit, Build, Completions, Inspect, Keygen, Manual, Resume, Run, ServeHttp, Severity,
};

/// Puts unmodified WASI programs to sleep: suspend to a file, resume anywhere.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version, after_help = after_help(""), args_override_self = true)]
pub(crate) struct Args {
    /// Say on stderr what is being done; twice, also every WASI call.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Write JSON: what a command gives, to stdout; messages and errors, and how a guest of `run`
    /// or `resume` ended, to stderr, one on a line.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a WASI module.
    #[command(after_help = after_help("run"))]
    Run(Run),
    /// Answer HTTP requests with a component that exports `wasi:http/incoming-handler`.
    #[command(after_help = after_help("serve-http"))]
    ServeHttp(ServeHttp),
    /// Go on with a suspended task, or let a daemon's paused task go on.
    #[command(after_help = after_help("resume"))]
    Resume(Resume),
    /// Show what a snapshot holds, or a task. Never runs the guest.
    #[command(after_help = after_help("inspect"))]
    Inspect(Inspect),
    /// Make a module resumable, and report what was done.
    #[command(after_help = after_help("build"))]
    Build(Build),
    #[cfg(feature = "components")]
    /// Link components, so that they become one: what one imports, another exports.
    #[command(after_help = after_help("compose"))]
    Compose(Compose),
    /// Make modules ready to run, ahead of time.
    #[command(after_help = after_help("compile"))]
    Compile(Compile),
    /// Look after the cache of modules that were made ready.
    #[command(subcommand, after_help = after_help("cache"))]
    Cache(cache::CacheCommand),
    /// Make a pair of keys, to sign snapshots or to encrypt them.
    #[command(after_help = after_help("keygen"))]
    Keygen(Keygen),
    /// Report what a task file gives that is broad or risky. Never runs the guest.
    #[command(after_help = after_help("audit"))]
    Audit(Audit),
    #[cfg(feature = "server")]
    #[command(flatten)]
    Daemon(daemon::DaemonCommand),
    /// Print a script that completes commands and flags in a shell.
    #[command(after_help = after_help("completions"))]
    Completions(Completions),
    /// Print the manual page, or write one for each command into a directory.
    #[command(after_help = after_help("man"))]
    Man(Manual),
}

impl Command {
    /// Whether it runs until it is stopped, and logs what it does.
    pub(crate) fn is_daemon(&self) -> bool {
        #[cfg(feature = "server")]
        if matches!(self, Self::Daemon(daemon::DaemonCommand::Serve(_))) {
            return true;
        }
        false
    }

    /// The program that is started, with the name of the command.
    pub(crate) fn program(&self) -> Option<(&'static str, &guest::Program)> {
        match self {
            Self::Run(run) => Some(("run", &run.program)),
            Self::ServeHttp(serve) => Some(("serve-http", &serve.run.program)),
            #[cfg(feature = "server")]
            Self::Daemon(daemon::DaemonCommand::Submit(submit)) => {
                Some(("submit", &submit.program))
            }
            _ => None,
        }
    }
}
