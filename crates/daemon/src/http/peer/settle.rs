//! Moves that a crash or a cut network has left open: both sides ask until each knows how they have ended.
//!
//! ```text
//!   Giving     nobody drives it: it stays here        -> Returned
//!   Returned   tells the other side to drop it        -> (nothing), or set aside if that has taken it
//!   Given      tells the other side to take it        -> (nothing), or back here if that has lost it
//!   Held       asks the other side: given?            -> Taken, or (nothing), or asks again
//! ```
//!
//! An operator of the other side may have decided meanwhile that the task is that side's. So a daemon that finds
//! *Giving* when it starts tells the other side to drop the task before it goes on with it, once, and believes it if that
//! says that it has taken it.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::link::{Link, PATIENCE};
use super::message::{Answer, Request, STANDS};
use super::{PeerError, Peers};
use crate::model::error::Error;
use crate::store::{Transfer, TransferStep};
use crate::{Note, Standing};

/// What failed is tried again after so long, and after twice as long then, up to a limit.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// A move that has just begun is no business of this.
const YOUNG: Duration = Duration::from_millis(50);

/// Runs until the daemon has gone.
pub(super) async fn run(peers: Weak<Peers>) {
    let mut pause = FIRST;
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
                pause = FIRST;
                // The daemon may go while nothing is to do.
                let _ = tokio::time::timeout(Duration::from_secs(5), woken).await;
                tokio::time::sleep(YOUNG).await;
            }
            _ => {
                let _ = tokio::time::timeout(pause, woken).await;
                pause = (pause * 2).min(LONGEST);
            }
        }
    }
}

impl Peers {
    /// Tries to end all open moves; gives how many are left.
    async fn settle(self: &Arc<Self>, starting: bool) -> Result<usize, Error> {
        let mut left = 0;
        // A daemon that does not answer is not asked for each of its moves.
        let mut silent = HashSet::new();
        for listed in self.daemon.open_moves().await? {
            if self.daemon.is_moving(listed.task) && listed.step != TransferStep::Held {
                continue;
            }
            // Whoever moved it may have come further since the list was made. From here on nobody does.
            let (mut transfer, note) = match self.daemon.open_move(listed.id).await {
                Ok(Some(open)) => open,
                Ok(None) => continue,
                Err(error) => {
                    left += self.left_open(&listed, &error);
                    continue;
                }
            };
            if transfer.step == TransferStep::Giving {
                if starting && !silent.contains(&note.address) {
                    match self.taken_there(&transfer, &note).await {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(error) => {
                            log::debug!("move {} of task {}: {error}", transfer.id, transfer.task);
                            silent.insert(note.address.clone());
                        }
                    }
                }
                log::info!("task {} stays here: its move was cut short", transfer.task);
                if let Err(error) = self.daemon.keep(transfer.id).await {
                    left += self.left_open(&transfer, &error);
                    continue;
                }
                transfer.step = TransferStep::Returned;
            }
            if note.address.is_empty() || silent.contains(&note.address) {
                left += 1;
                continue;
            }
            match self.settle_one(&transfer, &note).await {
                Ok(true) => self.untold(transfer.id),
                Ok(false) => left += 1,
                Err(error) => {
                    left += self.left_open(&transfer, &error);
                    silent.insert(note.address);
                }
            }
        }
        Ok(left)
    }

    /// A move stays open, and says why; the others are looked at all the same. Gives how many are left by that.
    fn left_open(&self, transfer: &Transfer, error: &Error) -> usize {
        log::debug!("move {} of task {}: {error}", transfer.id, transfer.task);
        self.trouble(transfer.id, error.to_string());
        1
    }

    /// Tells the other side to drop a task, before it goes on here. Where that says that it has taken the task, it is
    /// that side's.
    async fn taken_there(
        self: &Arc<Self>,
        transfer: &Transfer,
        note: &Note,
    ) -> Result<bool, Error> {
        let id = transfer.id;
        if note.address.is_empty() || self.trust.of(&transfer.peer).is_none() {
            return Ok(false);
        }
        let mut link = Link::open(self, &note.address, Some(transfer.peer)).await?;
        let Answer::Taken(theirs) = link.ask(&Request::Drop(id), &[], PATIENCE).await? else {
            return Ok(false);
        };
        log::warn!(
            "task {} was on its way to daemon {}, which has gone on with it as its task {theirs}: it is that one's",
            transfer.task,
            note.daemon
        );
        self.daemon.given(id, theirs).await?;
        self.daemon.done(id).await?;
        link.ask(&Request::Settled(id), &[], PATIENCE).await?;
        Ok(true)
    }

    /// Whether a move is over for both sides.
    pub(super) async fn settle_one(
        self: &Arc<Self>,
        transfer: &Transfer,
        note: &Note,
    ) -> Result<bool, Error> {
        let id = transfer.id;
        if self.trust.of(&transfer.peer).is_none() {
            // Nobody will ever answer. What is ours stays so; what is not is not made so.
            if transfer.step == TransferStep::Returned {
                self.daemon.forget_move(id).await?;
                return Ok(true);
            }
            return Err(PeerError::NoPeer(transfer.peer.to_string()).into());
        }
        let mut link = Link::open(self, &note.address, Some(transfer.peer)).await?;
        match transfer.step {
            TransferStep::Returned => match link.ask(&Request::Drop(id), &[], PATIENCE).await? {
                Answer::Done => self.daemon.forget_move(id).await?,
                Answer::Taken(theirs) => {
                    let why = format!(
                        "daemon {} at {} has this task too, as its task {theirs}, and goes on with it: it was decided \
                         where it is while the two daemons did not reach each other; `dormouse resume {}` lets this \
                         one go on as well",
                        note.daemon, note.address, transfer.task
                    );
                    log::error!("task {} is there twice: {why}", transfer.task);
                    self.daemon.fork(transfer, why).await?;
                    link.ask(&Request::Settled(id), &[], PATIENCE).await?;
                }
                answer => return Err(link.unexpected(answer).into()),
            },
            TransferStep::Given => {
                self.confirmed(&mut link, id).await?;
                link.ask(&Request::Settled(id), &[], PATIENCE).await?;
            }
            TransferStep::Held => match self.standing(&mut link, transfer).await? {
                Answer::Standing(Standing::Given) => {
                    self.daemon.take(id, transfer.peer).await?;
                }
                Answer::Standing(Standing::Kept) => {
                    self.daemon.let_go(id, transfer.peer).await?;
                }
                Answer::Standing(Standing::Giving) => {
                    self.untold(id);
                    return Ok(false);
                }
                Answer::Standing(Standing::Unknown) => {
                    let why = format!(
                        "daemon {} at {} knows nothing of the task: it has lost what it knew",
                        link.theirs.daemon, note.address
                    );
                    self.trouble(id, why);
                    return Ok(false);
                }
                answer => return Err(link.unexpected(answer).into()),
            },
            TransferStep::Giving | TransferStep::Taken => {}
        }
        Ok(true)
    }

    /// Asks how a move stands by which we hold a task.
    async fn standing(&self, link: &mut Link, held: &Transfer) -> Result<Answer, Error> {
        let request = match link.theirs.versions.1 >= STANDS {
            true => Request::Stands(self.daemon.claim(held).await?),
            false => Request::Standing(held.id),
        };
        Ok(link.ask(&request, &[], PATIENCE).await?)
    }
}
