//! The steps of a move, and the change of the task and of the move's record that each leads to.

use crate::driver::planned::PlannedChange;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, Event, MoveId, TaskId, TaskState, When};
use crate::store::{
    Change, MoveChange, MovePhase, MoveRecord, RecordChange, SnapshotChange, TaskRow, Update,
};
use crate::stored::encoding::{from_bytes, to_bytes};
use crate::stored::move_details::MoveDetails;
use crate::stored::status::MovedTo;
use crate::stored::status::Status;
use crate::time::clocks::Time;

/// A step of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveStep {
    /// Source: stops the task, to move it.
    Stop,
    /// Source: keeps the task.
    Abort,
    /// Source: makes the task the target's.
    Commit,
    /// Source: the target knows that the task is its own; our copy is deleted.
    Confirm,
    /// Source: makes the task ours again, because the target has lost it.
    Reclaim,
    /// Target: makes the task that arrived ours.
    Accept,
    /// Target: removes the task that arrived.
    Discard,
    /// Source: makes the task ours again by an operator's decision; the target has to be told.
    TakeBack,
    /// Source: pauses our task, because the target has it too by an operator's decision.
    PauseDuplicate,
}

/// A step of the move of a task, as the driver is asked for it.
#[derive(Clone, Debug)]
pub(crate) struct TaskMove {
    pub(crate) step: MoveStep,
    pub(crate) move_id: MoveId,
    pub(crate) peer: Digest,
    pub(crate) details: MoveDetails,
}

impl TaskMove {
    /// Whether a task that has been stored in this state is as the step wants it; `None` is a task
    /// that was removed.
    pub(crate) fn is_done(&self, state: Option<TaskState>) -> bool {
        match self.step {
            MoveStep::Stop => state == Some(TaskState::Moving),
            MoveStep::Commit | MoveStep::Confirm => state == Some(TaskState::Moved),
            MoveStep::Abort | MoveStep::Reclaim | MoveStep::TakeBack | MoveStep::Accept => {
                matches!(state, Some(TaskState::Hibernated | TaskState::Paused))
            }
            MoveStep::PauseDuplicate => state == Some(TaskState::Paused),
            MoveStep::Discard => state.is_none(),
        }
    }

    /// What cannot be done with the task, for a message.
    pub(crate) fn words(&self) -> &'static str {
        match self.step {
            MoveStep::Stop => "moved",
            MoveStep::Abort | MoveStep::Reclaim | MoveStep::TakeBack => "kept",
            MoveStep::PauseDuplicate => "set aside",
            MoveStep::Commit | MoveStep::Confirm => "given up",
            MoveStep::Accept => "taken over",
            MoveStep::Discard => "dropped",
        }
    }

    /// The change of a stored task that the step leads to.
    pub(crate) fn change(&self, row: &TaskRow, time: &Time) -> Result<PlannedChange, Error> {
        let mut status: Status = from_bytes(&row.status)?;
        status.changed = time.wall();
        let mut details = self.details.clone();
        let back = |event| match details.paused {
            true => (Event::Pause, TaskState::Paused),
            false => (event, TaskState::Hibernated),
        };
        let (snapshot, clear_output) = match self.step {
            MoveStep::Confirm => (SnapshotChange::Clear, true),
            _ => (SnapshotChange::Keep, false),
        };
        let (event, state) = match self.step {
            MoveStep::Stop => (Event::Move, TaskState::Moving),
            MoveStep::Abort | MoveStep::Accept => back(Event::Hibernate),
            MoveStep::Reclaim | MoveStep::TakeBack => (Event::Rearm, back(Event::Rearm).1),
            MoveStep::PauseDuplicate => (Event::Pause, TaskState::Paused),
            MoveStep::Commit => (Event::CommitMove, TaskState::Moved),
            // The task is moved already.
            MoveStep::Confirm => (Event::CommitMove, TaskState::Moved),
            MoveStep::Discard => (Event::Fail, TaskState::Failed),
        };
        if !self.fits(row.state, event) {
            return Err(Error::from(Refused::State {
                id: row.id,
                state: row.state,
                asked: self.words(),
            }));
        }
        match self.step {
            MoveStep::Stop => {
                details.paused = row.state == TaskState::Paused;
                status.stop(row.due);
            }
            MoveStep::Commit => status.moved_to = Some(self.moved_to(false)),
            MoveStep::Confirm => status.moved_to = Some(self.moved_to(true)),
            MoveStep::Reclaim | MoveStep::TakeBack => status.moved_to = None,
            MoveStep::PauseDuplicate => status.error = details.pause_reason.clone(),
            MoveStep::Abort | MoveStep::Accept | MoveStep::Discard => {}
        }
        let record = self.record(row.id, &details)?;
        let due = match state {
            TaskState::Hibernated if status.watched > 0 => When::steady(time.now()),
            TaskState::Hibernated => status.when_or(time.now()),
            _ => When::NEVER,
        };
        let (change, state) = match self.step {
            MoveStep::Discard => {
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
            with: Vec::new(),
            state,
            due,
        })
    }

    /// Whether a task of this state can make the step, which is this event for it.
    fn fits(&self, state: TaskState, event: Event) -> bool {
        match self.step {
            MoveStep::Confirm => state == TaskState::Moved,
            MoveStep::Discard | MoveStep::Accept => state == TaskState::Arriving,
            MoveStep::Abort => state == TaskState::Moving,
            MoveStep::PauseDuplicate => state == TaskState::Paused,
            _ => state.after(event).is_some(),
        }
    }

    /// The change that stores a task which a worker has frozen to move it.
    pub(crate) fn frozen_change(&self, update: Update) -> Result<Change, Error> {
        let record = self.record(update.id, &self.details)?;
        Ok(Change::Move(MoveChange {
            change: Some(Box::new(Change::Update(update))),
            output: Vec::new(),
            clear_output: false,
            record,
        }))
    }

    fn record(&self, task: TaskId, details: &MoveDetails) -> Result<RecordChange, Error> {
        let phase = match self.step {
            MoveStep::Stop => MovePhase::Preparing,
            MoveStep::Abort | MoveStep::TakeBack => MovePhase::Aborted,
            MoveStep::Commit => MovePhase::Committed,
            MoveStep::Accept => MovePhase::Accepted,
            MoveStep::Confirm
            | MoveStep::Reclaim
            | MoveStep::Discard
            | MoveStep::PauseDuplicate => {
                return Ok(RecordChange::Forget(self.move_id));
            }
        };
        Ok(RecordChange::Put(MoveRecord {
            id: self.move_id,
            task,
            phase,
            peer: self.peer,
            details: to_bytes(details)?,
        }))
    }

    fn moved_to(&self, confirmed: bool) -> MovedTo {
        MovedTo {
            daemon: self.details.daemon.clone(),
            address: self.details.address.clone(),
            task: self.details.peer_task,
            confirmed,
            move_id: Some(self.move_id),
        }
    }
}
