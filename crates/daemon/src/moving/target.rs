//! The target of a move: the daemon that the task comes to.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blobs::programs::blob;
use crate::daemon::submit::{check_name, class_of};
use crate::daemon::{Daemon, blocking};
use crate::driver::move_step::MoveStep;
use crate::error::Error as Refused;
use crate::model::TaskSpec;
use crate::model::error::Error;
use crate::model::spec::{Mount, Reach};
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId, When};
use crate::model::{Limit, Limits, Timestamp};
use crate::moving::offer::{MoveInquiry, OfferedPiece, TaskOffer};
use crate::options::Options;
use crate::spec::Submitted as _;
use crate::store::{
    Change, Insert, MoveChange, MovePhase, MoveRecord, OutputPiece, RecordChange, StoredSnapshot,
    Stream, Verdict,
};
use crate::stored::encoding::{from_bytes, to_bytes};
use crate::stored::move_details::MoveDetails;
use crate::stored::status::Status;
use crate::task::{EngineKind, Runtime, TaskHandle, unpack};
use crate::workers::guest::NotRevived;
use crate::workers::output::Tail;

/// What tasks of another daemon may use here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PeerGrants {
    /// These directories, and what is below them.
    pub(crate) dirs: Vec<PathBuf>,
    /// Addresses to listen on, `HOST:PORT`; the port may be `*`, and so may both.
    pub(crate) listen: Vec<String>,
    /// Peers to connect to, likewise.
    pub(crate) connect: Vec<String>,
}

/// The answer to an inquiry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InquiryAnswer {
    /// Why the task cannot come, if it cannot.
    pub(crate) refused: Vec<String>,
    /// Blobs that have to be sent first.
    pub(crate) lacks: Vec<Digest>,
}

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BlobKind {
    /// A resumable module, compressed.
    Module,
    /// A snapshot's flat form, compressed by itself.
    Base,
}

