//! A task's last runs, which are kept beside what is known of it: they move with it, and go with it.

use serde::{Deserialize, Serialize};

/// So many runs are kept; the oldest go first. All of them are written down with each sleep of the task.
const KEPT: usize = 30;

/// Bytes of an error that are kept of each.
const ERROR: usize = 120;

/// The last runs of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When the run under way was started, of a task that is started more than once.
    pub started: Option<u64>,
    /// Those that are over, the oldest first.
    pub runs: Vec<Run>,
}

/// A run that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts the task's runs from 1.
    pub number: u64,
    /// When it was started, in nanoseconds since the Unix epoch; `None` where nobody knows any more.
    pub started: Option<u64>,
    /// When it ended.
    pub ended: u64,
    /// What the guest ended with; `None` where it did not end by itself.
    pub exit_code: Option<u32>,
    /// Why it failed.
    pub error: Option<String>,
    /// Bytes that it wrote to standard output and standard error, where they were counted.
    pub output: Option<u64>,
}

impl History {
    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A run has ended.
    pub(super) fn add(&mut self, mut run: Run) {
        run.started = self.started.or(run.started);
        self.started = None;
        if let Some(error) = &mut run.error {
            let end = error.floor_char_boundary(ERROR);
            error.truncate(end);
        }
        self.runs.push(run);
        let excess = self.runs.len().saturating_sub(KEPT);
        self.runs.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_runs_are_kept_and_their_errors_are_short() {
        let mut history = History {
            started: Some(7),
            ..History::default()
        };
        for number in 1..=100 {
            history.add(Run {
                number,
                error: Some("ü".repeat(1000)),
                ..Run::default()
            });
        }
        assert_eq!(history.runs.len(), KEPT);
        assert_eq!(history.runs[0].number, 71);
        assert!(
            history
                .runs
                .iter()
                .all(|run| run.error.as_ref().is_some_and(|e| e.len() <= ERROR))
        );
        assert_eq!(history.started, None);
    }

    #[test]
    fn a_history_takes_little_room() {
        let mut history = History::default();
        assert!(history.is_empty());
        for number in 1..=KEPT as u64 {
            history.add(Run {
                number,
                started: Some(1_800_000_000_000_000_000),
                ended: 1_800_000_001_000_000_000,
                exit_code: Some(0),
                error: None,
                output: Some(1000),
            });
        }
        let bytes = rmp_serde::to_vec(&history).expect("it encodes");
        // Two times of nine bytes each, and little else.
        assert!(bytes.len() <= KEPT * 26 + 8, "{}", bytes.len());
    }
}
