//! What users ask of a task, and which change of a stored task follows from it.

use tokio::sync::oneshot;

use crate::driver::move_step::TaskMove;
use crate::driver::planned::PlannedChange;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Event, TaskId, TaskState, When};
use crate::spec::{LimitChanges, Submitted as _};
use crate::store::{Change, SnapshotChange, TaskRow, Update};
use crate::stored::damaged::Stored;
use crate::stored::encoding::{to_bytes, to_named_bytes};
use crate::stored::history::Run;
use crate::stored::status::Status;
use crate::time::clocks::Time;
use crate::time::schedule::{is_misplaced, scheduled};

/// Gets `Ok` once the command's effect is stored. Of the errors, `NotStored` means that the command
/// has been done and is not stored yet.
pub(crate) type Reply = oneshot::Sender<Result<(), Error>>;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Pause the task until it is resumed.
    Pause,
    /// Resume the task, with other limits.
    Resume(LimitChanges),
    /// Start the task now, where it waits for its start.
    Start,
    /// End the task.
    Kill,
    /// Store the task's state as it is now, and let the task go on.
    Checkpoint,
    /// The wall clock has been set: compute anew when the task's schedule starts it.
    Reschedule,
    /// Remove the task, with its output.
    Remove,
    /// Store what connections have come to that the task has accepted.
    Collect,
    /// Give the task to another node, by its number.
    Give(u64),
    /// Do a step of the task's move to or from another daemon.
    Move(Box<TaskMove>),
}

/// A request about one task.
pub(crate) struct Command {
    pub(crate) id: TaskId,
    pub(crate) ask: Ask,
    pub(crate) reply: Reply,
}

impl Command {
    pub(crate) fn refuse(self, error: Refused) {
        // An error means that the caller no longer waits.
        let _ = self.reply.send(Err(error.into()));
    }

    /// Answers that it is done.
    pub(crate) fn done(self) {
        // An error means that the caller no longer waits.
        let _ = self.reply.send(Ok(()));
    }

    /// Whether a task that has been stored in this state is as the command wants it; `None` is a
    /// task that was removed.
    pub(crate) fn is_done(&self, state: Option<TaskState>) -> bool {
        match &self.ask {
            Ask::Checkpoint | Ask::Reschedule | Ask::Collect => true,
            Ask::Pause => state == Some(TaskState::Paused),
            Ask::Resume(_) | Ask::Start => state == Some(TaskState::Hibernated),
            Ask::Kill => state == Some(TaskState::Failed),
            Ask::Remove => state.is_none(),
            Ask::Give(_) => matches!(state, Some(TaskState::Hibernated | TaskState::Paused)),
            Ask::Move(step) => step.is_done(state),
        }
    }

    pub(crate) fn not_while(&self, state: TaskState) -> Refused {
        let asked = match &self.ask {
            Ask::Pause => "paused",
            Ask::Resume(_) => "resumed",
            Ask::Start => "started; only one that waits for its first start or its next can be",
            Ask::Kill => "killed",
            Ask::Checkpoint => "suspended",
            Ask::Reschedule => "scheduled anew",
            Ask::Remove => "removed; kill it first",
            Ask::Collect => "told of its connections",
            Ask::Give(_) => "given to another node",
            Ask::Move(step) => step.words(),
        };
        Refused::State {
            id: self.id,
            state,
            asked,
        }
    }

    /// The error that the command was done and cannot be stored for now.
    pub(crate) fn not_stored(&self, error: &str) -> Refused {
        let what = match &self.ask {
            Ask::Pause => "has been stopped",
            Ask::Kill => "has been killed",
            _ => "has been suspended",
        };
        Refused::NotStored {
            id: self.id,
            what,
            error: error.into(),
        }
    }

    /// The error that nothing can be asked of the task, because its state cannot be stored for now.
    pub(crate) fn stuck(&self, error: &str) -> Refused {
        Refused::Stuck {
            id: self.id,
            error: error.into(),
        }
    }

    /// The change of a task that is damaged in the store: it can be copied and removed.
    fn change_damaged(
        &self,
        row: &TaskRow,
        stored: Stored,
        time: &Time,
    ) -> Result<Option<PlannedChange>, Error> {
        // The other daemon of a move counts on the task.
        let moves = matches!(row.state, TaskState::Moving | TaskState::Arriving);
        let unconfirmed = stored.status.moved_to.is_some_and(|to| !to.confirmed);
        match (&self.ask, stored.damage) {
            (Ask::Checkpoint | Ask::Reschedule | Ask::Collect, _) => Ok(None),
            (Ask::Move(step), _) => step.change(row, time).map(Some),
            (Ask::Remove, _) if moves || unconfirmed => Err(self.not_while(row.state).into()),
            (Ask::Remove, _) => Ok(Some(removed(row))),
            (_, Some(damage)) => Err(damage.into()),
            (_, None) => Ok(None),
        }
    }

