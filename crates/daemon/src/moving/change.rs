//! What each step of a move means for the task's row and for what is remembered of the move.

use super::super::Error as Refused;
use super::super::commands::Planned;
use super::super::spec::{Status, from_bytes, to_bytes};
use super::super::time::Time;
use super::{MovedTo, Note};
use crate::model::error::Error;
use crate::model::{Digest, Event, TaskId, TaskState, TransferId, When};
use crate::store::{Change, Hand, Part, Record, Row, Transfer, TransferStep, Update};

/// A step of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Step {
    /// The task is stopped, to go to the other side.
    Give,
    /// It stays.
    Keep,
    /// It is the other side's.
    Given,
    /// The other side knows that.
    Done,
    /// The other side has lost it: it is ours again.
    Reclaim,
    /// What arrived is ours.
    Take,
    /// What arrived is not ours.
    Drop,
    /// An operator says that what was given to the other side is ours again; that side has to be told.
    Recall,
    /// The other side has it too, by an operator's decision: ours stands still.
    Fork,
}

/// A step of a move of a task.
#[derive(Clone, Debug)]
pub(in super::super) struct Move {
    pub(in super::super) step: Step,
    pub(super) transfer: TransferId,
    pub(super) peer: Digest,
    pub(super) note: Note,
}

impl Move {
    /// Whether a task that has been stored in this state is as asked for; `None` where it is gone.
    pub(in super::super) fn is_done(&self, state: Option<TaskState>) -> bool {
        match self.step {
            Step::Give => state == Some(TaskState::Moving),
            Step::Given | Step::Done => state == Some(TaskState::Moved),
            Step::Keep | Step::Reclaim | Step::Recall | Step::Take => {
                matches!(state, Some(TaskState::Hibernated | TaskState::Paused))
            }
            Step::Fork => state == Some(TaskState::Paused),
            Step::Drop => state.is_none(),
        }
    }

    /// What cannot be done, for a message.
    pub(in super::super) fn words(&self) -> &'static str {
        match self.step {
            Step::Give => "moved",
            Step::Keep | Step::Reclaim | Step::Recall => "kept",
            Step::Fork => "set aside",
            Step::Given | Step::Done => "given up",
            Step::Take => "taken over",
            Step::Drop => "dropped",
        }
    }

    /// The change of a stored task.
    pub(in super::super) fn change(&self, row: &Row, time: &Time) -> Result<Planned, Error> {
        let mut status: Status = from_bytes(&row.status)?;
        status.changed = time.wall();
        let mut note = self.note.clone();
        let back = |event| match note.paused {
            true => (Event::Pause, TaskState::Paused),
            false => (event, TaskState::Hibernated),
        };
        let (snapshot, clear_output) = match self.step {
            Step::Done => (Part::Clear, true),
            _ => (Part::Keep, false),
        };
        let (event, state) = match self.step {
            Step::Give => (Event::Give, TaskState::Moving),
            Step::Keep | Step::Take => back(Event::Hibernate),
            Step::Reclaim | Step::Recall => (Event::Rearm, back(Event::Rearm).1),
            Step::Fork => (Event::Pause, TaskState::Paused),
            Step::Given => (Event::Given, TaskState::Moved),
            // It is there already.
            Step::Done => (Event::Given, TaskState::Moved),
            Step::Drop => (Event::Fail, TaskState::Failed),
        };
        let fits = match self.step {
            Step::Done => row.state == TaskState::Moved,
            Step::Drop => row.state == TaskState::Arriving,
            Step::Take => row.state == TaskState::Arriving,
            Step::Keep => row.state == TaskState::Moving,
            Step::Fork => row.state == TaskState::Paused,
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
            Step::Give => {
                note.paused = row.state == TaskState::Paused;
                status.keep_due(row.due);
                status.listens.clear();
                status.watched = 0;
            }
            Step::Given => status.moved_to = Some(self.moved_to(false)),
            Step::Done => status.moved_to = Some(self.moved_to(true)),
            Step::Reclaim | Step::Recall => status.moved_to = None,
            Step::Fork => status.error = note.why.clone(),
            Step::Keep | Step::Take | Step::Drop => {}
        }
        let record = self.record(row.id, &note)?;
        let due = match state {
            TaskState::Hibernated => status.when_or(time.now()),
            _ => When::NEVER,
        };
        let (change, state) = match self.step {
            Step::Drop => {
                let (id, expected) = (row.id, row.version);
                (Change::Remove { id, expected }, None)
            }
            _ => {
                let update = Update {
                    id: row.id,
                    expected: row.version,
                    state,
                    due,
                    status: to_bytes(&status)?,
                    spec: None,
                    snapshot,
                    output: Vec::new(),
                    output_limit: u64::MAX,
                };
                (Change::Update(update), Some(state))
            }
        };
        let hand = Hand {
            change: Some(Box::new(change)),
            output: Vec::new(),
            clear_output,
            record,
        };
        Ok((Change::Hand(hand), state, due))
    }

    /// A task that a worker has written down, on its way to the other side.
    pub(in super::super) fn given(&self, update: Update) -> Result<Change, Error> {
        let record = self.record(update.id, &self.note)?;
        Ok(Change::Hand(Hand {
            change: Some(Box::new(Change::Update(update))),
            output: Vec::new(),
            clear_output: false,
            record,
        }))
    }

    fn record(&self, task: TaskId, note: &Note) -> Result<Record, Error> {
        let step = match self.step {
            Step::Give => TransferStep::Giving,
            Step::Keep | Step::Recall => TransferStep::Returned,
            Step::Given => TransferStep::Given,
            Step::Take => TransferStep::Taken,
            Step::Done | Step::Reclaim | Step::Drop | Step::Fork => {
                return Ok(Record::Forget(self.transfer));
            }
        };
        Ok(Record::Put(Transfer {
            id: self.transfer,
            task,
            step,
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
            transfer: Some(self.transfer),
        }
    }
}
