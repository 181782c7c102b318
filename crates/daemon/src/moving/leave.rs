//! The side that a task leaves.

use std::sync::Arc;
use std::time::Duration;

use super::super::Error as Refused;
use super::super::commands::Ask;
use super::super::daemon::{Daemon, blocking};
use super::super::damaged;
use super::super::sockets::Kept;
use super::super::spec::{Spec, from_bytes, to_bytes};
use super::{Inquiry, Move, Note, Offer, OfferedPiece, Step};
use crate::model::error::Error;
use crate::model::{Digest, Limit, Setting, TaskId, TaskState, TransferId, When};
use crate::store::{Change, Frozen, Hand, Record, Stream, Transfer, TransferStep};
use crate::task::{Asleep, HeldSocket, chunks};

/// Bytes of output that are read from the store at once.
const CHUNK: u64 = 1 << 20;

impl Daemon {
    /// Keeps others from moving the task while this move is under way; `false` where one is.
    pub fn begin_move(&self, id: TaskId) -> bool {
        self.moving.active().insert(id)
    }

    /// This move is over, or is left to whoever settles moves after a failure.
    pub fn end_move(&self, id: TaskId) {
        self.moving.active().remove(&id);
    }

    /// Whether a move of the task is under way.
    pub fn is_moving(&self, id: TaskId) -> bool {
        self.moving.active().contains(&id)
    }

    /// Takes no new tasks from now on, or takes them again.
    pub fn set_draining(&self, draining: bool) {
        self.moving.set_draining(draining);
    }

    /// What the other side has to know before the task is stopped. `dirs` are directories of the other
    /// side's for names of the guest's; other directories keep their paths.
    ///
    /// # Errors
    /// Where there is no such task, it is over, or it has no directory of one of the names.
    pub async fn inquire(&self, id: TaskId, dirs: &[(String, String)]) -> Result<Inquiry, Error> {
        let info = self.task(id).await?;
        if info.state.after(crate::model::Event::Give).is_none() {
            let asked = "moved";
            let state = info.state;
            return Err(Refused::State { id, state, asked }.into());
        }
        let (shared, dirs) = (self.shared.clone(), dirs.to_vec());
        blocking(move || {
            let found = shared.store.load(id)?;
            let (row, frozen) = found.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            let (spec, _) = damaged::read(&row)?;
            let memory = spec.limits(&shared.options.limits).get(Limit::Memory);
            let spec = relocated(spec, &dirs, memory)?;
            Ok(Inquiry {
                module: row.module,
                spec: to_bytes(&spec)?,
                name: row.name,
                base: frozen.and_then(|frozen| travelling_base(&frozen)),
            })
        })
        .await
    }

