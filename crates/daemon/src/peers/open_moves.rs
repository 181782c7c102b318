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
use crate::moving::decision::TaskLocation;
use crate::peers::resolve::Resolution;
use crate::store::{MovePhase, MoveRecord};
use crate::stored::move_details::MoveDetails;

/// A move that has not ended for both daemons.
pub(crate) struct OpenMove {
    pub(crate) record: MoveRecord,
    pub(crate) details: MoveDetails,
    /// The task's name.
    pub(crate) name: Option<String>,
    /// The name of the other daemon, where it is known.
    pub(crate) peer: Option<String>,
    /// Since when the task is as it is.
    pub(crate) since: Timestamp,
    /// Why the move is still open.
    pub(crate) why: Option<String>,
}

/// The outcome of an operator's decision about an open move.
pub(crate) struct DecisionOutcome {
    /// Where the task is now.
    pub(crate) location: TaskLocation,
    /// The other daemon did not answer: the decision was made without it.
    pub(crate) forced: bool,
}

impl Peers {
    /// Moves that have not ended for both daemons, of tasks with higher IDs than `after`: about
    /// `limit` of them, by the ID of their task.
    pub(crate) async fn still_open(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<OpenMove>, Error> {
        let mut open = self.daemon.open_moves().await?;
        open.retain(|record| after.is_none_or(|after| record.task > after));
        open.sort_by_key(|record| record.task);
        let mut found: Vec<OpenMove> = Vec::new();
        for listed in open {
            // A page has all moves of its last task, so that the next page begins behind that task.
            let last = found.last().map(|open| open.record.task);
            if found.len() >= limit && last != Some(listed.task) {
                break;
            }
            // The move may have ended, and its task been removed, since the list was made.
            let (record, details, unreadable) = match self.daemon.open_move(listed.id).await {
                Ok(Some((record, details))) => (record, details, None),
                Ok(None) => continue,
                // The others are shown, and this one is shown with the reason.
                Err(error) => (listed, MoveDetails::default(), Some(error.to_string())),
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
                details,
                name,
                peer,
                since,
                why,
            });
        }
        Ok(found)
    }

    /// The move of a task that no daemon runs, because one of them does not know the outcome.
    async fn move_in_doubt(&self, id: TaskId) -> Result<(MoveRecord, MoveDetails), Error> {
        for listed in self.daemon.open_moves_of(id).await? {
            if is_in_doubt(&listed)
                && !self.daemon.is_moving(id)
                && let Some(open) = self.daemon.open_move(listed.id).await?
                && is_in_doubt(&open.0)
            {
                return Ok(open);
            }
        }
        Err(PeerError::NoOpenMove(id.0).into())
    }

    /// Decides where the task is, for an operator. The other daemon is asked once more before. If
    /// it answers, its word counts; if it does not, the decision needs `force`.
    ///
    /// # Errors
    /// If there is nothing to decide, or the other daemon does not answer and `force` is not
    /// given.
    pub(crate) async fn decide(
        self: &Arc<Self>,
        id: TaskId,
        decision: TaskLocation,
        force: bool,
    ) -> Result<DecisionOutcome, Error> {
        let (record, details) = self.move_in_doubt(id).await?;
        let why = match self.resolve_move(&record, &details).await {
            // The other daemon has answered, which has ended the move.
            Ok(Resolution::Ended) => {
                self.why_open.forget(record.id);
                let accepted = record.phase == MovePhase::Prepared && self.task_exists(id).await?;
                return Ok(DecisionOutcome {
                    location: match accepted {
                        true => TaskLocation::Here,
                        false => TaskLocation::There,
                    },
                    forced: false,
                });
            }
            Ok(Resolution::Reclaimed) => {
                self.why_open.forget(record.id);
                return Ok(DecisionOutcome {
                    location: TaskLocation::Here,
                    forced: false,
                });
            }
            Ok(Resolution::StillOpen) => {
                let why = self.why_open.of(record.id);
                // Without a reason, the other daemon is reachable and has not decided yet.
                why.ok_or(PeerError::UnderWay(id.0))?
            }
            Err(error) => error.to_string(),
        };
        if !force {
            return Err(PeerError::Unresolved {
                task: id.0,
                daemon: details.daemon,
                address: details.address,
                why,
                risk: risk(&record, decision),
            }
            .into());
        }
        log::warn!(
            "task {id}: decided without daemon {} at {} ({why}): {}",
            details.daemon,
            details.address,
            match decision {
                TaskLocation::Here => "the task is here",
                TaskLocation::There => "the task is that daemon's",
            }
        );
        self.daemon.decide(&record, decision).await?;
        self.why_open.forget(record.id);
        self.moves_to_resolve.notify_one();
        Ok(DecisionOutcome {
            location: decision,
            forced: true,
        })
    }

