//! Ends moves that a crash or a cut network has left open: both daemons ask until each knows how a
//! move has ended.
//!
//! ```text
//!   Giving     nobody drives it: it stays here        -> Returned
//!   Returned   tells the other side to drop it        -> (nothing), or set aside if that has taken it
//!   Given      tells the other side to take it        -> (nothing), or back here if that has lost it
//!   Held       asks the other side: given?            -> Taken, or (nothing), or asks again
//! ```
//!
//! An operator of the target may have decided meanwhile that the task is the target's. So a source
//! that finds *Giving* when it starts tells the target once to drop the task, before it goes on
//! with it. If the target answers that it has taken the task, the task is the target's.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::model::error::Error;
use crate::moving::decision::MoveState;
use crate::moving::note::MoveNote;
use crate::peers::client::{ANSWER_TIMEOUT, Link};
use crate::peers::error::PeerError;
use crate::peers::message::{Answer, Request};
use crate::peers::network::Peers;
use crate::store::{MovePhase, MoveRecord};

/// How long after a failure open moves are tried again: the first pause, and the longest. Each
/// pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A move that has just begun is left alone for so long.
const YOUNG_MOVE: Duration = Duration::from_millis(50);

/// Runs until the daemon has been dropped.
pub(super) async fn run(peers: Weak<Peers>) {
    let mut pause = FIRST_PAUSE;
    let mut starting = true;
    loop {
        let Some(peers) = peers.upgrade() else { return };
        let settled = peers.settle(std::mem::take(&mut starting)).await;
        let left = match settled {
            Ok(left) => left,
            Err(error) => {
                log::warn!("cannot look at moves that are open: {error}");
                1
            }
        };
        let woken = peers.unsettled.notified();
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
    async fn settle(self: &Arc<Self>, starting: bool) -> Result<usize, Error> {
        let mut left = 0;
        // A daemon that does not answer is asked only once, not for each of its moves.
        let mut silent = HashSet::new();
        for listed in self.daemon.open_moves().await? {
            if self.daemon.is_moving(listed.task) && listed.phase != MovePhase::Held {
                continue;
            }
            // The move may have come further since the list was made. From here on nobody else
            // drives it.
            let (mut record, note) = match self.daemon.open_move(listed.id).await {
                Ok(Some(open)) => open,
                Ok(None) => continue,
                Err(error) => {
                    left += self.left_open(&listed, &error);
                    continue;
                }
            };
            if record.phase == MovePhase::Giving {
                if starting && !silent.contains(&note.address) {
                    match self.taken_there(&record, &note).await {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(error) => {
                            log::debug!("move {} of task {}: {error}", record.id, record.task);
                            silent.insert(note.address.clone());
                        }
                    }
                }
                log::info!("task {} stays here: its move was cut short", record.task);
                if let Err(error) = self.daemon.return_move(record.id).await {
                    left += self.left_open(&record, &error);
                    continue;
                }
                record.phase = MovePhase::Returned;
            }
            if note.address.is_empty() || silent.contains(&note.address) {
                left += 1;
                continue;
            }
            match self.settle_one(&record, &note).await {
                Ok(true) => self.why_open.forget(record.id),
                Ok(false) => left += 1,
                Err(error) => {
                    left += self.left_open(&record, &error);
                    silent.insert(note.address);
                }
            }
        }
        Ok(left)
    }

    /// Notes why a move stays open, so that the others are looked at all the same. Returns how many
    /// moves are left by that.
    fn left_open(&self, record: &MoveRecord, error: &Error) -> usize {
        log::debug!("move {} of task {}: {error}", record.id, record.task);
        self.why_open.note(record.id, error.to_string());
        1
    }

    /// Tells the target to drop a task, before the task goes on here. Where the target has taken
    /// the task, it is the target's.
    async fn taken_there(
        self: &Arc<Self>,
        record: &MoveRecord,
        note: &MoveNote,
    ) -> Result<bool, Error> {
        let id = record.id;
        if note.address.is_empty() || self.trust.of(&record.peer).is_none() {
            return Ok(false);
        }
        let mut link = Link::open(self, &note.address, Some(record.peer)).await?;
        let Answer::Taken(theirs) = link.ask(&Request::Drop(id), &[], ANSWER_TIMEOUT).await? else {
            return Ok(false);
        };
        log::warn!(
            "task {} was on its way to daemon {}, which has gone on with it as its task {theirs}: it is that one's",
            record.task,
            note.daemon
        );
        self.daemon.give_away(id, theirs).await?;
        self.daemon.confirm_given(id).await?;
        link.ask(&Request::Settled(id), &[], ANSWER_TIMEOUT).await?;
        Ok(true)
    }

    /// Tries to end a move; returns whether it is over for both daemons.
    pub(super) async fn settle_one(
        self: &Arc<Self>,
        record: &MoveRecord,
        note: &MoveNote,
    ) -> Result<bool, Error> {
        let id = record.id;
        if self.trust.of(&record.peer).is_none() {
            // The other daemon is not known any longer and cannot be asked. A task that is ours
            // stays ours; any other is left undecided.
            if record.phase == MovePhase::Returned {
                self.daemon.forget_move(id).await?;
                return Ok(true);
            }
            return Err(PeerError::NoPeer(record.peer.to_string()).into());
        }
        let mut link = Link::open(self, &note.address, Some(record.peer)).await?;
        self.settle_over(&mut link, record, note).await
    }

    /// The same over a link to the other daemon.
    pub(super) async fn settle_over(
        &self,
        link: &mut Link,
        record: &MoveRecord,
        note: &MoveNote,
    ) -> Result<bool, Error> {
        let id = record.id;
        match record.phase {
            MovePhase::Returned => match link.ask(&Request::Drop(id), &[], ANSWER_TIMEOUT).await? {
                Answer::Done => self.daemon.forget_move(id).await?,
                Answer::Taken(theirs) => {
                    let why = format!(
                        "daemon {} at {} has this task too, as its task {theirs}, and goes on with it: it was decided \
                         where it is while the two daemons did not reach each other; `dormouse resume {}` lets this \
                         one go on as well",
                        note.daemon, note.address, record.task
                    );
                    log::error!("task {} is there twice: {why}", record.task);
                    self.daemon.fork(record, why).await?;
                    link.ask(&Request::Settled(id), &[], ANSWER_TIMEOUT).await?;
                }
                answer => return Err(link.unexpected(answer).into()),
            },
            MovePhase::Given => {
                self.confirmed(link, id).await?;
                link.ask(&Request::Settled(id), &[], ANSWER_TIMEOUT).await?;
            }
            MovePhase::Held => match self.standing(link, record).await? {
                Answer::MoveState(MoveState::Given) => {
                    self.daemon.take_held(id, record.peer).await?;
                }
                Answer::MoveState(MoveState::Kept) => {
                    self.daemon.drop_held(id, record.peer).await?;
                }
                Answer::MoveState(MoveState::Giving) => {
                    self.why_open.forget(id);
                    return Ok(false);
                }
                Answer::MoveState(MoveState::Unknown) => {
                    let why = format!(
                        "daemon {} at {} knows nothing of the task: it has lost what it knew",
                        link.theirs.daemon, note.address
                    );
                    self.why_open.note(id, why);
                    return Ok(false);
                }
                answer => return Err(link.unexpected(answer).into()),
            },
            MovePhase::Giving | MovePhase::Taken => {}
        }
        Ok(true)
    }

    /// Asks the source how the move stands by which this daemon holds a task.
    async fn standing(&self, link: &mut Link, held: &MoveRecord) -> Result<Answer, Error> {
        let request = Request::MoveState(self.daemon.move_question(held).await?);
        Ok(link.ask(&request, &[], ANSWER_TIMEOUT).await?)
    }
}
