//! A task as it is shown.

use super::damaged::Stored;
use super::shared::Shared;
use super::spec::{Spec, Status};
use super::trouble::Trouble;
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
    /// Bytes of its stored snapshot. A small one is counted without what it shares with others, a large one, which is
    /// stored in chunks, with it.
    pub snapshot_bytes: u64,
    /// Bytes of its stored output.
    pub output_bytes: u64,
    /// Bytes of its memories, while it is in memory.
    pub memory: u64,
    /// Why it does not go on, where that may pass by itself.
    pub trouble: Option<Trouble>,
    /// Bytes of memory that it waits for, because others have them.
    pub memory_wanted: Option<u64>,
    /// What of it cannot be read from the store, and what to do. What cannot be read is a default here.
    pub damaged: Option<String>,
}

impl TaskInfo {
    pub(super) fn of(row: Row, shared: &Shared) -> Self {
        let view = shared.view(row.id);
        let late = row.due.is_some_and(|due| due <= shared.time.now());
        let Stored {
            spec,
            mut status,
            damage,
        } = Stored::of(&row);
        let memory = view.as_ref().map_or(0, |view| view.memory);
        status.wakes = shared
            .time
            .due(status.when())
            .map(|at| shared.time.to_wall(at));
        if let Some((wait, wakes)) = view.as_ref().and_then(|view| view.wait.clone()) {
            (status.wait, status.wakes) = (Some(wait), wakes);
        }
        let live = view.is_some();
        let turn = late && status.watched == 0 && damage.is_none();
        let state = state(view.map(|view| view.state), row.state, turn);
        Self {
            id: row.id,
            name: row.name,
            state,
            version: row.version,
            module: row.module,
            spec,
            status,
            snapshot_bytes: row.snapshot_bytes,
            output_bytes: row.log_bytes,
            memory,
            trouble: shared.troubles.of(row.id).map(|trouble| Trouble {
                since: shared.time.to_wall(trouble.since),
                next: shared.time.to_wall(trouble.next),
                ..trouble
            }),
            memory_wanted: match live {
                true => shared.budget.waits(row.id),
                false => None,
            },
            damaged: damage.map(|damage| damage.to_string()),
        }
    }
}

/// How a task stands, by the view of it, if it has one, and its row; `turn` says that it is its turn.
///
/// The row was read before the view. A state that comes from the store is the row's, for what is told beside it is the row's
/// too: a task is not paused without the reason.
fn state(view: Option<TaskState>, row: TaskState, turn: bool) -> TaskState {
    use TaskState::{
        Arriving, Exited, Failed, Hibernated, Moved, Moving, Parked, Paused, Ready, Running,
    };
    let live = view.filter(|state| matches!(state, Ready | Running | Parked));
    match (live, row) {
        // One that was woken by a time that it no longer waits for is not run.
        (_, state @ (Paused | Exited | Failed | Moving | Arriving | Moved)) => state,
        (Some(state), _) => state,
        // It is only not its turn yet.
        (None, Hibernated) if turn => Ready,
        (None, state) => state,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// It was paused after its row had been read, which has no reason yet.
    #[test]
    fn a_task_is_not_paused_without_the_reason() {
        let row = TaskState::Hibernated;
        assert_eq!(state(Some(TaskState::Paused), row, true), TaskState::Ready);
        assert_eq!(
            state(Some(TaskState::Running), row, true),
            TaskState::Running
        );
        assert_eq!(state(None, TaskState::Paused, true), TaskState::Paused);
        assert_eq!(state(None, row, false), row);
    }
}
