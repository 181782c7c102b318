//! Moves a task to another daemon. What each step means for the store stands in `moving`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::error::Error;
use crate::model::{Digest, MoveId, TaskId};
use crate::moving::note::MoveNote;
use crate::moving::offer::MoveInquiry;
use crate::moving::target::BlobKind;
use crate::peers::client::{ANSWER_TIMEOUT, COMPILE_TIMEOUT, Link};
use crate::peers::error::PeerError;
use crate::peers::message::{Answer, Request};
use crate::peers::network::Peers;
use crate::store::MovePhase;
use crate::task::EngineKind;

/// The options of a move.
#[derive(Clone, Debug)]
pub(crate) struct MoveOptions {
    /// Directories of the target for names of the guest.
    pub(crate) dirs: Vec<(String, String)>,
    /// How long to wait for a guest that computes.
    pub(crate) patience: Duration,
}

/// A task that was moved.
#[derive(Clone, Debug)]
pub(crate) struct MovedTask {
    /// The name of the target.
    pub(crate) daemon: String,
    /// The target's address.
    pub(crate) address: String,
    /// The task's number there.
    pub(crate) task: u64,
    /// Bytes that went over the link, in both directions, without TLS's own.
    pub(crate) bytes: u64,
    /// From the beginning until the target had the task.
    pub(crate) took: Duration,
    /// How long the task stood still.
    pub(crate) stopped: Duration,
    /// The target has confirmed that the task is its own.
    pub(crate) confirmed: bool,
}

impl Peers {
    /// Moves a task over a link.
    pub(crate) async fn move_task(
        self: &Arc<Self>,
        link: &mut Link,
        id: TaskId,
        options: &MoveOptions,
    ) -> Result<MovedTask, Error> {
        if !self.daemon.begin_move(id) {
            return Err(PeerError::UnderWay(id.0).into());
        }
        let moved = self.moved(link, id, options).await;
        self.daemon.end_move(id);
        if !matches!(&moved, Ok(moved) if moved.confirmed) {
            self.unsettled.notify_one();
        }
        moved
    }

    async fn moved(
        self: &Arc<Self>,
        link: &mut Link,
        id: TaskId,
        options: &MoveOptions,
    ) -> Result<MovedTask, Error> {
        let (started, before) = (Instant::now(), link.bytes);
        let daemon = &self.daemon;
        self.drop_returned(link, id).await?;
        let inquiry = daemon.inquire(id, &options.dirs).await?;
        let base = self.prepare(link, id, &inquiry).await?;
        let note = MoveNote {
            daemon: link.theirs.daemon.clone(),
            address: link.address.clone(),
            ..MoveNote::default()
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| PeerError::Request(format!("no random numbers: {error}")))?;
        let move_id = MoveId(random);
        let peer = link.fingerprint;
        let patience = options.patience;
        daemon
            .stop_for_move(id, move_id, peer, note, patience)
            .await?;
        let stopped = Instant::now();
        let (theirs, carried) = match self.offered(link, id, move_id, &inquiry, base).await {
            Ok(held) => held,
            Err(error) => {
                // Whatever the target has received: before the phase `Given` the source alone
                // decides.
                daemon.return_move(move_id).await?;
                return Err(error);
            }
        };
        // To give the task away closes the connections that are kept, so that they are taken
        // before.
        let streams = match carried {
            true => daemon.take_streams(id),
            false => Vec::new(),
        };
        let mine = streams.iter().map(|held| (held.key, held.socket.clone()));
        let mine = mine.collect();
        if let Err(error) = daemon.give_away(move_id, theirs).await {
            daemon.put_streams(id, streams);
            return Err(error);
        }
        drop(streams);
        let taken = self.confirmed(link, move_id).await;
        self.carry_away(link.address.clone(), peer, move_id, mine);
        let (took, stopped) = (started.elapsed(), stopped.elapsed());
        if let Err(error) = &taken {
            log::warn!(
                "task {id} is daemon {}'s, which has not confirmed it yet: {error}",
                link.theirs.daemon
            );
        } else if let Err(error) = link
            .ask(&Request::Settled(move_id), &[], ANSWER_TIMEOUT)
            .await
        {
            // The target then remembers the move for longer than needed, which does no harm.
            log::debug!("{error}");
        }
        Ok(MovedTask {
            daemon: link.theirs.daemon.clone(),
            address: link.address.clone(),
            task: theirs,
            bytes: link.bytes - before,
            took,
            stopped,
            confirmed: taken.is_ok(),
        })
    }

