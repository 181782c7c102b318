//! A task as it is shown.

use super::Error;
use super::shared::Shared;
use super::spec::{Spec, Status, from_bytes};
use crate::model::{Digest, TaskId, TaskState};
use crate::store::{Entry, Row};

/// What is known of a task.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// Its number.
    pub id: TaskId,
    /// Its name.
    pub name: Option<String>,
    /// Where it stands now.
    pub state: TaskState,
    /// Counts its stored changes.
    pub version: u64,
    /// Digest of its resumable module.
    pub module: Digest,
    /// What was submitted.
    pub spec: Spec,
    /// What is known of it.
    pub status: Status,
    /// Bytes of its stored snapshot, beside what it shares with others.
    pub snapshot_bytes: u64,
    /// Bytes of its stored output.
    pub output_bytes: u64,
    /// Bytes of its memories, while it is in memory.
    pub memory: u64,
}

impl TaskInfo {
    pub(super) fn of(row: Row, shared: &Shared) -> Result<Self, Error> {
        let view = shared.view(row.id);
        let late = row.due.is_some_and(|due| due <= shared.clock.realtime());
        let mut status: Status = from_bytes(&row.status)?;
        let memory = view.as_ref().map_or(0, |view| view.memory);
        if let Some((wait, wakes)) = view.as_ref().and_then(|view| view.wait.clone()) {
            (status.wait, status.wakes) = (Some(wait), wakes);
        }
        let state = match (view, row.state) {
            // One that was woken by a time that it no longer waits for is not run.
            (
                _,
                state @ (TaskState::Paused
                | TaskState::Exited
                | TaskState::Failed
                | TaskState::Moving
                | TaskState::Arriving
                | TaskState::Moved),
            ) => state,
            (Some(view), _) => view.state,
            // It is only not its turn yet.
            (None, TaskState::Hibernated) if late && status.watched == 0 => TaskState::Ready,
            (None, state) => state,
        };
        Ok(Self {
            id: row.id,
            name: row.name,
            state,
            version: row.version,
            module: row.module,
            spec: from_bytes(&row.spec)?,
            status,
            snapshot_bytes: row.snapshot_bytes,
            output_bytes: row.log_bytes,
            memory,
        })
    }
}

/// A piece of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its place among the stored ones; `None` where it is not stored yet.
    pub place: Option<u64>,
    /// The piece.
    pub entry: Entry,
}

/// A part of a task's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The pieces, in order.
    pub pieces: Vec<Piece>,
    /// The place after the last stored piece.
    pub next: u64,
    /// There is more from `next` on.
    pub more: bool,
    /// Which of the task's times in memory the pieces without a place are of.
    pub tail: u64,
    /// Bytes that the task had written since then.
    pub written: u64,
}
