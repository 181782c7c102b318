//! A task as it is shown.

use crate::driver::retries::Retry;
use crate::driver::state::DaemonState;
use crate::model::TaskSpec;
use crate::model::{Digest, TaskId, TaskState, Timestamp};
use crate::store::{OutputPiece, TaskRow};
use crate::stored::damaged::Stored;
use crate::stored::status::Status;
use crate::task::UnderWay;
use crate::workers::output::FreshOutput;

/// What is known of a task.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// Its ID.
    pub id: TaskId,
    /// Its name.
    pub name: Option<String>,
    /// Its state now.
    pub state: TaskState,
    /// The name of the node that has it, where several share the store; `None` where nobody has it.
    pub node: Option<String>,
    /// Counts its stored changes.
    pub version: u64,
    /// Digest of its resumable module.
    pub module: Digest,
    /// What was submitted.
    pub spec: TaskSpec,
    /// What is known of it.
    pub status: Status,
    /// When it is to go on by itself.
    pub wakes: Option<Timestamp>,
    /// Bytes of its stored snapshot. A small one is counted without what it shares with others, a
    /// large one, which is stored in chunks, with it.
    pub snapshot_bytes: u64,
    /// Bytes of its stored output.
    pub output_bytes: u64,
    /// Bytes of its memories, while it is in memory.
    pub memory: u64,
    /// Why it does not go on, where that may pass by itself.
    pub trouble: Option<Trouble>,
    /// How far its module is, which has to be made ready first.
    pub preparing: Option<UnderWay>,
    /// Bytes of memory that it waits for, because others have them.
    pub memory_wanted: Option<u64>,
    /// Why no node that is alive can run it; `None` where one can, or has it.
    pub unplaced: Option<String>,
    /// What of it cannot be read from the store, and what to do. What cannot be read is a default
    /// here.
    pub damaged: Option<String>,
}

impl TaskInfo {
    /// What a row of the store says, with what the daemon knows beside it. `retry` is from before
    /// the row was read: a task that is in no trouble any more is shown as it was stored then.
    pub(crate) fn of(row: TaskRow, retry: Option<Retry>, shared: &DaemonState) -> Self {
        let view = shared.view(row.id);
        let late = row.due.is_some_and(|due| due <= shared.time.now());
        let Stored {
            spec,
            mut status,
            damage,
        } = Stored::of(&row);
        let memory = view.as_ref().map_or(0, |view| view.memory);
        let mut wakes = shared
            .time
            .due(status.when())
            .map(|at| shared.time.to_wall(at));
        if let Some((wait, until)) = view.as_ref().and_then(|view| view.wait.clone()) {
            (status.wait, wakes) = (Some(wait), until);
        }
        let live = view.is_some();
        let turn = late && status.watched == 0 && damage.is_none();
        let state = state(view.map(|view| view.state), row.state, turn);
        Self {
            id: row.id,
            name: row.name,
            state,
            node: None,
            version: row.version,
            module: row.module,
            spec,
            status,
            wakes,
            snapshot_bytes: row.snapshot_bytes,
            output_bytes: row.log_bytes,
            memory,
            trouble: retry.map(|retry| Trouble {
                since: shared.time.to_wall(retry.since),
                tries: retry.tries,
                next: shared.time.to_wall(retry.next),
                error: retry.error,
            }),
            preparing: shared.preparations.of_task(row.id),
            memory_wanted: match live {
                true => shared.budget.waits(row.id),
                false => None,
            },
            unplaced: match &shared.member {
                Some(member) if !live && !row.state.is_final() => member.unplaced(row.class),
                _ => None,
            },
            damaged: damage.map(|damage| damage.to_string()),
        }
    }
}

impl TaskInfo {
    /// The same task, which a node has or nobody.
    pub(super) fn with_node(self, node: Option<String>) -> Self {
        Self {
            unplaced: self.unplaced.filter(|_| node.is_none()),
            node,
            ..self
        }
    }
}

/// The state of a task, by its row and by the driver's view of it, if there is one. `turn` says
/// that it is due.
///
/// The row was read before the view. A state that is stored is taken from the row, because the rest
/// of the answer is the row's too: a task is not shown as paused without the reason.
fn state(view: Option<TaskState>, row: TaskState, turn: bool) -> TaskState {
    use TaskState::{
        Arriving, Exited, Failed, Hibernated, Moved, Moving, Parked, Paused, Ready, Running,
    };
    let live = view.filter(|state| matches!(state, Ready | Running | Parked));
    match (live, row) {
        // A task that was woken by a time that it no longer waits for is not run.
        (_, state @ (Paused | Exited | Failed | Moving | Arriving | Moved)) => state,
        (Some(state), _) => state,
        // It is due, and waits for its turn.
        (None, Hibernated) if turn => Ready,
        (None, state) => state,
    }
}

/// Why a task cannot go on, or cannot be frozen, for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again.
    pub next: Timestamp,
    /// What was wrong, the last time.
    pub error: String,
}

/// A piece of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its number among the task's stored pieces; `None` if it is not stored yet.
    pub sequence: Option<u64>,
    /// The piece.
    pub entry: OutputPiece,
}

/// A page of a task's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputPage {
    /// The pieces, in order.
    pub pieces: Vec<Piece>,
    /// The number of the next stored piece: where the next page begins.
    pub next: u64,
    /// Whether to ask for the page that begins at `next`. That page may be empty.
    pub more: bool,
    /// Identifies the time in memory during which the pieces without a number were written; 0 where
    /// the task was not in memory.
    pub load_number: u64,
    /// Bytes that the task had written since then.
    pub written: u64,
    /// The version that the task had in the store before the pieces were read there.
    pub version: u64,
}

impl OutputPage {
    /// Whether output that a follower hears of was written before this page was read, which is the
    /// last one. It is then on this page or on one before it, or nowhere because it was dropped.
    pub fn covers(&self, fresh: &FreshOutput) -> bool {
        let was_in_memory = fresh.load_number == self.load_number && fresh.written <= self.written;
        was_in_memory || fresh.version < self.version
    }
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