impl Daemon {
    /// Whether a task can come here. The task continues meanwhile.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn consider(
        &self,
        inquiry: MoveInquiry,
        grants: &PeerGrants,
    ) -> Result<InquiryAnswer, Error> {
        if self.moving.is_draining() {
            return Ok(InquiryAnswer {
                refused: vec!["this daemon is being emptied, and takes no tasks".into()],
                lacks: Vec::new(),
            });
        }
        let (shared, grants) = (self.shared.clone(), grants.clone());
        let programs = self.programs.clone();
        blocking(move || {
            let mut considered = InquiryAnswer::default();
            let refused = &mut considered.refused;
            match from_bytes::<TaskSpec>(&inquiry.spec) {
                Err(_) => refused.push(format!(
                    "dormouse {} there does not know all that was asked for when the task was submitted",
                    env!("CARGO_PKG_VERSION")
                )),
                Ok(spec) => {
                    refused.extend(spec_refused(&spec, &shared.options, programs.runtime(), &grants));
                    // A module that is here is compiled for the task's engine now, while the task
                    // continues.
                    if refused.is_empty() && shared.store.has_blob(&inquiry.module)? {
                        let ready = programs.get(&inquiry.module).and_then(|program| {
                            let engine = spec.engine_or(shared.options.engine);
                            program.compile(programs.runtime(), engine, &programs.told(&program.digest()))
                        });
                        refused.extend(ready.err().map(|error| error.to_string()));
                    }
                }
            }
            if let Some(name) = &inquiry.name
                && let Some(id) = shared.store.named(TenantId::DEFAULT, name)?
                && let Some(row) = shared.store.task(id)?
                && row.state != TaskState::Moved
            {
                refused.push(format!("there is a task of the name {name:?} there, {id}"));
            }
            for digest in inquiry.base.iter().chain([&inquiry.module]) {
                if !shared.store.has_blob(digest)? {
                    considered.lacks.push(*digest);
                }
            }
            Ok(considered)
        })
        .await
    }

    /// Keeps a blob that another daemon has sent, if its digest is right. A module is compiled for
    /// the task's engine, while the task continues at the source.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) async fn put_blob(
        &self,
        kind: BlobKind,
        digest: Digest,
        bytes: Vec<u8>,
        engine: Option<EngineKind>,
    ) -> Result<(), Error> {
        let (programs, options) = (self.programs.clone(), self.shared.options.clone());
        let change = blocking(move || match kind {
            BlobKind::Module => {
                let engine = engine.unwrap_or(options.engine);
                let program = programs
                    .runtime()
                    .load_stored(&digest, || Ok(Some(bytes)))?;
                program.compile(
                    programs.runtime(),
                    engine,
                    &programs.told(&program.digest()),
                )?;
                Ok(blob(&programs.keep(program)))
            }
            BlobKind::Base => {
                let flat = unpack(&bytes, &[], Limits::default().value(Limit::Snapshot))?;
                match Digest::of(&flat) == digest {
                    true => Ok(Change::Blob {
                        digest,
                        bytes,
                        pack: None,
                    }),
                    false => {
                        let text = format!("blob {} is not what it claims to be", digest.short());
                        Err(Refused::Damaged(text).into())
                    }
                }
            }
        })
        .await?;
        self.commit(vec![change]).await.map(drop)
    }

    /// Whether a blob is here.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn has_blob(&self, digest: Digest) -> Result<bool, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.has_blob(&digest)?)).await
    }

    /// Stores an offered task as prepared, after a trial resume. It does not run before
    /// [`accept_prepared`](Self::accept_prepared). Returns its ID.
    ///
    /// # Errors
    /// Says why it cannot be accepted.
    pub(crate) async fn prepare_task(
        self: &Arc<Self>,
        offer: TaskOffer,
        peer: Digest,
        details: MoveDetails,
        grants: &PeerGrants,
    ) -> Result<TaskId, Error> {
        let move_id = offer.move_id;
        if let Some(known) = self.move_record(move_id).await? {
            return match known.peer == peer && known.phase == MovePhase::Prepared {
                true => Ok(known.task),
                false => Err(ended(move_id)),
            };
        }
        check_name(offer.name.as_deref())?;
        let id = self.ids.reserve(1).await?.next().ok_or(Refused::Closing)?;
        let name = offer.name.clone();
        let (daemon, grants) = (self.clone(), grants.clone());
        let held = blocking(move || daemon.checked_offer(id, offer, peer, details, &grants));
        let change = held.await.inspect_err(|_| self.shared.sockets.close(id))?;
        if self.moving.dead().contains(&move_id) {
            self.shared.sockets.close(id);
            return Err(ended(move_id));
        }
        let verdict = self.commit(vec![change]).await.inspect_err(|_| {
            self.shared.sockets.close(id);
        })?;
        if verdict.first() != Some(&Verdict::Done) {
            self.shared.sockets.close(id);
            return Err(match verdict.first() {
                Some(Verdict::NameTaken) => Refused::NameTaken(name.unwrap_or_default()).into(),
                _ => Refused::NoModule("of the task".into()).into(),
            });
        }
        self.shared.metrics.add(TaskState::Arriving, 1);
        self.shared.tell(id, Some(TaskState::Arriving));
        // The source may have said meanwhile that the task stays there.
        if self.moving.dead().contains(&move_id) {
            self.discard_prepared(move_id, peer).await?;
            return Err(ended(move_id));
        }
        Ok(id)
    }

    /// Checks an offer; returns the change that stores the task as prepared.
    fn checked_offer(
        &self,
        id: TaskId,
        offer: TaskOffer,
        peer: Digest,
        mut details: MoveDetails,
        grants: &PeerGrants,
    ) -> Result<Change, Error> {
        let shared = &self.shared;
        let spec: TaskSpec = from_bytes(&offer.spec)?;
        // The spec may be another one than in the inquiry.
        if let Some(why) = spec_refused(&spec, &shared.options, self.programs.runtime(), grants)
            .into_iter()
            .next()
        {
            return Err(Refused::Request(why).into());
        }
        let mut status: Status = from_bytes(&offer.status)?;
        status.came_from = Some(offer.origin);
        status.moved_to = None;
        // They end where they are.
        status.connections.clear();
        // The time has travelled as one of the wall clock.
        let on_wall = |at: MonotonicTime| Timestamp::from_nanos(at.as_nanos());
        status.wakes = status.wakes.map(|at| shared.time.to_steady(on_wall(at)));
        let frozen = offer.snapshot.map(|snapshot| StoredSnapshot {
            base: snapshot.base,
            bytes: snapshot.bytes,
            pack: None,
        });
        let limit = shared.options.output_limit;
        let (time, following) = (shared.time.clone(), shared.following.clone());
        let tail = Tail::new(id, 1, limit, time, following);
        let worker = &self.moving.worker;
        let which = (id, offer.module);
        let handle = TaskHandle::default();
        let revived = worker.revive(which, &spec, frozen.clone(), (&tail, None), handle, None);
        if let Err(why) = revived {
            shared.budget.forget(id);
            return Err(not_revived(why));
        }
        // The listeners were bound only to see that this works. The source may need them again, on
        // the same machine.
        shared.sockets.close(id);
        details.paused = offer.paused;
        let output = offer.output.into_iter().map(stored_piece);
        let insert = Insert {
            id,
            state: TaskState::Arriving,
            due: When::NEVER,
            name: offer.name,
            module: offer.module,
            spec: offer.spec,
            status: to_bytes(&status)?,
            snapshot: frozen,
            // The source knows this node.
            held: self.is_node(),
            // A task that comes from another daemon is the default tenant's here.
            tenant: TenantId::DEFAULT,
            class: class_of(shared, &spec)?,
        };
        let record = MoveRecord {
            id: offer.move_id,
            task: id,
            phase: MovePhase::Prepared,
            peer,
            details: to_bytes(&details)?,
        };
        Ok(Change::Move(MoveChange {
            change: Some(Box::new(Change::Insert(insert))),
            output: output.collect(),
            clear_output: false,
            record: RecordChange::Put(record),
        }))
    }

    /// Makes a prepared task ours. Returns its ID; `None` if it is not prepared, and then this move
    /// cannot bring it any longer.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn accept_prepared(
        &self,
        move_id: MoveId,
        peer: Digest,
    ) -> Result<Option<TaskId>, Error> {
        let Some(record) = self.prepared_or_accepted(move_id, peer).await? else {
            return Ok(None);
        };
        if record.phase == MovePhase::Prepared {
            self.step_of(move_id, MoveStep::Accept, MovePhase::Prepared, None)
                .await?;
        }
        Ok(Some(record.task))
    }

    /// Removes a prepared task: it stays at its source. Returns its ID if it is ours already: by an
    /// operator's decision, or because the source was restored to a state before it committed the
    /// move.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn discard_prepared(
        &self,
        move_id: MoveId,
        peer: Digest,
    ) -> Result<Option<TaskId>, Error> {
        match self.prepared_or_accepted(move_id, peer).await? {
            Some(record) if record.phase == MovePhase::Prepared => {
                self.step_of(move_id, MoveStep::Discard, MovePhase::Prepared, None)
                    .await?;
                Ok(None)
            }
            taken => Ok(taken.map(|record| record.task)),
        }
    }

    /// Forgets a move by which a task became ours: the source knows it.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn forget_accepted(&self, move_id: MoveId, peer: Digest) -> Result<(), Error> {
        match self.prepared_or_accepted(move_id, peer).await? {
            Some(record) if record.phase == MovePhase::Accepted => self.forget_move(move_id).await,
            _ => Ok(()),
        }
    }

    /// What is remembered of a move to this daemon. An offer of the move that may still arrive is
    /// refused from now on.
    async fn prepared_or_accepted(
        &self,
        move_id: MoveId,
        peer: Digest,
    ) -> Result<Option<MoveRecord>, Error> {
        self.moving.dead().put(move_id, ());
        let record = self.move_record(move_id).await?;
        Ok(record.filter(|record| {
            record.peer == peer && matches!(record.phase, MovePhase::Prepared | MovePhase::Accepted)
        }))
    }
}

