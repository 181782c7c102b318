//! A task's runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::daemon::info::TaskInfo;
use crate::http::wire::time;
use crate::model::{TaskState, Timestamp};

/// The last runs of a task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Runs {
    /// The task.
    pub id: u64,
    /// How often it was started.
    pub total: u64,
    /// The last runs, the newest first; a run that continues is among them.
    pub runs: Vec<Run>,
}

/// One run of a task, from its beginning.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Counts the task's runs from 1.
    pub number: u64,
    /// When it was started; left out where that is not known any more, as of a task that was killed
    /// while it slept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended; left out where it continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How many seconds lie between the two, the time asleep among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What the guest ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    /// Why it failed, in short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Bytes that it wrote to standard output and standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
}

impl From<TaskInfo> for Runs {
    fn from(info: TaskInfo) -> Self {
        let seconds =
            |from: Timestamp, to: Timestamp| to.saturating_duration_since(from).as_secs_f64();
        let history = info.status.history;
        let over = history.runs.into_iter().rev().map(|run| Run {
            number: run.number,
            started: run.started.map(time),
            ended: Some(time(run.ended)),
            seconds: run.started.map(|started| seconds(started, run.ended)),
            exit_code: run.exit_code,
            error: run.error,
            output_bytes: run.output,
        });
        let over: Vec<Run> = over.collect();
        let total = info.status.runs;
        // Before its first sleep nothing is stored of a run: the task in memory counts as started.
        let in_memory = matches!(info.state, TaskState::Running | TaskState::Parked);
        let last = over.first().map_or(0, |run| run.number);
        let number = match total > last {
            true => total,
            false => last + 1,
        };
        let goes_on = info.snapshot_bytes > 0 || in_memory;
        let under_way = (goes_on && !info.state.is_final()).then(|| Run {
            number,
            started: history.started.map(time),
            ended: None,
            seconds: None,
            exit_code: None,
            error: None,
            output_bytes: None,
        });
        Self {
            id: info.id.0,
            total: total.max(under_way.as_ref().map_or(0, |run| run.number)),
            runs: under_way.into_iter().chain(over).collect(),
        }
    }
}
