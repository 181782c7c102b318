//! What becomes of a task when source and target cannot reach each other: how a move stands, for
//! the daemon that asks, and what an operator decides where the other daemon does not come back.
//!
//! ```text
//!   target  [Held]   keep --> [Taken], noted as decided      a source that comes back is told: it is ours
//!                    drop --> (nothing)                      a source that gave it up is told: it is lost here
//!   source  [Given]  keep --> [Returned], noted as decided   a target that comes back is told to drop it
//!                    drop --> (nothing), its snapshot goes
//! ```
//!
//! Where both daemons turn out to have the task, the daemon that asks pauses its own:
//! [`Daemon::fork`].

use serde::{Deserialize, Serialize};

use crate::daemon::{Daemon, blocking};
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, MoveId, TaskId, TaskState, Timestamp};
use crate::moving::note::MoveNote;
use crate::moving::step::MoveStep;
use crate::store::{MovePhase, MoveRecord, TaskRow};
use crate::stored::damaged::Stored;
use crate::stored::encoding::from_bytes;
use crate::stored::status::Status;

/// How a move stands, as its source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveState {
    /// Not decided yet.
    Giving,
    /// The task is the target's.
    Given,
    /// The task stays at the source.
    Kept,
    /// The source knows neither the move nor the task: it has lost what it knew.
    Unknown,
}

/// What a target that holds a task says when it asks how the move stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveQuestion {
    /// The move.
    pub move_id: MoveId,
    /// The task's name at the source: daemon, number and version.
    pub origin: String,
    /// When it was submitted.
    pub submitted: Timestamp,
}

impl Daemon {
    /// How a move stands, for its target. Where nothing is remembered of the move, the task's
    /// status says it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn move_state(&self, claim: MoveQuestion, peer: Digest) -> Result<MoveState, Error> {
        let record = self.move_record(claim.move_id).await?;
        match record.filter(|record| record.peer == peer) {
            Some(record) => Ok(match record.phase {
                MovePhase::Giving => MoveState::Giving,
                MovePhase::Given => MoveState::Given,
                _ => MoveState::Kept,
            }),
            None => self.state_by_task(claim).await,
        }
    }

    /// How a move stands of which nothing is remembered, by the task's status.
    async fn state_by_task(&self, claim: MoveQuestion) -> Result<MoveState, Error> {
        let (daemon, rest) = claim.origin.split_once('/').unwrap_or_default();
        let number = rest.split('@').next().and_then(|id| id.parse().ok());
        let Some(id) = number.filter(|_| daemon == self.shared.options.identity) else {
            return Ok(MoveState::Unknown);
        };
        let store = self.shared.store.clone();
        let row = blocking(move || Ok(store.task(TaskId(id))?)).await?;
        let Some(row) = row else {
            return Ok(MoveState::Unknown);
        };
        let status: Status = from_bytes(&row.status)?;
        // It is another task: a new store counts from 1 again.
        if status.submitted != claim.submitted {
            return Ok(MoveState::Unknown);
        }
        let went = status.moved_to.and_then(|to| to.move_id);
        Ok(match row.state == TaskState::Moved {
            true if went == Some(claim.move_id) => MoveState::Given,
            _ => MoveState::Kept,
        })
    }

    /// What the source is asked about a task that is held here.
    ///
    /// # Errors
    /// Where the store cannot be read, or it is not there.
    pub async fn move_question(&self, held: &MoveRecord) -> Result<MoveQuestion, Error> {
        let (id, move_id) = (held.task, held.id);
        let row = self.row(id).await?;
        let status: Status = from_bytes(&row.status)?;
        Ok(MoveQuestion {
            move_id,
            origin: status.came_from.unwrap_or_default(),
            submitted: status.submitted,
        })
    }

    /// When the task of a move last changed, and its name.
    ///
    /// # Errors
    /// Where the store cannot be read, or it is not there.
    pub async fn moved_since(&self, id: TaskId) -> Result<(Timestamp, Option<String>), Error> {
        let row = self.row(id).await?;
        Ok((Stored::of(&row).status.changed, row.name))
    }

    async fn row(&self, id: TaskId) -> Result<TaskRow, Error> {
        let store = self.shared.store.clone();
        let row = blocking(move || Ok(store.task(id)?)).await?;
        row.ok_or_else(|| Refused::NoTask(id.to_string()).into())
    }

    /// An operator decides where the task of a move is. A held task becomes ours or is dropped. A
    /// task that was given away becomes ours again, or is the target's for good.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn decide(&self, open: &MoveRecord, keep: bool) -> Result<(), Error> {
        let step = match (open.phase, keep) {
            (MovePhase::Held, true) => MoveStep::Take,
            (MovePhase::Held, false) => MoveStep::Drop,
            (MovePhase::Given, true) => MoveStep::Recall,
            (MovePhase::Given, false) => MoveStep::Done,
            _ => return Ok(()),
        };
        if open.phase == MovePhase::Held {
            // An offer of the task that may still arrive is refused.
            self.moving.dead().put(open.id, ());
        }
        let decided = Some(self.now());
        let change = |note: &mut MoveNote| note.decided = decided;
        self.step_with(open.id, step, open.phase, change).await
    }

    /// The other daemon has the task too: ours is paused with the reason. Does nothing where ours
    /// is over.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn fork(&self, open: &MoveRecord, why: String) -> Result<(), Error> {
        let found = match self.row(open.task).await {
            Ok(row) if !row.state.is_final() => self.pause(open.task).await,
            // Our task is over, or has been removed.
            _ => return self.forget_move(open.id).await,
        };
        match found {
            Ok(()) => {
                let change = |note: &mut MoveNote| note.why = Some(why);
                let at = MovePhase::Returned;
                self.step_with(open.id, MoveStep::Fork, at, change).await
            }
            // The task may have ended meanwhile; the next call sees that.
            Err(error) => Err(error),
        }
    }
}
