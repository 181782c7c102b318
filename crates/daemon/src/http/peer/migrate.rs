//! Moves a task to another daemon: `scheduler/moving` says what each step means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{COMPILES, Link, PATIENCE};
use super::message::{Answer, Request};
use super::{PeerError, Peers};
use crate::model::error::Error;
use crate::model::{Digest, TaskId, TransferId};
use crate::{Blob, Inquiry, Note};

/// What is asked of a move.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    /// Directories of the other side's for names of the guest's.
    pub(super) dirs: Vec<(String, String)>,
    /// A guest that computes is waited for so long.
    pub(super) patience: Duration,
}

/// What became of a move.
#[derive(Clone, Debug)]
pub(super) struct Migrated {
    /// The other daemon.
    pub(super) daemon: String,
    /// Where it is.
    pub(super) address: String,
    /// The task's number there.
    pub(super) task: u64,
    /// Bytes that went over the link, in both directions, without TLS's own.
    pub(super) bytes: u64,
    /// From the beginning until the other side had it.
    pub(super) took: Duration,
    /// For so long it stood still.
    pub(super) stopped: Duration,
    /// The other side has confirmed it.
    pub(super) confirmed: bool,
}

impl Peers {
    /// Moves a task over a link.
    pub(super) async fn migrate(
        self: &Arc<Self>,
        link: &mut Link,
        id: TaskId,
        wishes: &Wishes,
    ) -> Result<Migrated, Error> {
        if !self.daemon.begin_move(id) {
            return Err(PeerError::UnderWay(id.0).into());
        }
        let moved = self.moved(link, id, wishes).await;
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
        wishes: &Wishes,
    ) -> Result<Migrated, Error> {
        let (started, before) = (Instant::now(), link.bytes);
        let daemon = &self.daemon;
        let inquiry = daemon.inquire(id, &wishes.dirs).await?;
        let base = self.prepare(link, id, &inquiry).await?;
        let note = Note {
            daemon: link.theirs.daemon.clone(),
            address: link.address.clone(),
            ..Note::default()
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| PeerError::Request(format!("no random numbers: {error}")))?;
        let transfer = TransferId(random);
        let peer = link.fingerprint;
        let patience = wishes.patience;
        daemon.give(id, transfer, peer, note, patience).await?;
        let stopped = Instant::now();
        let (theirs, carried) = match self.offered(link, id, transfer, &inquiry, base).await {
            Ok(held) => held,
            Err(error) => {
                // Whatever the other side has heard of it: before `given` only we decide.
                daemon.keep(transfer).await?;
                return Err(error);
            }
        };
        // Who gives a task up closes what it has.
        let streams = match carried {
            true => daemon.take_streams(id),
            false => Vec::new(),
        };
        let mine = streams.iter().map(|held| (held.key, held.socket.clone()));
        let mine = mine.collect();
        if let Err(error) = daemon.given(transfer, theirs).await {
            daemon.put_streams(id, streams);
            return Err(error);
        }
        drop(streams);
        let taken = self.confirmed(link, transfer).await;
        self.carry_away(link.address.clone(), peer, transfer, mine);
        let (took, stopped) = (started.elapsed(), stopped.elapsed());
        if let Err(error) = &taken {
            log::warn!(
                "task {id} is daemon {}'s, which has not confirmed it yet: {error}",
                link.theirs.daemon
            );
        } else if let Err(error) = link.ask(&Request::Settled(transfer), &[], PATIENCE).await {
            // It remembers something that nobody will ask for.
            log::debug!("{error}");
        }
        Ok(Migrated {
            daemon: link.theirs.daemon.clone(),
            address: link.address.clone(),
            task: theirs,
            bytes: link.bytes - before,
            took,
            stopped,
            confirmed: taken.is_ok(),
        })
    }

    /// Asks whether the task may come, and sends what the other side lacks, while the task goes on. Gives a base
    /// that is there then.
    async fn prepare(
        &self,
        link: &mut Link,
        id: TaskId,
        inquiry: &Inquiry,
    ) -> Result<Option<Digest>, Error> {
        let request = Request::Inquire(inquiry.clone());
        // The other side may compile what it has for another engine.
        let considered = match link.ask(&request, &[], COMPILES).await? {
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
        // The module first: a base says nothing without it.
        let mut lacks = considered.lacks;
        lacks.sort_by_key(|digest| *digest != inquiry.module);
        let engine = self.daemon.task(id).await?.spec.engine;
        for digest in lacks {
            let kind = match digest == inquiry.module {
                true => Blob::Module,
                false => Blob::Base,
            };
            self.put(link, kind, digest, engine.clone()).await?;
        }
        if inquiry.base.is_some() {
            return Ok(inquiry.base);
        }
        let base = self.daemon.written_down(id).await?;
        if let Some(base) = base {
            self.put_lacking(link, base).await?;
        }
        Ok(base)
    }

    /// Sends a base, if the other side does not have it.
    async fn put_lacking(&self, link: &mut Link, base: Digest) -> Result<(), Error> {
        match link.ask(&Request::Has(base), &[], PATIENCE).await? {
            Answer::Has(true) => Ok(()),
            Answer::Has(false) => self.put(link, Blob::Base, base, None).await,
            answer => Err(link.unexpected(answer).into()),
        }
    }

    async fn put(
        &self,
        link: &mut Link,
        kind: Blob,
        digest: Digest,
        engine: Option<String>,
    ) -> Result<(), Error> {
        let bytes = self.daemon.blob(digest).await?;
        let request = Request::Put {
            kind,
            digest,
            engine,
        };
        match link.ask(&request, &bytes, COMPILES).await? {
            Answer::Done => Ok(()),
            answer => Err(link.unexpected(answer).into()),
        }
    }

    /// Offers the task, which stands still; gives its number there once the other side holds it durably, and
    /// whether that waits for connections.
    async fn offered(
        &self,
        link: &mut Link,
        id: TaskId,
        transfer: TransferId,
        inquiry: &Inquiry,
        known: Option<Digest>,
    ) -> Result<(u64, bool), Error> {
        let offer = self.daemon.offer(transfer, inquiry.spec.clone()).await?;
        let base = offer.snapshot.as_ref().and_then(|snapshot| snapshot.base);
        // It may have another base since it was asked about.
        if let Some(base) = base.filter(|base| Some(*base) != known) {
            self.put_lacking(link, base).await?;
        }
        let body = rmp_serde::to_vec_named(&offer)
            .map_err(|error| PeerError::Request(format!("cannot write the offer: {error}")))?;
        match link.ask(&Request::Offer, &body, PATIENCE).await? {
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

    /// Tells the other side that the task is its own.
    pub(super) async fn confirmed(
        &self,
        link: &mut Link,
        transfer: TransferId,
    ) -> Result<(), Error> {
        match link.ask(&Request::Take(transfer), &[], PATIENCE).await? {
            Answer::Taken(_) => self.daemon.done(transfer).await,
            Answer::Unknown => {
                log::error!(
                    "daemon {} has lost what it held by move {transfer}; the task goes on here",
                    link.theirs.daemon
                );
                self.daemon.reclaim(transfer).await?;
                let why = "has lost the task, which goes on here".into();
                let address = link.address.clone();
                Err(PeerError::Incompatible { address, why }.into())
            }
            answer => Err(link.unexpected(answer).into()),
        }
    }
}
