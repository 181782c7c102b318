//! Moves a task to another daemon. `moving` says what each step means for the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::error::Error;
use crate::model::{Digest, MoveId, TaskId};
use crate::moving::offer::MoveInquiry;
use crate::moving::target::BlobKind;
use crate::peers::client::{ANSWER_TIMEOUT, COMPILE_TIMEOUT, Link};
use crate::peers::error::PeerError;
use crate::peers::message::{Answer, Request};
use crate::peers::network::Peers;
use crate::peers::resolve::Resolution;
use crate::store::MovePhase;
use crate::stored::move_details::MoveDetails;
use crate::task::EngineKind;
use crate::telemetry::MoveTold;

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
    /// The task's ID there.
    pub(crate) task: u64,
    /// Bytes that went over the link, in both directions, without TLS's own.
    pub(crate) bytes: u64,
    /// From the beginning until the target had the task.
    pub(crate) took: Duration,
    /// How long the task was stopped.
    pub(crate) stopped: Duration,
    /// The target has confirmed that the task is its own.
    pub(crate) confirmed: bool,
}

/// The target's answer to an offer.
struct PreparedTask {
    /// The task's ID at the target.
    peer_task: u64,
    /// This daemon is to relay the task's open TCP connections.
    relays_connections: bool,
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
        let moved = self.run_move(link, id, options).await;
        if let Ok(moved) = &moved {
            let told = MoveTold {
                task: id,
                took: moved.took,
                to: (moved.daemon.clone(), moved.task),
                bytes: moved.bytes,
                stopped: moved.stopped,
                confirmed: moved.confirmed,
            };
            self.daemon.tell_move(told).await;
        }
        self.daemon.end_move(id);
        if !matches!(&moved, Ok(moved) if moved.confirmed) {
            self.moves_to_resolve.notify_one();
        }
        moved
    }

    async fn run_move(
        self: &Arc<Self>,
        link: &mut Link,
        id: TaskId,
        options: &MoveOptions,
    ) -> Result<MovedTask, Error> {
        let (started, before) = (Instant::now(), link.bytes);
        let daemon = &self.daemon;
        self.end_aborted_moves(link, id).await?;
        let inquiry = daemon.inquire(id, &options.dirs).await?;
        let base = self.send_missing_blobs(link, id, &inquiry).await?;
        let details = MoveDetails {
            daemon: link.theirs.daemon.clone(),
            address: link.address.clone(),
            ..MoveDetails::default()
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| PeerError::Request(format!("no random numbers: {error}")))?;
        let move_id = MoveId(random);
        let peer = link.fingerprint;
        let patience = options.patience;
        daemon
            .stop_for_move(id, move_id, peer, details, patience)
            .await?;
        let stopped = Instant::now();
        let offered = self.offer(link, id, move_id, &inquiry, base).await;
        let PreparedTask {
            peer_task,
            relays_connections,
        } = match offered {
            Ok(prepared) => prepared,
            Err(error) => {
                // Whatever the target has received: before the phase `Committed` the source alone
                // decides.
                daemon.abort_move(move_id).await?;
                return Err(error);
            }
        };
        // The commit closes the connections that are kept for the task, so they are taken before.
        let streams = if relays_connections {
            daemon.take_streams(id)
        } else {
            Vec::new()
        };
        let mine = streams.iter().map(|held| (held.key, held.socket.clone()));
        let mine = mine.collect();
        if let Err(error) = daemon.commit_move(move_id, peer_task).await {
            daemon.put_streams(id, streams);
            return Err(error);
        }
        drop(streams);
        let committed = self.commit_at_target(link, move_id).await;
        self.carry_away(link.address.clone(), peer, move_id, mine);
        let (took, stopped) = (started.elapsed(), stopped.elapsed());
        let confirmed = matches!(committed, Ok(Resolution::Ended));
        match committed {
            Ok(Resolution::Ended) => self.forget_at_target(link, move_id).await,
            Ok(Resolution::Reclaimed | Resolution::StillOpen) => {}
            Err(error) => log::warn!(
                "task {id} is daemon {}'s, which has not confirmed it yet: {error}",
                link.theirs.daemon
            ),
        }
        Ok(MovedTask {
            daemon: link.theirs.daemon.clone(),
            address: link.address.clone(),
            task: peer_task,
            bytes: link.bytes - before,
            took,
            stopped,
            confirmed,
        })
    }

    /// Ends the moves of the task to this target that were aborted. Until then the target has a
    /// prepared copy under the task's name, and would refuse the same name.
    async fn end_aborted_moves(&self, link: &mut Link, id: TaskId) -> Result<(), Error> {
        for listed in self.daemon.open_moves_of(id).await? {
            if listed.peer == link.fingerprint
                && let Some((record, details)) = self.daemon.open_move(listed.id).await?
                && record.phase == MovePhase::Aborted
                && self.resolve_over(link, &record, &details).await? == Resolution::Ended
            {
                self.why_open.forget(record.id);
            }
        }
        Ok(())
    }

    /// Asks whether the target would accept the task, and sends the blobs that it lacks, while the
    /// task keeps running. Returns a base snapshot that the target has afterwards.
    async fn send_missing_blobs(
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
            self.send_missing_base(link, base).await?;
        }
        Ok(base)
    }

    /// Sends a base snapshot, if the target does not have it.
    async fn send_missing_base(&self, link: &mut Link, base: Digest) -> Result<(), Error> {
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

    /// Offers the stopped task. Returns once the target has stored it.
    async fn offer(
        &self,
        link: &mut Link,
        id: TaskId,
        move_id: MoveId,
        inquiry: &MoveInquiry,
        known: Option<Digest>,
    ) -> Result<PreparedTask, Error> {
        let offer = self.daemon.offer(move_id, inquiry.spec.clone()).await?;
        let base = offer.snapshot.as_ref().and_then(|snapshot| snapshot.base);
        // The task may have another base than in the inquiry.
        if let Some(base) = base.filter(|base| Some(*base) != known) {
            self.send_missing_base(link, base).await?;
        }
        let body = rmp_serde::to_vec_named(&offer)
            .map_err(|error| PeerError::Request(format!("cannot write the offer: {error}")))?;
        match link.ask(&Request::Offer, &body, ANSWER_TIMEOUT).await? {
            Answer::Prepared(peer_task) => Ok(PreparedTask {
                peer_task,
                relays_connections: !offer.streams.is_empty(),
            }),
            Answer::Refused(why) => Err(PeerError::Refused {
                address: link.address.clone(),
                task: id.0,
                reasons: vec![why],
            }
            .into()),
            answer => Err(link.unexpected(answer).into()),
        }
    }

    /// Tells the target to accept the task, and stores its answer. If the target has lost the task,
    /// makes it ours again.
    ///
    /// # Errors
    /// If the target does not answer, or the outcome cannot be stored.
    pub(super) async fn commit_at_target(
        &self,
        link: &mut Link,
        move_id: MoveId,
    ) -> Result<Resolution, Error> {
        match link
            .ask(&Request::Accept(move_id), &[], ANSWER_TIMEOUT)
            .await?
        {
            Answer::Accepted(_) => {
                self.daemon.confirm_move(move_id).await?;
                Ok(Resolution::Ended)
            }
            Answer::Unknown => {
                log::error!(
                    "daemon {} has lost the task of move {move_id}, which continues here",
                    link.theirs.daemon
                );
                self.daemon.reclaim_move(move_id).await?;
                Ok(Resolution::Reclaimed)
            }
            answer => Err(link.unexpected(answer).into()),
        }
    }
}
