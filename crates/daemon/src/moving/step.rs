//! The steps of a move, and the change of the task and of the move's record that each leads to.

use crate::driver::planned::PlannedChange;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, Event, MoveId, TaskId, TaskState, When};
use crate::moving::note::MoveNote;
use crate::store::{
    Change, MoveChange, MovePhase, MoveRecord, RecordChange, SnapshotChange, TaskRow, Update,
};
use crate::stored::encoding::{from_bytes, to_bytes};
use crate::stored::status::MovedTo;
use crate::stored::status::Status;
use crate::time::clocks::Time;

/// A step of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveStep {
    /// Source: the task is stopped, to be moved.
    Give,
    /// Source: the task stays.
    Keep,
    /// Source: the task is the target's.
    Given,
    /// Source: the target knows that the task is its own.
    Done,
    /// Source: the target has lost the task, which is ours again.
    Reclaim,
    /// Target: the task that arrived is ours.
    Take,
    /// Target: the task that arrived is not ours.
    Drop,
    /// Source: an operator says that the task is ours again; the target has to be told.
    Recall,
    /// Source: the target has the task too, by an operator's decision; ours is paused.
    Fork,
}

/// A step of the move of a task, as the driver is asked for it.
#[derive(Clone, Debug)]
pub(crate) struct TaskMove {
    pub(crate) step: MoveStep,
    pub(super) move_id: MoveId,
    pub(super) peer: Digest,
    pub(super) note: MoveNote,
}

impl TaskMove {
    /// Whether a task that has been stored in this state is as the step wants it; `None` is a task
    /// that was removed.
    pub(crate) fn is_done(&self, state: Option<TaskState>) -> bool {
        match self.step {
            MoveStep::Give => state == Some(TaskState::Moving),
            MoveStep::Given | MoveStep::Done => state == Some(TaskState::Moved),
            MoveStep::Keep | MoveStep::Reclaim | MoveStep::Recall | MoveStep::Take => {
                matches!(state, Some(TaskState::Hibernated | TaskState::Paused))
            }
            MoveStep::Fork => state == Some(TaskState::Paused),
            MoveStep::Drop => state.is_none(),
        }
    }

    /// What cannot be done with the task, for a message.
    pub(crate) fn words(&self) -> &'static str {
        match self.step {
            MoveStep::Give => "moved",
            MoveStep::Keep | MoveStep::Reclaim | MoveStep::Recall => "kept",
            MoveStep::Fork => "set aside",
            MoveStep::Given | MoveStep::Done => "given up",
            MoveStep::Take => "taken over",
            MoveStep::Drop => "dropped",
        }
    }

    /// The change of a stored task that the step leads to.
    pub(crate) fn change(&self, row: &TaskRow, time: &Time) -> Result<PlannedChange, Error> {
        let mut status: Status = from_bytes(&row.status)?;
        status.changed = time.wall();
        let mut note = self.note.clone();
        let back = |event| match note.paused {
            true => (Event::Pause, TaskState::Paused),
            false => (event, TaskState::Hibernated),
        };
        let (snapshot, clear_output) = match self.step {
            MoveStep::Done => (SnapshotChange::Clear, true),
            _ => (SnapshotChange::Keep, false),
        };
        let (event, state) = match self.step {
            MoveStep::Give => (Event::Give, TaskState::Moving),
            MoveStep::Keep | MoveStep::Take => back(Event::Hibernate),
            MoveStep::Reclaim | MoveStep::Recall => (Event::Rearm, back(Event::Rearm).1),
            MoveStep::Fork => (Event::Pause, TaskState::Paused),
            MoveStep::Given => (Event::Given, TaskState::Moved),
            // The task is moved already.
            MoveStep::Done => (Event::Given, TaskState::Moved),
            MoveStep::Drop => (Event::Fail, TaskState::Failed),
        };
        let fits = match self.step {
            MoveStep::Done => row.state == TaskState::Moved,
            MoveStep::Drop => row.state == TaskState::Arriving,
            MoveStep::Take => row.state == TaskState::Arriving,
            MoveStep::Keep => row.state == TaskState::Moving,
            MoveStep::Fork => row.state == TaskState::Paused,
            _ => row.state.after(event).is_some(),
        };
        if !fits {
            return Err(Error::from(Refused::State {
                id: row.id,
                state: row.state,
                asked: self.words(),
            }));
        }
        match self.step {
            MoveStep::Give => {
                note.paused = row.state == TaskState::Paused;
                status.keep_due(row.due);
                status.listens.clear();
                status.watched = 0;
            }
            MoveStep::Given => status.moved_to = Some(self.moved_to(false)),
            MoveStep::Done => status.moved_to = Some(self.moved_to(true)),
            MoveStep::Reclaim | MoveStep::Recall => status.moved_to = None,
            MoveStep::Fork => status.error = note.why.clone(),
            MoveStep::Keep | MoveStep::Take | MoveStep::Drop => {}
        }
        let record = self.record(row.id, &note)?;
        let due = match state {
            TaskState::Hibernated => status.when_or(time.now()),
            _ => When::NEVER,
        };
        let (change, state) = match self.step {
            MoveStep::Drop => {
                let (id, expected) = (row.id, row.version);
                (Change::Remove { id, expected }, None)
            }
            _ => {
                let update = Update {
                    snapshot,
                    ..Update::of(row, state, due, to_bytes(&status)?)
                };
                (Change::Update(update), Some(state))
            }
        };
        let step = MoveChange {
            change: Some(Box::new(change)),
            output: Vec::new(),
            clear_output,
            record,
        };
        Ok(PlannedChange {
            change: Change::Move(step),
            state,
            due,
        })
    }

    /// The change of a task that a worker has frozen to move it.
    pub(crate) fn given(&self, update: Update) -> Result<Change, Error> {
        let record = self.record(update.id, &self.note)?;
        Ok(Change::Move(MoveChange {
            change: Some(Box::new(Change::Update(update))),
            output: Vec::new(),
            clear_output: false,
            record,
        }))
    }

    fn record(&self, task: TaskId, note: &MoveNote) -> Result<RecordChange, Error> {
        let phase = match self.step {
            MoveStep::Give => MovePhase::Giving,
            MoveStep::Keep | MoveStep::Recall => MovePhase::Returned,
            MoveStep::Given => MovePhase::Given,
            MoveStep::Take => MovePhase::Taken,
            MoveStep::Done | MoveStep::Reclaim | MoveStep::Drop | MoveStep::Fork => {
                return Ok(RecordChange::Forget(self.move_id));
            }
        };
        Ok(RecordChange::Put(MoveRecord {
            id: self.move_id,
            task,
            phase,
            peer: self.peer,
            note: to_bytes(note)?,
        }))
    }

    fn moved_to(&self, settled: bool) -> MovedTo {
        MovedTo {
            daemon: self.note.daemon.clone(),
            address: self.note.address.clone(),
            task: self.note.theirs,
            settled,
            move_id: Some(self.move_id),
        }
    }
}
