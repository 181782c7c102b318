//! The words for looking at a daemon's tasks, and for doing something with several.

use super::super::time::{At, since};
use super::Remote;

/// What to list tasks by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Sort {
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

/// Which tasks, beside naming each.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Which {
    /// Only tasks in these states, separated by commas.
    #[arg(long, value_name = "STATES")]
    pub state: Option<String>,
    /// Only tasks with a name like this: '*' stands for any characters, '?' for one.
    #[arg(long, value_name = "PATTERN")]
    pub name: Option<String>,
}

impl Which {
    /// Whether it is said at all.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.state.is_some() || self.name.is_some()
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Ps {
    #[command(flatten)]
    pub remote: Remote,
    #[command(flatten)]
    pub which: Which,
    /// At most so many; it is said on stderr where there are more.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = positive)]
    pub limit: u64,
    /// What to list them by; all that match are sorted, up to 100,000.
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    pub sort: Sort,
    /// Only tasks with lower numbers than this one.
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
}

/// A number of things of which there is at least one.
pub(in crate::cli) fn positive(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("{text:?} is no number from 1 to {}", u64::MAX)),
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Logs {
    #[command(flatten)]
    pub remote: Remote,
    /// The task's number or name.
    pub id: String,
    /// Go on until the task is over.
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many lines of what is kept.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub tail: Option<u64>,
    /// Only what was written since then: 2030-01-31T12:00:00Z (UTC), or 10m for the last ten minutes.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<At>,
    /// Begin each line with the time at which it was written, in UTC. Writes within 50 ms may share one.
    #[arg(short, long)]
    pub timestamps: bool,
}

/// Several tasks.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("selected").multiple(true).required(true).args(["ids", "state", "name"]))]
pub(in crate::cli) struct Several {
    #[command(flatten)]
    pub remote: Remote,
    #[command(flatten)]
    pub which: Which,
    /// The tasks' numbers or names.
    #[arg(value_name = "ID", conflicts_with_all = ["state", "name"])]
    pub ids: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Runs {
    #[command(flatten)]
    pub remote: Remote,
    /// The task's number or name.
    pub id: String,
}