    /// The change of a stored task that the command leads to; `None` where the task is as the
    /// command wants it.
    pub(crate) fn change(
        &self,
        row: &TaskRow,
        time: &Time,
    ) -> Result<Option<PlannedChange>, Error> {
        let stored = Stored::of(row);
        if stored.damage.is_some() {
            return self.change_damaged(row, stored, time);
        }
        let refused = || Error::from(self.not_while(row.state));
        let mut status = stored.status;
        if matches!(self.ask, Ask::Reschedule) {
            return reschedule(row, status, time);
        }
        if let Ask::Give(node) = self.ask {
            return given(row, &status, time, node)
                .map_or_else(|| Err(refused()), |plan| Ok(Some(plan)));
        }
        status.changed = time.wall();
        let mut spec = None;
        let (event, due, snapshot) = match &self.ask {
            Ask::Checkpoint | Ask::Reschedule | Ask::Collect | Ask::Give(_) => return Ok(None),
            Ask::Move(step) => return step.change(row, time).map(Some),
            Ask::Remove if status.moved_to.as_ref().is_some_and(|to| !to.confirmed) => {
                return Err(refused());
            }
            Ask::Remove if row.state.is_final() || row.state == TaskState::Paused => {
                return Ok(Some(removed(row)));
            }
            Ask::Remove => return Err(refused()),
            Ask::Pause if row.state == TaskState::Paused => return Ok(None),
            Ask::Pause => {
                status.stop(row.due);
                (Event::Pause, When::NEVER, SnapshotChange::Keep)
            }
            Ask::Resume(more) => {
                resume(row, &mut status, time);
                if !more.is_empty() {
                    let mut merged = stored.spec;
                    merged.take(more);
                    spec = Some(to_named_bytes(&merged)?);
                }
                (
                    Event::Resume,
                    status.when_or(time.now()),
                    SnapshotChange::Keep,
                )
            }
            // A task with a snapshot is in the middle of a run.
            Ask::Start if row.state != TaskState::Hibernated || row.snapshot_bytes > 0 => {
                return Err(refused());
            }
            Ask::Start => {
                (status.wakes, status.wall) = (None, None);
                (Event::Rearm, When::steady(time.now()), SnapshotChange::Keep)
            }
            Ask::Kill => {
                kill(row, &mut status, time);
                (Event::Fail, When::NEVER, SnapshotChange::Clear)
            }
        };
        let state = match &self.ask {
            // The task stays hibernated, and is due.
            Ask::Start => row.state,
            _ => row.state.after(event).ok_or_else(refused)?,
        };
        let update = Update {
            spec,
            snapshot,
            ..Update::of(row, state, due, to_bytes(&status)?)
        };
        Ok(Some(PlannedChange {
            change: Change::Update(update),
            with: Vec::new(),
            state: Some(state),
            due,
        }))
    }
}

/// What is known of a paused task becomes that of one which goes on.
fn resume(row: &TaskRow, status: &mut Status, time: &Time) {
    status.error = None;
    // The clock may have been set while it was paused.
    let ahead = status.wall.is_some_and(|at| at > time.wall());
    if ahead && let Ok(Some(next)) = scheduled(row, status, time) {
        status.wall = Some(next);
    }
}

/// What is known of a task becomes that of one which was killed.
fn kill(row: &TaskRow, status: &mut Status, time: &Time) {
    if row.snapshot_bytes > 0 {
        status.history.add(Run {
            number: status.runs,
            ended: time.wall(),
            error: Some("the task was killed".into()),
            ..Run::default()
        });
    }
    status.error = Some("the task was killed".into());
    status.clear_wait();
}

/// A stored task becomes another node's, or nobody's that goes on there first; `None` where its state
/// does not allow that. A connection has its guest where it came in.
fn given(row: &TaskRow, status: &Status, time: &Time, node: u64) -> Option<PlannedChange> {
    let stands = matches!(row.state, TaskState::Hibernated | TaskState::Paused);
    if !stands || status.accepted_by.is_some() || !status.connections.is_empty() {
        return None;
    }
    let when = status.when();
    let due = match row.due {
        // What is due by the wall clock stays so when that is set.
        due if due == time.due(when) => when,
        due => When {
            steady: due,
            wall: when.wall,
        },
    };
    let update = Update {
        target: Some(node),
        ..Update::of(row, row.state, due, row.status.clone())
    };
    Some(PlannedChange {
        change: Change::Update(update),
        with: Vec::new(),
        state: Some(row.state),
        due,
    })
}

/// The removal of a task.
fn removed(row: &TaskRow) -> PlannedChange {
    PlannedChange {
        change: Change::Remove {
            id: row.id,
            expected: row.version,
        },
        with: Vec::new(),
        state: None,
        due: When::NEVER,
    }
}

fn reschedule(
    row: &TaskRow,
    mut status: Status,
    time: &Time,
) -> Result<Option<PlannedChange>, Error> {
    if !is_misplaced(row, time)? {
        return Ok(None);
    }
    status.wall = scheduled(row, &status, time)?;
    let due = status.when();
    let update = Update::of(row, row.state, due, to_bytes(&status)?);
    Ok(Some(PlannedChange {
        change: Change::Update(update),
        with: Vec::new(),
        state: Some(row.state),
        due,
    }))
}
