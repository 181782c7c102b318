//! Moves that are open, and what an operator decides about them where the other daemon does not
//! come back.
//!
//! A decision is the last resort. So the other daemon is asked once more before it: if it answers,
//! its word counts and there is nothing to decide. If it does not, the operator has to confirm
//! (`force`).

use std::sync::Arc;

use super::error::PeerError;
use super::network::Peers;
use crate::model::error::{Error, ErrorKind};
use crate::model::{TaskId, Timestamp};
use crate::moving::note::MoveNote;
use crate::store::{MovePhase, MoveRecord};

/// A move that has not ended for both daemons.
pub(crate) struct OpenMove {
    pub(crate) record: MoveRecord,
    pub(crate) note: MoveNote,
    /// The task's name.
    pub(crate) name: Option<String>,
    /// The name of the other daemon, where it is known.
    pub(crate) peer: Option<String>,
    /// Since when the task is as it is.
    pub(crate) since: Timestamp,
    /// Why the move is still open.
    pub(crate) why: Option<String>,
}

/// What became of a task whose move was open.
pub(crate) struct Decision {
    /// The task is here, and goes on.
    pub(crate) kept: bool,
    /// The other daemon did not answer: it was decided without it.
    pub(crate) forced: bool,
}

impl Peers {
    /// All moves that have not ended for both daemons.
    pub(crate) async fn still_open(&self) -> Result<Vec<OpenMove>, Error> {
        let mut found = Vec::new();
        for listed in self.daemon.open_moves().await? {
            // The move may have ended, and its task been removed, since the list was made.
            let (record, note, unreadable) = match self.daemon.open_move(listed.id).await {
                Ok(Some((record, note))) => (record, note, None),
                Ok(None) => continue,
                // The others are shown, and this one is shown with the reason.
                Err(error) => (listed, MoveNote::default(), Some(error.to_string())),
            };
            let Ok((since, name)) = self.daemon.moved_since(record.task).await else {
                continue;
            };
            let peer = self.trust.of(&record.peer).map(|peer| peer.name);
            let why = unreadable.or_else(|| self.why_open.of(record.id));
            let why = why.or_else(|| {
                let unknown = peer.is_none();
                unknown.then(|| "that daemon is not known here any more".into())
            });
            found.push(OpenMove {
                record,
                note,
                name,
                peer,
                since,
                why,
            });
        }
        found.sort_by_key(|open| open.record.task);
        Ok(found)
    }

    /// The move of a task that no daemon runs now.
    async fn undecided(&self, id: TaskId) -> Result<(MoveRecord, MoveNote), Error> {
        for listed in self.daemon.open_moves_of(id).await? {
            if is_undecided(&listed)
                && !self.daemon.is_moving(id)
                && let Some(open) = self.daemon.open_move(listed.id).await?
                && is_undecided(&open.0)
            {
                return Ok(open);
            }
        }
        Err(PeerError::Decided(id.0).into())
    }

    /// An operator says where the task is: here if `keep`, else at the other daemon. That one is
    /// asked once more before; if it does not answer, the decision needs `force`.
    ///
    /// # Errors
    /// Where there is nothing to decide, or the other daemon does not answer and `force` is not
    /// given.
    pub(crate) async fn decide(
        self: &Arc<Self>,
        id: TaskId,
        keep: bool,
        force: bool,
    ) -> Result<Decision, Error> {
        let (record, note) = self.undecided(id).await?;
        let why = match self.settle_one(&record, &note).await {
            // The other daemon has answered, which has ended the move.
            Ok(true) => {
                self.why_open.forget(record.id);
                return Ok(Decision {
                    kept: record.phase == MovePhase::Held && self.is_here(id).await?,
                    forced: false,
                });
            }
            Ok(false) => {
                let told = self.why_open.of(record.id);
                // The other daemon lives, and has not decided yet.
                told.ok_or(PeerError::UnderWay(id.0))?
            }
            // The other daemon has lost the task, which is ours again.
            Err(_) if self.undecided(id).await.is_err() => {
                self.why_open.forget(record.id);
                return Ok(Decision {
                    kept: true,
                    forced: false,
                });
            }
            Err(error) => error.to_string(),
        };
        if !force {
            return Err(PeerError::Silent {
                task: id.0,
                daemon: note.daemon,
                address: note.address,
                why,
                risk: risk(&record, keep),
            }
            .into());
        }
        log::warn!(
            "task {id}: decided without daemon {} at {} ({why}): {}",
            note.daemon,
            note.address,
            match keep {
                true => "it is here",
                false => "it is that one's",
            }
        );
        self.daemon.decide(&record, keep).await?;
        self.why_open.forget(record.id);
        self.unsettled.notify_one();
        Ok(Decision {
            kept: keep,
            forced: true,
        })
    }

    async fn is_here(&self, id: TaskId) -> Result<bool, Error> {
        match self.daemon.task(id).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Task => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether no daemon runs the task of a move.
pub(crate) fn is_undecided(record: &MoveRecord) -> bool {
    matches!(record.phase, MovePhase::Held | MovePhase::Given)
}

/// What a wrong decision may lead to.
fn risk(record: &MoveRecord, keep: bool) -> &'static str {
    match (record.phase == MovePhase::Held, keep) {
        (true, true) => {
            "if that daemon has the task still and cannot reach this one when it comes back, both run it until they have \
             spoken"
        }
        (false, true) => "if that daemon has taken the task, both run it until they have spoken",
        (_, false) => "if that daemon does not have the task, it is lost",
    }
}
