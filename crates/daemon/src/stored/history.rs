//! A task's last runs. They are a part of its status, so that they move and are removed with the
//! task.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// At most this many runs are kept; the oldest are dropped first. All of them are stored at each
/// sleep of the task.
const KEPT_RUNS: usize = 30;

/// How many bytes of its error are kept of each run.
const KEPT_ERROR_BYTES: usize = 120;

/// The last runs of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When the run under way was started, of a task that is started more than once.
    pub started: Option<Timestamp>,
    /// Those that are over, the oldest first.
    pub runs: Vec<Run>,
}

/// A run that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts the task's runs from 1.
    pub number: u64,
    /// When it was started; `None` where nobody knows any more.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// What the guest ended with; `None` where it did not end by itself.
    pub exit_code: Option<u32>,
    /// Why it failed.
    pub error: Option<String>,
    /// Bytes that it wrote to standard output and standard error, where they were counted.
    pub output: Option<u64>,
}

impl History {
    /// A run has ended.
    pub(crate) fn add(&mut self, mut run: Run) {
        run.started = self.started.or(run.started);
        self.started = None;
        if let Some(error) = &mut run.error {
            let end = error.floor_char_boundary(KEPT_ERROR_BYTES);
            error.truncate(end);
        }
        self.runs.push(run);
        let excess = self.runs.len().saturating_sub(KEPT_RUNS);
        self.runs.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_runs_are_kept_and_their_errors_are_short() {
        let mut history = History {
            started: Some(Timestamp::from_nanos(7)),
            ..History::default()
        };
        for number in 1..=100 {
            history.add(Run {
                number,
                error: Some("ü".repeat(1000)),
                ..Run::default()
            });
        }
        assert_eq!(history.runs.len(), KEPT_RUNS);
        assert_eq!(history.runs[0].number, 71);
        assert!(history.runs.iter().all(|run| {
            run.error
                .as_ref()
                .is_some_and(|e| e.len() <= KEPT_ERROR_BYTES)
        }));
        assert_eq!(history.started, None);
    }

    #[test]
    fn a_history_takes_little_room() {
        let mut history = History::default();
        for number in 1..=KEPT_RUNS as u64 {
            history.add(Run {
                number,
                started: Some(Timestamp::from_nanos(1_800_000_000_000_000_000)),
                ended: Timestamp::from_nanos(1_800_000_001_000_000_000),
                exit_code: Some(0),
                error: None,
                output: Some(1000),
            });
        }
        let bytes = rmp_serde::to_vec(&history).expect("it encodes");
        // Two times of nine bytes each, and little else.
        assert!(bytes.len() <= KEPT_RUNS * 26 + 8, "{}", bytes.len());
    }
}
