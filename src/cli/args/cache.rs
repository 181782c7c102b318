//! The flags of `compile` and `cache`.

use std::path::PathBuf;

use clap::Subcommand;

use super::examples::after_help;
use super::transform::TransformFlag;
use crate::cli::parse::time::Span;
use crate::engine::EngineKind;
use crate::model::spec::ByteSize;

#[derive(Debug, clap::Args)]
pub(crate) struct Compile {
    /// The modules.
    #[arg(required = true, value_name = "MODULE")]
    pub modules: Vec<PathBuf>,
    /// Compile for this engine, wasmtime or wasmedge; give it again for another one. If left out,
    /// for the one that `run` takes by itself.
    #[arg(long, value_name = "ENGINE")]
    pub engine: Vec<EngineKind>,
    #[command(flatten)]
    pub transform: TransformFlag,
    /// Put a check into loops and calls, so that guests can be suspended while they compute.
    #[arg(long)]
    pub preempt: bool,
    /// Write the module with its machine code into this file as well, which `run` and `submit` take
    /// in its place.
    #[arg(short, long, value_name = "OUT.dormouse")]
    pub output: Option<PathBuf>,
    /// Sign that file with this secret key, a file of `dormouse keygen sign` or of minisign: its
    /// machine code is taken with --verify-key only.
    #[arg(long, value_name = "FILE", requires = "output")]
    pub sign_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the modules that the cache holds, those that were used last in front.
    #[command(after_help = after_help("cache ls"))]
    Ls(List),
    /// Remove what was not used for longest. Without flags, until the cache is within its limit.
    #[command(after_help = after_help("cache prune"))]
    Prune(PruneFlags),
    /// Compare all files with their digests. Exit with 84 if something is damaged and not removed.
    #[command(after_help = after_help("cache verify"))]
    Verify(VerifyFlags),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {}

#[derive(Debug, clap::Args)]
pub(crate) struct PruneFlags {
    /// Remove until all that is left has at most this size.
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<ByteSize>,
    /// Remove what was not used for so long.
    #[arg(long, value_name = "DURATION")]
    pub older_than: Option<Span>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyFlags {
    /// Remove what is damaged; it is made again when it is needed.
    #[arg(long)]
    pub repair: bool,
}