    /// Writes the state of a task in memory down, while it goes on, so that what is sent while it stands still
    /// is only what has changed since then. Gives the base of what is stored.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn written_down(&self, id: TaskId) -> Result<Option<Digest>, Error> {
        let info = self.task(id).await?;
        if matches!(
            info.state,
            TaskState::Ready | TaskState::Running | TaskState::Parked
        ) {
            // One that computes is waited for later.
            let settled = self.ask(id, Ask::Settle);
            let _ = tokio::time::timeout(Duration::from_secs(2), settled).await;
        }
        let store = self.shared.store.clone();
        blocking(move || {
            let found = store.load(id)?;
            Ok(found.and_then(|(_, frozen)| travelling_base(&frozen?)))
        })
        .await
    }

    /// A blob of the store.
    ///
    /// # Errors
    /// Where it is not there.
    pub async fn blob(&self, digest: Digest) -> Result<Vec<u8>, Error> {
        let store = self.shared.store.clone();
        blocking(move || {
            let missing = || Refused::Damaged(format!("blob {} is missing", digest.short()));
            Ok(store.blob(&digest)?.ok_or_else(missing)?)
        })
        .await
    }

    /// Stops a task, for the other side. Where it cannot be stopped within `patience`, it goes on.
    ///
    /// # Errors
    /// Where it is over, cannot be suspended, or computes for too long.
    pub async fn give(
        self: &Arc<Self>,
        id: TaskId,
        transfer: TransferId,
        peer: Digest,
        note: Note,
        patience: Duration,
    ) -> Result<(), Error> {
        let daemon = self.clone();
        let mut asked = tokio::spawn(async move {
            let step = Step::Give;
            daemon.step(id, step, transfer, peer, note).await
        });
        match tokio::time::timeout(patience, &mut asked).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Refused::Closing.into()),
            Err(_) => {
                // It may stop later: then it is taken back.
                let daemon = self.clone();
                tokio::spawn(async move {
                    if matches!(asked.await, Ok(Ok(()))) {
                        daemon.keep(transfer).await
                    } else {
                        Ok(())
                    }
                });
                let text = format!(
                    "task {id} computes, and did not stop within {patience:?}; it stays here"
                );
                Err(Refused::Request(text).into())
            }
        }
    }

    /// A stopped task as it is offered.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn offer(&self, transfer: TransferId, spec: Vec<u8>) -> Result<Offer, Error> {
        let (shared, bases) = (self.shared.clone(), self.bases.clone());
        blocking(move || {
            let record = shared.store.transfer(transfer)?;
            let gone = || Refused::Damaged(format!("move {transfer} is not known"));
            let record = record.ok_or_else(gone)?;
            let note: Note = from_bytes(&record.note)?;
            let id = record.task;
            let found = shared.store.load(id)?;
            let (row, frozen) = found.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            let (mut output, mut from) = (Vec::new(), 0);
            loop {
                let some = shared.store.output(id, from, CHUNK)?;
                let Some(last) = some.last() else { break };
                from = last.place + 1;
                output.extend(some.into_iter().map(|logged| OfferedPiece {
                    error: logged.entry.stream == Stream::Stderr,
                    time: logged.entry.time,
                    bytes: logged.entry.bytes,
                }));
            }
            let (given, mut status) = damaged::read(&row)?;
            // The other side has a steady clock of its own.
            status.wakes = status.wakes.map(|at| shared.time.to_wall(at));
            let wanted = given.proxy_streams;
            Ok(Offer {
                transfer,
                streams: match wanted {
                    true => shared.sockets.stream_keys(id),
                    false => Vec::new(),
                },
                origin: format!("{}/{id}@{}", shared.options.identity, row.version),
                name: row.name,
                module: row.module,
                spec,
                status: to_bytes(&status)?,
                paused: note.paused,
                snapshot: frozen.map(|frozen| bases.travelling(frozen)).transpose()?,
                output,
            })
        })
        .await
    }

    /// Takes the connections of a stopped task, which are to be carried.
    pub fn take_streams(&self, id: TaskId) -> Vec<HeldSocket> {
        self.shared.sockets.take_streams(id)
    }

    /// Keeps connections for a task that does not run.
    pub fn put_streams(&self, id: TaskId, sockets: Vec<HeldSocket>) {
        self.shared.sockets.adopt(Kept {
            id,
            listeners: Vec::new(),
            asleep: Some(Asleep {
                sockets,
                watches: Vec::new(),
            }),
            ends: When::NEVER,
        });
    }

    /// The task stays here.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn keep(&self, transfer: TransferId) -> Result<(), Error> {
        self.step_of(transfer, Step::Keep, TransferStep::Giving, None)
            .await
    }

    /// The other side holds the task as its task `theirs`: it is that side's from now on.
    ///
    /// # Errors
    /// Where it cannot be stored; the task is still here then.
    pub async fn given(&self, transfer: TransferId, theirs: u64) -> Result<(), Error> {
        self.step_of(transfer, Step::Given, TransferStep::Giving, Some(theirs))
            .await
    }

    /// The other side has confirmed that the task is its own.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn done(&self, transfer: TransferId) -> Result<(), Error> {
        self.step_of(transfer, Step::Done, TransferStep::Given, None)
            .await
    }

    /// The other side has lost the task that was given to it: it is ours again.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn reclaim(&self, transfer: TransferId) -> Result<(), Error> {
        self.step_of(transfer, Step::Reclaim, TransferStep::Given, None)
            .await
    }

    /// The other side knows how the move has ended.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub async fn forget_move(&self, transfer: TransferId) -> Result<(), Error> {
        let hand = Hand {
            change: None,
            output: Vec::new(),
            clear_output: false,
            record: Record::Forget(transfer),
        };
        self.commit(vec![Change::Hand(hand)]).await.map(drop)
    }

    /// Moves that have not ended for both sides.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open_moves(&self) -> Result<Vec<Transfer>, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.open_transfers()?)).await
    }

    /// A move as it is remembered now, if it has not ended.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open_move(&self, id: TransferId) -> Result<Option<(Transfer, Note)>, Error> {
        let record = self.transfer(id).await?;
        let open = record.filter(|record| record.step != TransferStep::Taken);
        open.map(|record| Ok((record.clone(), from_bytes(&record.note)?)))
            .transpose()
    }

    pub(super) async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.transfer(id)?)).await
    }

    /// A step of a move that is remembered, if it has come as far as `at`; else it has been done already.
    pub(super) async fn step_of(
        &self,
        transfer: TransferId,
        step: Step,
        at: TransferStep,
        theirs: Option<u64>,
    ) -> Result<(), Error> {
        let change = |note: &mut Note| note.theirs = theirs.unwrap_or(note.theirs);
        self.step_with(transfer, step, at, change).await
    }

    /// The same, with a change of what is noted of the move.
    pub(super) async fn step_with(
        &self,
        transfer: TransferId,
        step: Step,
        at: TransferStep,
        change: impl FnOnce(&mut Note),
    ) -> Result<(), Error> {
        let record = self.transfer(transfer).await?;
        let Some(record) = record.filter(|record| record.step == at) else {
            return Ok(());
        };
        let mut note: Note = from_bytes(&record.note)?;
        change(&mut note);
        self.step(record.task, step, transfer, record.peer, note)
            .await
    }

    async fn step(
        &self,
        id: TaskId,
        step: Step,
        transfer: TransferId,
        peer: Digest,
        note: Note,
    ) -> Result<(), Error> {
        let ask = Ask::Move(Box::new(Move {
            step,
            transfer,
            peer,
            note,
        }));
        self.ask(id, ask).await
    }
}

/// The base that the other side has to have. A large snapshot travels without.
fn travelling_base(frozen: &Frozen) -> Option<Digest> {
    frozen.base.filter(|_| !chunks::Index::is(&frozen.bytes))
}

/// A spec for another daemon: with that one's directories, and with the limits that it has here.
fn relocated(
    mut spec: Spec,
    dirs: &[(String, String)],
    memory: Option<u64>,
) -> Result<Spec, Error> {
    for (host, guest) in dirs {
        let known = spec.dirs.iter_mut().find(|(_, name)| name == guest);
        let Some(known) = known else {
            let text = format!("the task has no directory that it calls {guest:?}");
            return Err(Refused::Request(text).into());
        };
        known.0.clone_from(host);
    }
    let limit = Limit::Memory;
    let said = spec.limits.iter().any(|setting| setting.limit == limit);
    if let Some(value) = memory.filter(|_| !said) {
        spec.limits.push(Setting {
            limit,
            value,
            period: None,
        });
    }
    Ok(spec)
}
