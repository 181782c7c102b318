//! Resolves moves that a crash or a cut network has left open: both daemons ask until each knows
//! the outcome of a move.
//!
//! ```text
//!   phase      what the daemon does                         what its record becomes
//!   Preparing  nobody drives the move any more: aborts it   Aborted
//!   Aborted    tells the target to discard the task         deleted; if the target has accepted the
//!                                                           task, ours is paused
//!   Committed  tells the target to accept the task          deleted; if the target has lost the
//!                                                           task, it is ours again
//!   Prepared   asks the source for the state of the move    Accepted, or deleted; or it asks again
//! ```
//!
//! An operator of the target may have decided meanwhile that the task is the target's. So a source
//! that finds a move in the phase Preparing when it starts tells the target once to discard the
//! task, before the task continues here. If the target answers that it has accepted the task, the
//! task is the target's.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::model::MoveId;
use crate::model::error::Error;
use crate::moving::decision::MoveState;
use crate::peers::client::{ANSWER_TIMEOUT, Link};
use crate::peers::error::PeerError;
use crate::peers::message::{Answer, Request};
use crate::peers::network::Peers;
use crate::store::{MovePhase, MoveRecord};
use crate::stored::move_details::MoveDetails;

/// How long after a failure open moves are tried again: the first pause, and the longest. Each
/// pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A move is left alone for this long after it has begun.
const YOUNG_MOVE: Duration = Duration::from_millis(50);

/// What an attempt to resolve a move has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// Both daemons know the outcome.
    Ended,
    /// The target had lost the task, which is ours again.
    Reclaimed,
    /// The source has not decided yet, or has lost what it knew.
    StillOpen,
}