    /// Whether the store has the task, in whatever state.
    async fn task_exists(&self, id: TaskId) -> Result<bool, Error> {
        match self.daemon.task(id).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Task => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether no daemon runs the task of a move: this one does not know the outcome, or cannot be sure
/// that the target does.
pub(crate) fn is_in_doubt(record: &MoveRecord) -> bool {
    matches!(record.phase, MovePhase::Prepared | MovePhase::Committed)
}

/// What a wrong decision may lead to.
fn risk(record: &MoveRecord, decision: TaskLocation) -> &'static str {
    match (record.phase == MovePhase::Prepared, decision) {
        (true, TaskLocation::Here) => {
            "if that daemon has the task still and cannot reach this one when it comes back, both run it until they have \
             spoken"
        }
        (false, TaskLocation::Here) => {
            "if that daemon has taken the task, both run it until they have spoken"
        }
        (_, TaskLocation::There) => "if that daemon does not have the task, it is lost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Daemon;
    use crate::model::{Digest, MoveId, TaskState};
    use crate::options::Options;
    use crate::store::{Change, MoveChange, RecordChange};
    use crate::stored::encoding::to_bytes;
    use crate::tests::stores::{paused, store_after};

    fn open_move(task: TaskId, number: u8) -> Change {
        Change::Move(MoveChange {
            change: None,
            output: Vec::new(),
            clear_output: false,
            record: RecordChange::Put(MoveRecord {
                id: MoveId([number; 16]),
                task,
                phase: MovePhase::Committed,
                peer: Digest::of(b"an unknown peer"),
                details: to_bytes(&MoveDetails::default()).expect("it is encoded"),
            }),
        })
    }

    /// A request for the open moves read and sent all of them, however many.
    #[tokio::test]
    async fn open_moves_come_in_pages() {
        let ids = [1, 2, 3].map(TaskId);
        let mut changes: Vec<Change> = ids.map(paused).into();
        let moves = [(3, 1), (2, 2), (1, 3), (2, 4)];
        changes.extend(moves.map(|(task, number)| open_move(TaskId(task), number)));
        let (store, folder) = store_after(changes);
        let daemon = Daemon::start(Arc::new(store), Options::default()).expect("it starts");
        let peers = Peers::open(folder.path(), daemon.clone()).expect("they are read");
        let page = async |after: Option<u64>| {
            let page = peers.still_open(after.map(TaskId), 2).await;
            let tasks = page.expect("the store is read").into_iter();
            tasks.map(|open| open.record.task.0).collect::<Vec<u64>>()
        };
        // Task 2 has two moves, which are not torn apart.
        assert_eq!(page(None).await, [1, 2, 2]);
        assert_eq!(page(Some(2)).await, [3]);
        assert_eq!(page(Some(3)).await, Vec::<u64>::new());
        let state = daemon.task(TaskId(1)).await.expect("it is there").state;
        assert_eq!(state, TaskState::Paused);
        daemon.close().await;
    }
}
