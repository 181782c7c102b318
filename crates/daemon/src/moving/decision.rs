//! Open moves whose two daemons cannot reach each other: the source's answer to the target's
//! question for the state of a move ([`Daemon::move_state`]), and an operator's decision
//! ([`Daemon::decide`]).
//!
//! ```text
//!   daemon  phase      decision  the store afterwards             when the other daemon is back
//!   target  Prepared   keep      Accepted, with the time          it answers the source: Accepted
//!   target  Prepared   drop      task and record are deleted      it answers the source: Unknown; a
//!                                                                 source that has committed the move
//!                                                                 then reclaims the task
//!   source  Committed  keep      Aborted, with the time           it tells the target to discard the task
//!   source  Committed  drop      snapshot and record are deleted  nothing
//! ```
//!
//! If the target answers that request with Accepted, both daemons have the task: the source pauses
//! its own ([`Daemon::pause_duplicate`]).

use serde::{Deserialize, Serialize};

use crate::daemon::{Daemon, blocking};
use crate::driver::move_step::MoveStep;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, MoveId, TaskId, TaskState, Timestamp};
use crate::store::{MovePhase, MoveRecord, TaskRow};
use crate::stored::damaged::Stored;
use crate::stored::encoding::from_bytes;
use crate::stored::move_details::MoveDetails;
use crate::stored::status::Status;

/// The state of a move, as its source answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MoveState {
    /// The source has not decided yet.
    Undecided,
    /// The task is the target's.
    Committed,
    /// The task stays at the source.
    Aborted,
    /// The source knows neither the move nor the task: it has lost what it knew.
    Unknown,
}

/// The question of a target that has prepared a task: what is the state of the move?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveQuestion {
    /// The move.
    pub(crate) move_id: MoveId,
    /// The task's name at the source: daemon, ID and version.
    pub(crate) origin: String,
    /// When it was submitted.
    pub(crate) submitted: Timestamp,
}

/// Where a task is whose move is open, as an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskLocation {
    /// At the daemon that is asked.
    Here,
    /// At the other daemon of the move.
    There,
}

impl Daemon {
    /// The state of a move, for its target. If the store has no record of the move, the task's
    /// status says it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn move_state(
        &self,
        claim: MoveQuestion,
        peer: Digest,
    ) -> Result<MoveState, Error> {
        let record = self.move_record(claim.move_id).await?;
        match record.filter(|record| record.peer == peer) {
            Some(record) => Ok(match record.phase {
                MovePhase::Preparing => MoveState::Undecided,
                MovePhase::Committed => MoveState::Committed,
                _ => MoveState::Aborted,
            }),
            None => self.state_by_task(claim).await,
        }
    }

    /// The state of a move that has no record, by the task's status.
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
            true if went == Some(claim.move_id) => MoveState::Committed,
            _ => MoveState::Aborted,
        })
    }

    /// The question to the source of a task that is prepared here.
    ///
    /// # Errors
    /// If the store cannot be read, or it is not there.
    pub(crate) async fn move_question(&self, prepared: &MoveRecord) -> Result<MoveQuestion, Error> {
        let (id, move_id) = (prepared.task, prepared.id);
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
    /// If the store cannot be read, or it is not there.
    pub(crate) async fn moved_since(
        &self,
        id: TaskId,
    ) -> Result<(Timestamp, Option<String>), Error> {
        let row = self.row(id).await?;
        Ok((Stored::of(&row).status.changed, row.name))
    }

    async fn row(&self, id: TaskId) -> Result<TaskRow, Error> {
        let store = self.shared.store.clone();
        let row = blocking(move || Ok(store.task(id)?)).await?;
        row.ok_or_else(|| Refused::NoTask(id.to_string()).into())
    }

    /// Stores an operator's decision where the task of a move is. A prepared task becomes ours or
    /// is removed. A task whose move was committed becomes ours again, or is the target's for good.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn decide(
        &self,
        open: &MoveRecord,
        decision: TaskLocation,
    ) -> Result<(), Error> {
        let step = match (open.phase, decision) {
            (MovePhase::Prepared, TaskLocation::Here) => MoveStep::Accept,
            (MovePhase::Prepared, TaskLocation::There) => MoveStep::Discard,
            (MovePhase::Committed, TaskLocation::Here) => MoveStep::TakeBack,
            (MovePhase::Committed, TaskLocation::There) => MoveStep::Confirm,
            _ => return Ok(()),
        };
        if open.phase == MovePhase::Prepared {
            // An offer of the task that may still arrive is refused.
            self.moving.dead().put(open.id, ());
        }
        let decided = Some(self.now());
        let change = |details: &mut MoveDetails| details.decided = decided;
        self.step_with(open.id, step, open.phase, change).await
    }

    /// Pauses our task, with the reason, because the other daemon has it too. If ours has ended or
    /// was removed, only forgets the move.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn pause_duplicate(
        &self,
        open: &MoveRecord,
        why: String,
    ) -> Result<(), Error> {
        let found = match self.row(open.task).await {
            Ok(row) if !row.state.is_final() => self.pause(open.task).await,
            // Our task is over, or has been removed.
            _ => return self.forget_move(open.id).await,
        };
        match found {
            Ok(()) => {
                let change = |details: &mut MoveDetails| details.pause_reason = Some(why);
                let at = MovePhase::Aborted;
                self.step_with(open.id, MoveStep::PauseDuplicate, at, change)
                    .await
            }
            // The task may have ended meanwhile; the next call sees that.
            Err(error) => Err(error),
        }
    }
}
