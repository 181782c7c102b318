//! What users ask of a task, and what that means for one that stands in the store.

use tokio::sync::oneshot;

use super::Error as Refused;
use super::damaged::Stored;
use super::history::Run;
use super::moving::Move;
use super::schedule::{is_misplaced, scheduled};
use super::spec::{More, Status, to_bytes};
use super::time::Time;
use crate::model::error::Error;
use crate::model::{Event, TaskId, TaskState, When};
use crate::store::{Change, Part, Row, Update};

/// Answers a command: it has been done, durably.
pub(super) type Reply = oneshot::Sender<Result<(), Error>>;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// Keep it until told otherwise.
    Pause,
    /// Let it go on, with other limits.
    Resume(More),
    /// Start it now, where it waits for its start.
    Start,
    /// End it.
    Kill,
    /// Have its state stored as it is now, and let it go on.
    Settle,
    /// The wall clock has been set: judge anew when its schedule has it start.
    Reschedule,
    /// Take it out of the list, with its output.
    Remove,
    /// A step of its move to or from another daemon.
    Move(Box<Move>),
}

/// What is asked of which task.
pub(super) struct Command {
    pub(super) id: TaskId,
    pub(super) ask: Ask,
    pub(super) reply: Reply,
}

/// A change with the state and the due time that it leads to; no state where the task goes.
pub(super) type Planned = (Change, Option<TaskState>, When);

impl Command {
    pub(super) fn refuse(self, error: Refused) {
        // Whoever asked has gone.
        let _ = self.reply.send(Err(error.into()));
    }

    /// Tells whoever asked that it is done.
    pub(super) fn done(self) {
        // Whoever asked has gone.
        let _ = self.reply.send(Ok(()));
    }

    /// Whether a task that has been stored in this state is as asked for; `None` where it is gone.
    pub(super) fn is_done(&self, state: Option<TaskState>) -> bool {
        match &self.ask {
            Ask::Settle | Ask::Reschedule => true,
            Ask::Pause => state == Some(TaskState::Paused),
            Ask::Resume(_) | Ask::Start => state == Some(TaskState::Hibernated),
            Ask::Kill => state == Some(TaskState::Failed),
            Ask::Remove => state.is_none(),
            Ask::Move(step) => step.is_done(state),
        }
    }

    pub(super) fn not_while(&self, state: TaskState) -> Refused {
        let asked = match &self.ask {
            Ask::Pause => "paused",
            Ask::Resume(_) => "resumed",
            Ask::Start => "started; only one that waits for its first start or its next can be",
            Ask::Kill => "killed",
            Ask::Settle => "suspended",
            Ask::Reschedule => "scheduled anew",
            Ask::Remove => "removed; kill it first",
            Ask::Move(step) => step.words(),
        };
        Refused::State {
            id: self.id,
            state,
            asked,
        }
    }

    /// It was done, and cannot be stored for now.
    pub(super) fn not_stored(&self, error: &str) -> Refused {
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

    /// It cannot be done, since the task's state cannot be stored for now.
    pub(super) fn stuck(&self, error: &str) -> Refused {
        Refused::Stuck {
            id: self.id,
            error: error.into(),
        }
    }

    /// The change of a task that is damaged in the store: it can be copied and removed.
    fn change_damaged(
        &self,
        row: &Row,
        stored: Stored,
        time: &Time,
    ) -> Result<Option<Planned>, Error> {
        // The other side of a move counts on it.
        let moves = matches!(row.state, TaskState::Moving | TaskState::Arriving);
        let given = stored.status.moved_to.is_some_and(|to| !to.settled);
        match (&self.ask, stored.damage) {
            (Ask::Settle | Ask::Reschedule, _) => Ok(None),
            (Ask::Move(step), _) => step.change(row, time).map(Some),
            (Ask::Remove, _) if moves || given => Err(self.not_while(row.state).into()),
            (Ask::Remove, _) => Ok(Some(removed(row))),
            (_, Some(damage)) => Err(damage.into()),
            (_, None) => Ok(None),
        }
    }

    /// The change of a stored task, or `None` where it is as asked for.
    pub(super) fn change(&self, row: &Row, time: &Time) -> Result<Option<Planned>, Error> {
        let stored = Stored::of(row);
        if stored.damage.is_some() {
            return self.change_damaged(row, stored, time);
        }
        let refused = || Error::from(self.not_while(row.state));
        let mut status = stored.status;
        if matches!(self.ask, Ask::Reschedule) {
            return reschedule(row, status, time);
        }
        status.changed = time.wall();
        let mut spec = None;
        let (event, due, snapshot) = match &self.ask {
            Ask::Settle | Ask::Reschedule => return Ok(None),
            Ask::Move(step) => return step.change(row, time).map(Some),
            Ask::Remove if status.moved_to.as_ref().is_some_and(|to| !to.settled) => {
                return Err(refused());
            }
            Ask::Remove if row.state.is_final() || row.state == TaskState::Paused => {
                return Ok(Some(removed(row)));
            }
            Ask::Remove => return Err(refused()),
            Ask::Pause if row.state == TaskState::Paused => return Ok(None),
            Ask::Pause => {
                status.keep_due(row.due);
                status.listens.clear();
                status.watched = 0;
                (Event::Pause, When::NEVER, Part::Keep)
            }
            Ask::Resume(more) => {
                status.error = None;
                // The clock may have been set while it was paused.
                let ahead = status.wall.is_some_and(|at| at > time.wall());
                if ahead && let Ok(Some(next)) = scheduled(row, &status, time) {
                    status.wall = Some(next);
                }
                if !more.is_empty() {
                    let mut given = stored.spec;
                    given.take(more);
                    spec = Some(to_bytes(&given)?);
                }
                (Event::Resume, status.when_or(time.now()), Part::Keep)
            }
            // What has a snapshot is in the middle of a run.
            Ask::Start if row.state != TaskState::Hibernated || row.snapshot_bytes > 0 => {
                return Err(refused());
            }
            Ask::Start => {
                (status.wakes, status.wall) = (None, None);
                (Event::Rearm, When::steady(time.now()), Part::Keep)
            }
            Ask::Kill => {
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
                (Event::Fail, When::NEVER, Part::Clear)
            }
        };
        let state = match &self.ask {
            // It stays as it is, and is due.
            Ask::Start => row.state,
            _ => row.state.after(event).ok_or_else(refused)?,
        };
        let update = Update {
            id: row.id,
            expected: row.version,
            state,
            due,
            status: to_bytes(&status)?,
            spec,
            snapshot,
            output: Vec::new(),
            output_limit: u64::MAX,
        };
        Ok(Some((Change::Update(update), Some(state), due)))
    }
}

/// The task goes.
fn removed(row: &Row) -> Planned {
    let (id, expected) = (row.id, row.version);
    (Change::Remove { id, expected }, None, When::NEVER)
}

fn reschedule(row: &Row, mut status: Status, time: &Time) -> Result<Option<Planned>, Error> {
    if !is_misplaced(row, time)? {
        return Ok(None);
    }
    status.wall = scheduled(row, &status, time)?;
    let due = status.when();
    let update = Update {
        id: row.id,
        expected: row.version,
        state: row.state,
        due,
        status: to_bytes(&status)?,
        spec: None,
        snapshot: Part::Keep,
        output: Vec::new(),
        output_limit: u64::MAX,
    };
    Ok(Some((Change::Update(update), Some(row.state), due)))
}
