//! The flags of the commands that look at a daemon's tasks, or do something with several.

use super::filter::Filter;
use super::remote::Remote;
use crate::cli::parse::daemon::parse_nonzero;
use crate::cli::parse::time::{At, since};

/// What to list tasks by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// The newest first.
    Id,
    /// By name; those without one come last.
    Name,
    /// By state, in the order of a task's life.
    State,
    /// The one that goes on next comes first; those that wait for no time come last.
    Wakes,
    /// The one whose state changed last comes first.
    Changed,
    /// The one that was submitted last comes first.
    Submitted,
    /// The largest snapshot comes first.
    Snapshot,
    /// The one that has written most comes first.
    Output,
    /// The one with most memory comes first.
    Memory,
    /// The one that was started most often comes first.
    Runs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub remote: Remote,
    #[command(flatten)]
    pub filter: Filter,
    /// At most this many; it is said on stderr where there are more.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = parse_nonzero)]
    pub limit: u64,
    /// What to list them by; all that match are sorted, up to 100,000.
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    pub sort: Sort,
    /// Only tasks with lower numbers than this one.
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub remote: Remote,
    /// The task's number or name.
    pub id: String,
    /// Go on until the task is over.
    #[arg(short, long)]
    pub follow: bool,
    /// Only this many last lines of what is kept.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub tail: Option<u64>,
    /// Only what was written since then: 2030-01-31T12:00:00Z (UTC), or 10m for the last ten
    /// minutes.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<At>,
    /// Begin each line with the time at which it was written, in UTC. Writes within 50 ms may share
    /// one.
    #[arg(short, long)]
    pub timestamps: bool,
}

/// One task or several, by name or by what they have in common.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("selected").multiple(true).required(true).args(["ids", "state", "name"]))]
pub(crate) struct Tasks {
    #[command(flatten)]
    pub remote: Remote,
    #[command(flatten)]
    pub filter: Filter,
    /// The tasks' numbers or names.
    #[arg(value_name = "ID", conflicts_with_all = ["state", "name"])]
    pub ids: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Runs {
    #[command(flatten)]
    pub remote: Remote,
    /// The task's number or name.
    pub id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub remote: Remote,
    /// Print once and end.
    #[arg(long)]
    pub once: bool,
}
