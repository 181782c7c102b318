//! The words of `dormouse store`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::args::examples::after_help;

#[derive(Debug, clap::Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Look whether everything in the store is whole, and say what is not. Changes nothing.
    #[command(after_help = after_help("store check"))]
    Check(DataDir),
    /// Give room that is not used back to the disk.
    #[command(after_help = after_help("store compact"))]
    Compact(DataDir),
    /// Write a copy of the data directory that `dormouse serve --data` takes.
    #[command(after_help = after_help("store backup"))]
    Backup {
        #[command(flatten)]
        data: DataDir,
        /// A directory to make for the copy, or one that is empty.
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct DataDir {
    /// The daemon's data directory. If left out, `dormouse` in the user's data directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