    /// Ends the moves of the task to this target that were cut short. Until then the target holds
    /// the task under its name, and would refuse the same name.
    async fn drop_returned(&self, link: &mut Link, id: TaskId) -> Result<(), Error> {
        for listed in self.daemon.open_moves_of(id).await? {
            if listed.peer == link.fingerprint
                && let Some((record, note)) = self.daemon.open_move(listed.id).await?
                && record.phase == MovePhase::Returned
                && self.settle_over(link, &record, &note).await?
            {
                self.why_open.forget(record.id);
            }
        }
        Ok(())
    }

    /// Asks whether the task may come, and sends what the target lacks, while the task goes on.
    /// Returns a base that the target has then.
    async fn prepare(
        &self,
        link: &mut Link,
        id: TaskId,
        inquiry: &MoveInquiry,
    ) -> Result<Option<Digest>, Error> {
        let request = Request::Inquire(inquiry.clone());
        // The target may compile a module that it has for another engine.
        let considered = match link.ask(&request, &[], COMPILE_TIMEOUT).await? {
            Answer::Considered(considered) => considered,
            answer => return Err(link.unexpected(answer).into()),
        };
        if !considered.refused.is_empty() {
            return Err(PeerError::Refused {
                address: link.address.clone(),
                task: id.0,
                reasons: considered.refused,
            }
            .into());
        }
        // The module comes first: without it, a base cannot be checked.
        let mut lacks = considered.lacks;
        lacks.sort_by_key(|digest| *digest != inquiry.module);
        let engine = self.daemon.task(id).await?.spec.engine;
        for digest in lacks {
            let kind = match digest == inquiry.module {
                true => BlobKind::Module,
                false => BlobKind::Base,
            };
            self.put(link, kind, digest, engine).await?;
        }
        if inquiry.base.is_some() {
            return Ok(inquiry.base);
        }
        let base = self.daemon.checkpoint_for_move(id).await?;
        if let Some(base) = base {
            self.put_lacking(link, base).await?;
        }
        Ok(base)
    }

    /// Sends a base, if the target does not have it.
    async fn put_lacking(&self, link: &mut Link, base: Digest) -> Result<(), Error> {
        match link.ask(&Request::Has(base), &[], ANSWER_TIMEOUT).await? {
            Answer::Has(true) => Ok(()),
            Answer::Has(false) => self.put(link, BlobKind::Base, base, None).await,
            answer => Err(link.unexpected(answer).into()),
        }
    }

    async fn put(
        &self,
        link: &mut Link,
        kind: BlobKind,
        digest: Digest,
        engine: Option<EngineKind>,
    ) -> Result<(), Error> {
        let bytes = self.daemon.blob(digest).await?;
        let request = Request::Put {
            kind,
            digest,
            engine,
        };
        match link.ask(&request, &bytes, COMPILE_TIMEOUT).await? {
            Answer::Done => Ok(()),
            answer => Err(link.unexpected(answer).into()),
        }
    }

    /// Offers the task, which stands still. Returns its number there once the target holds it
    /// durably, and whether the target waits for connections.
    async fn offered(
        &self,
        link: &mut Link,
        id: TaskId,
        move_id: MoveId,
        inquiry: &MoveInquiry,
        known: Option<Digest>,
    ) -> Result<(u64, bool), Error> {
        let offer = self.daemon.offer(move_id, inquiry.spec.clone()).await?;
        let base = offer.snapshot.as_ref().and_then(|snapshot| snapshot.base);
        // The task may have another base than in the inquiry.
        if let Some(base) = base.filter(|base| Some(*base) != known) {
            self.put_lacking(link, base).await?;
        }
        let body = rmp_serde::to_vec_named(&offer)
            .map_err(|error| PeerError::Request(format!("cannot write the offer: {error}")))?;
        match link.ask(&Request::Offer, &body, ANSWER_TIMEOUT).await? {
            Answer::Held(theirs) => Ok((theirs, !offer.streams.is_empty())),
            Answer::Refused(why) => Err(PeerError::Refused {
                address: link.address.clone(),
                task: id.0,
                reasons: vec![why],
            }
            .into()),
            answer => Err(link.unexpected(answer).into()),
        }
    }

    /// Tells the target that the task is its own.
    pub(crate) async fn confirmed(&self, link: &mut Link, move_id: MoveId) -> Result<(), Error> {
        match link
            .ask(&Request::Take(move_id), &[], ANSWER_TIMEOUT)
            .await?
        {
            Answer::Taken(_) => self.daemon.confirm_given(move_id).await,
            Answer::Unknown => {
                log::error!(
                    "daemon {} has lost what it held by move {move_id}; the task goes on here",
                    link.theirs.daemon
                );
                self.daemon.reclaim_move(move_id).await?;
                let why = "has lost the task, which goes on here".into();
                let address = link.address.clone();
                Err(PeerError::Incompatible { address, why }.into())
            }
            answer => Err(link.unexpected(answer).into()),
        }
    }
}