/// Runs until the daemon has been dropped.
pub(super) async fn run(peers: Weak<Peers>) {
    let mut pause = FIRST_PAUSE;
    let mut starting = true;
    loop {
        let Some(peers) = peers.upgrade() else { return };
        let resolved = peers.resolve_moves(std::mem::take(&mut starting)).await;
        let left = match resolved {
            Ok(left) => left,
            Err(error) => {
                log::warn!("cannot read the open moves: {error}");
                1
            }
        };
        let woken = peers.moves_to_resolve.notified();
        tokio::pin!(woken);
        match left {
            0 => {
                pause = FIRST_PAUSE;
                // The wait has an end, because the daemon may be dropped while there is nothing to
                // do.
                let _ = tokio::time::timeout(Duration::from_secs(5), woken).await;
                tokio::time::sleep(YOUNG_MOVE).await;
            }
            _ => {
                let _ = tokio::time::timeout(pause, woken).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

impl Peers {
    /// Tries to end all open moves; returns how many are left.
    async fn resolve_moves(self: &Arc<Self>, starting: bool) -> Result<usize, Error> {
        let mut left = 0;
        // Peers with which something failed in this pass: their other moves wait for the next one.
        let mut failed_peers = HashSet::new();
        for listed in self.daemon.open_moves().await? {
            if self.daemon.is_moving(listed.task) && listed.phase != MovePhase::Prepared {
                continue;
            }
            // Where several nodes share the store: the one that has the task drives the move.
            let other = self.daemon.other_owner(listed.task).await?;
            if other.is_some() && listed.phase != MovePhase::Aborted {
                continue;
            }
            // The move may have come further since the list was made. From here on nobody else
            // drives it.
            let (mut record, details) = match self.daemon.open_move(listed.id).await {
                Ok(Some(open)) => open,
                Ok(None) => continue,
                Err(error) => {
                    self.note_failure(&listed, &error);
                    left += 1;
                    continue;
                }
            };
            if record.phase == MovePhase::Preparing {
                if starting && !failed_peers.contains(&details.address) {
                    match self.accepted_by_target(&record, &details).await {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(error) => {
                            log::debug!("move {} of task {}: {error}", record.id, record.task);
                            failed_peers.insert(details.address.clone());
                        }
                    }
                }
                log::info!("task {} stays here: its move was cut short", record.task);
                if let Err(error) = self.daemon.abort_move(record.id).await {
                    self.note_failure(&record, &error);
                    left += 1;
                    continue;
                }
                record.phase = MovePhase::Aborted;
            }
            if details.address.is_empty() || failed_peers.contains(&details.address) {
                left += 1;
                continue;
            }
            match self.resolve_move(&record, &details).await {
                Ok(Resolution::Ended | Resolution::Reclaimed) => self.why_open.forget(record.id),
                Ok(Resolution::StillOpen) => left += 1,
                Err(error) => {
                    self.note_failure(&record, &error);
                    left += 1;
                    failed_peers.insert(details.address);
                }
            }
        }
        Ok(left)
    }

    /// Notes why a move stays open. The other moves are resolved all the same.
    fn note_failure(&self, record: &MoveRecord, error: &Error) {
        log::debug!("move {} of task {}: {error}", record.id, record.task);
        self.why_open.note(record.id, error.to_string());
    }

    /// Tells the target to discard a task, before the task continues here. Returns whether the
    /// target has accepted the task already; the task is the target's then.
    async fn accepted_by_target(
        self: &Arc<Self>,
        record: &MoveRecord,
        details: &MoveDetails,
    ) -> Result<bool, Error> {
        let id = record.id;
        if details.address.is_empty() || self.trust.of(&record.peer).is_none() {
            return Ok(false);
        }
        let mut link = Link::open(self, &details.address, Some(record.peer)).await?;
        let answer = link.ask(&Request::Abort(id), &[], ANSWER_TIMEOUT).await?;
        let Answer::Accepted(peer_task) = answer else {
            return Ok(false);
        };
        log::warn!(
            "task {} was on its way to daemon {}, which has accepted it as its task {peer_task} and runs it: the task \
             is that daemon's",
            record.task,
            details.daemon
        );
        self.daemon.commit_move(id, peer_task).await?;
        self.daemon.confirm_move(id).await?;
        self.forget_at_target(&mut link, id).await;
        Ok(true)
    }

    /// Asks the other daemon once to end this move, and stores the outcome: the record may be
    /// deleted, a prepared copy may be accepted or removed, and our task may be paused if both
    /// daemons have it.
    ///
    /// # Errors
    /// If the other daemon is not known any more, cannot be reached, or answers something else.
    pub(super) async fn resolve_move(
        self: &Arc<Self>,
        record: &MoveRecord,
        details: &MoveDetails,
    ) -> Result<Resolution, Error> {
        if self.trust.of(&record.peer).is_none() {
            // The other daemon cannot be asked. A task that is ours stays ours. Any other remains
            // in doubt until an operator decides.
            if record.phase == MovePhase::Aborted {
                self.daemon.forget_move(record.id).await?;
                return Ok(Resolution::Ended);
            }
            return Err(PeerError::NoPeer(record.peer.to_string()).into());
        }
        let mut link = Link::open(self, &details.address, Some(record.peer)).await?;
        self.resolve_over(&mut link, record, details).await
    }

    /// The same over a link to the other daemon.
    pub(super) async fn resolve_over(
        &self,
        link: &mut Link,
        record: &MoveRecord,
        details: &MoveDetails,
    ) -> Result<Resolution, Error> {
        match record.phase {
            MovePhase::Aborted => self.resolve_aborted(link, record, details).await,
            MovePhase::Committed => {
                let resolution = self.commit_at_target(link, record.id).await?;
                if resolution == Resolution::Ended {
                    self.forget_at_target(link, record.id).await;
                }
                Ok(resolution)
            }
            MovePhase::Prepared => self.resolve_prepared(link, record, details).await,
            // A source ends its move before it is resolved, and a target has nothing to ask.
            MovePhase::Preparing | MovePhase::Accepted => Ok(Resolution::StillOpen),
        }
    }

    /// Source: tells the target to discard its copy of a task that stays here.
    async fn resolve_aborted(
        &self,
        link: &mut Link,
        record: &MoveRecord,
        details: &MoveDetails,
    ) -> Result<Resolution, Error> {
        let id = record.id;
        match link.ask(&Request::Abort(id), &[], ANSWER_TIMEOUT).await? {
            Answer::Done => self.daemon.forget_move(id).await?,
            Answer::Accepted(peer_task) => {
                let why = format!(
                    "daemon {} at {} has this task too, as its task {peer_task}, and runs it: an operator decided where \
                     the task is while the two daemons did not reach each other; `dormouse resume {}` runs this one as \
                     well",
                    details.daemon, details.address, record.task
                );
                log::error!("two daemons have task {}: {why}", record.task);
                self.daemon.pause_duplicate(record, why).await?;
                self.forget_at_target(link, id).await;
            }
            answer => return Err(link.unexpected(answer).into()),
        }
        Ok(Resolution::Ended)
    }

    /// Target: asks the source for the state of the move of a prepared task.
    async fn resolve_prepared(
        &self,
        link: &mut Link,
        record: &MoveRecord,
        details: &MoveDetails,
    ) -> Result<Resolution, Error> {
        let (id, peer) = (record.id, record.peer);
        let question = Request::MoveState(self.daemon.move_question(record).await?);
        let state = match link.ask(&question, &[], ANSWER_TIMEOUT).await? {
            Answer::MoveState(state) => state,
            answer => return Err(link.unexpected(answer).into()),
        };
        match state {
            MoveState::Committed => {
                self.daemon.accept_prepared(id, peer).await?;
                Ok(Resolution::Ended)
            }
            MoveState::Aborted => {
                self.daemon.discard_prepared(id, peer).await?;
                Ok(Resolution::Ended)
            }
            MoveState::Undecided => {
                self.why_open.forget(id);
                Ok(Resolution::StillOpen)
            }
            MoveState::Unknown => {
                let why = format!(
                    "daemon {} at {} knows nothing of the task: it has lost what it knew",
                    link.theirs.daemon, details.address
                );
                self.why_open.note(id, why);
                Ok(Resolution::StillOpen)
            }
        }
    }

    /// Lets the target forget a move by which the task became its own. If that fails, the target
    /// remembers the move for longer than needed, which does no harm.
    pub(super) async fn forget_at_target(&self, link: &mut Link, id: MoveId) {
        let forgotten = link.ask(&Request::Forget(id), &[], ANSWER_TIMEOUT).await;
        if let Err(error) = forgotten {
            log::debug!("move {id} is remembered by its target: {error}");
        }
    }
}
