//! What becomes of a task where the two sides cannot tell each other: how a move stands, for the side that asks, and
//! what an operator decides where the other side does not come back.
//!
//! ```text
//!   target  [Held]   keep --> [Taken], noted as decided      a source that comes back is told: it is ours
//!                    drop --> (nothing)                      a source that gave it up is told: it is lost here
//!   source  [Given]  keep --> [Returned], noted as decided   a target that comes back is told to drop it
//!                    drop --> (nothing), its snapshot goes
//! ```
//!
//! Where it comes out that both sides have the task, the side that asks sets its own aside: [`Daemon::fork`].

use serde::{Deserialize, Serialize};

use super::super::Error as Refused;
use super::super::daemon::{Daemon, blocking};
use super::super::damaged::Stored;
use super::super::spec::{Status, from_bytes};
use super::{Note, Step};
use crate::model::error::Error;
use crate::model::{Digest, TaskId, TaskState, TransferId};
use crate::store::{Row, Transfer, TransferStep};

/// How a move stands, as the side says that the task leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Not decided yet.
    Giving,
    /// It is the other side's.
    Given,
    /// It stays here.
    Kept,
    /// Neither the move nor the task is known here: this side has lost what it knew.
    Unknown,
}

/// What the side that holds a task says of it when it asks how the move stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The move.
    pub transfer: TransferId,
    /// The task as it was called where it came from: daemon, number and version.
    pub origin: String,
    /// When it was submitted, in nanoseconds since the Unix epoch.
    pub submitted: u64,
}

impl Daemon {
    /// How a move stands, for the side that the task was offered to. Where nothing is remembered of the move, the
    /// task itself says it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn standing(
        &self,
        transfer: TransferId,
        peer: Digest,
        claim: Option<Claim>,
    ) -> Result<Standing, Error> {
        let record = self.transfer(transfer).await?;
        match record.filter(|record| record.peer == peer) {
            Some(record) => Ok(match record.step {
                TransferStep::Giving => Standing::Giving,
                TransferStep::Given => Standing::Given,
                _ => Standing::Kept,
            }),
            None => match claim {
                // One who says no more of it than its number.
                None => Ok(Standing::Kept),
                Some(claim) => self.stands(claim).await,
            },
        }
    }

    /// How a move stands of which nothing is remembered.
    async fn stands(&self, claim: Claim) -> Result<Standing, Error> {
        let (daemon, rest) = claim.origin.split_once('/').unwrap_or_default();
        let number = rest.split('@').next().and_then(|id| id.parse().ok());
        let Some(id) = number.filter(|_| daemon == self.shared.options.identity) else {
            return Ok(Standing::Unknown);
        };
        let store = self.shared.store.clone();
        let row = blocking(move || Ok(store.task(TaskId(id))?)).await?;
        let Some(row) = row else {
            return Ok(Standing::Unknown);
        };
        let status: Status = from_bytes(&row.status)?;
        // A store that was made anew counts from 1 again.
        if status.submitted != claim.submitted {
            return Ok(Standing::Unknown);
        }
        let went = status.moved_to.and_then(|to| to.transfer);
        Ok(match row.state == TaskState::Moved {
            true if went == Some(claim.transfer) => Standing::Given,
            _ => Standing::Kept,
        })
    }

    /// What is said of a task that is held here when its source is asked.
    ///
    /// # Errors
    /// Where the store cannot be read, or it is not there.
    pub async fn claim(&self, held: &Transfer) -> Result<Claim, Error> {
        let (id, transfer) = (held.task, held.id);
        let row = self.row(id).await?;
        let status: Status = from_bytes(&row.status)?;
        Ok(Claim {
            transfer,
            origin: status.came_from.unwrap_or_default(),
            submitted: status.submitted,
        })
    }

    /// When the task of a move last changed, in nanoseconds since the Unix epoch, and its name.
    ///
    /// # Errors
    /// Where the store cannot be read, or it is not there.
    pub async fn moved_since(&self, id: TaskId) -> Result<(u64, Option<String>), Error> {
        let row = self.row(id).await?;
        Ok((Stored::of(&row).status.changed, row.name))
    }

    async fn row(&self, id: TaskId) -> Result<Row, Error> {
        let store = self.shared.store.clone();
        let row = blocking(move || Ok(store.task(id)?)).await?;
        row.ok_or_else(|| Refused::NoTask(id.to_string()).into())
    }

    /// An operator says where the task of a move is. Held here: it is ours, or it is dropped. Given away: it is ours
    /// again, or it is the other side's for good.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn decide(&self, open: &Transfer, keep: bool) -> Result<(), Error> {
        let step = match (open.step, keep) {
            (TransferStep::Held, true) => Step::Take,
            (TransferStep::Held, false) => Step::Drop,
            (TransferStep::Given, true) => Step::Recall,
            (TransferStep::Given, false) => Step::Done,
            _ => return Ok(()),
        };
        if open.step == TransferStep::Held {
            // An offer of it that may still come is refused.
            self.moving.dead().put(open.id, ());
        }
        let decided = Some(self.now());
        let change = |note: &mut Note| note.decided = decided;
        self.step_with(open.id, step, open.step, change).await
    }

    /// The other side has the task too: ours is paused, and says why. Nothing, where it is over.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn fork(&self, open: &Transfer, why: String) -> Result<(), Error> {
        let found = match self.row(open.task).await {
            Ok(row) if !row.state.is_final() => self.pause(open.task).await,
            // It is over, or has been removed.
            _ => return self.forget_move(open.id).await,
        };
        match found {
            Ok(()) => {
                let change = |note: &mut Note| note.why = Some(why);
                let at = TransferStep::Returned;
                self.step_with(open.id, Step::Fork, at, change).await
            }
            // It has come to its end meanwhile, which is looked at the next time.
            Err(error) => Err(error),
        }
    }
}
