//! The command line's words.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::engine::EngineKind;
use crate::instrument::Transform;
use crate::scheduler::Policy;

/// Puts unmodified WASI programs to sleep: suspend to a file, resume anywhere.
#[derive(Debug, Parser)]
#[command(version, after_help = super::exit::TABLE)]
pub(super) struct Args {
    /// Say on stderr what is being done; twice, also every WASI call.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a WASI module.
    Run(Run),
    /// Go on with a suspended task.
    Resume(Resume),
    /// Show what a snapshot holds. Never runs the guest.
    Inspect(Inspect),
    /// Make a module resumable, and report what was done.
    Build(Build),
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub common: Common,
    /// Set an environment variable of the guest; NAME alone takes its value from here.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Where to write the snapshot.
    #[arg(long, value_name = "PATH", default_value = "./snapshot")]
    pub snapshot: PathBuf,
    /// Suspend at every call that may block, through the bytes of a snapshot into a fresh instance.
    #[arg(long, conflicts_with = "suspend")]
    pub rehearse: bool,
    /// The module, and everything after it goes to the guest.
    #[arg(
        value_name = "MODULE",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true,
    )]
    pub command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    #[command(flatten)]
    pub common: Common,
    /// The snapshot. If the task is suspended again, it is written to the same place.
    pub snapshot: PathBuf,
    /// The module as it was given to `run`, for a snapshot that does not contain it.
    #[arg(long, value_name = "MODULE")]
    pub module: Option<PathBuf>,
    /// Write the next snapshot here instead.
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Go on even if files that the task has open were changed in the meantime.
    #[arg(long)]
    pub accept_changed_files: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Give the guest a directory.
    #[arg(long = "dir", value_name = "HOST[::GUEST]")]
    pub dirs: Vec<String>,
    /// The engine: wasmtime or wasmedge.
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// When to suspend: never, after=DURATION (such as after=10s), always.
    #[arg(long, value_name = "POLICY", default_value = "never")]
    pub suspend: Policy,
    /// How to make the module resumable: two-version (fast), plain (Binaryen's own output), or none
    /// (left as it is, so that it cannot be suspended).
    #[arg(long, value_name = "NAME", default_value_t)]
    pub transform: Transform,
    /// Leave the module out of the snapshot; the cache or --module must have it at resume.
    #[arg(long)]
    pub slim: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The snapshot.
    pub snapshot: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Build {
    /// The module.
    pub module: PathBuf,
    /// Where to write the resumable module.
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: PathBuf,
    /// How to make the module resumable: two-version (fast), plain (Binaryen's own output), or none
    /// (left as it is, so that it cannot be suspended).
    #[arg(long, value_name = "NAME", default_value_t)]
    pub transform: Transform,
    /// Print every instrumented function with the shortest path to a call that may block.
    #[arg(long)]
    pub functions: bool,
}