fn ended(move_id: MoveId) -> Error {
    Refused::Request(format!("move {move_id} has ended already")).into()
}

/// A piece of an offered task's output, as the store keeps it.
fn stored_piece(piece: OfferedPiece) -> OutputPiece {
    OutputPiece {
        stream: match piece.error {
            true => Stream::Stderr,
            false => Stream::Stdout,
        },
        time: piece.time,
        bytes: piece.bytes,
    }
}

/// Why an offered task cannot be resumed here.
fn not_revived(why: NotRevived) -> Error {
    match why {
        NotRevived::Failed(error) => error,
        NotRevived::Full => {
            let text = "the daemon there has no memory left for the task now; try again later";
            Refused::Request(text.into()).into()
        }
    }
}

/// Why a task of another daemon cannot run here.
fn spec_refused(
    spec: &TaskSpec,
    options: &Options,
    runtime: &Runtime,
    grants: &PeerGrants,
) -> Vec<String> {
    let mut refused = Vec::new();
    let engine = spec.engine_or(options.engine);
    if !engine.is_available() {
        refused.push(format!("the daemon there was built without {engine}"));
    } else if let Err(error) = runtime.engine(engine) {
        // The engine's library may be missing.
        refused.push(format!("the daemon there cannot use {engine}: {error}"));
    }
    for (key, value) in &spec.place {
        if options.labels.get(key) != Some(value) {
            refused.push(format!("the daemon there has no label {key}={value}"));
        }
    }
    for Mount { host, guest, .. } in &spec.mounts {
        let whole = match PathBuf::from(host).canonicalize() {
            Ok(whole) if whole.is_dir() => whole,
            Ok(_) => {
                refused.push(format!(
                    "{host}, which the task calls {guest}, is no directory there"
                ));
                continue;
            }
            Err(error) => {
                refused.push(format!(
                    "there is no directory {host} there ({error}), which the task calls {guest}; \
                     --dir HOST::{guest} names another one"
                ));
                continue;
            }
        };
        let below = |granted: &PathBuf| {
            let granted = granted.canonicalize();
            granted.is_ok_and(|granted| whole.starts_with(granted))
        };
        if !grants.dirs.iter().any(below) {
            refused.push(format!(
                "the directory {host} is not granted to us there; `dormouse peers add … --dir {host}` \
                 there grants it"
            ));
        }
    }
    for reach in spec.network.reaches() {
        let (granted, verb, flag) = match reach {
            Reach::Given(_) | Reach::Listen(_) => (&grants.listen, "listen on", "--listen"),
            Reach::Connect(_) => (&grants.connect, "connect to", "--connect"),
        };
        let address = match reach {
            Reach::Given(address) => address.as_str(),
            Reach::Listen(rule) | Reach::Connect(rule) => rule.as_str(),
        };
        if !granted.iter().any(|granted| covers(granted, address)) {
            refused.push(format!(
                "to {verb} {address} is not granted to us there; `dormouse peers add … {flag} {address}` \
                 there grants it"
            ));
        }
    }
    refused
}

/// Whether an address is granted: the same one, one whose port may be any, or all.
pub(crate) fn covers(granted: &str, address: &str) -> bool {
    let any_port = granted
        .strip_suffix(":*")
        .zip(address.rsplit_once(':'))
        .is_some_and(|(host, (wanted, _))| host == wanted);
    granted == "*:*" || granted == address || any_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_granted_whole_or_with_any_port() {
        assert!(covers("127.0.0.1:80", "127.0.0.1:80"));
        assert!(covers("127.0.0.1:*", "127.0.0.1:80"));
        assert!(covers("[::1]:*", "[::1]:80"));
        assert!(!covers("127.0.0.1:*", "0.0.0.0:80"));
        assert!(!covers("127.0.0.1:80", "127.0.0.1:8080"));
        assert!(covers("*:*", "10.0.0.0/8:80-90"));
        assert!(!covers("*", "127.0.0.1:80"));
    }
}
