//! The source of a move: the daemon that the task leaves.

use std::sync::Arc;
use std::time::Duration;

use crate::blobs::snapshot_bases::SnapshotBases;
use crate::daemon::{Daemon, blocking};
use crate::driver::commands::Ask;
use crate::driver::move_step::{MoveStep, TaskMove};
use crate::error::Error as Refused;
use crate::model::TaskSpec;
use crate::model::error::Error;
use crate::model::{Digest, Limit, MonotonicTime, MoveId, Setting, TaskId, TaskState, When};
use crate::moving::offer::{MoveInquiry, OfferedPiece, OfferedSnapshot, TaskOffer};
use crate::sockets::TaskSockets;
use crate::store::{
    Change, MoveChange, MovePhase, MoveRecord, RecordChange, StoredSnapshot, Stream,
};
use crate::stored::damaged;
use crate::stored::encoding::{from_bytes, to_bytes, to_named_bytes};
use crate::stored::move_details::MoveDetails;
use crate::task::{Asleep, HeldSocket, chunks, pack};

/// The most bytes of output that are read from the store at once.
const OUTPUT_BYTES_AT_ONCE: u64 = 1 << 20;

impl Daemon {
    /// Reserves the task for a move; `false` where another move of it is under way.
    pub(crate) fn begin_move(&self, id: TaskId) -> bool {
        self.moving.active().insert(id)
    }

    /// Ends the reservation: the move is over, or `peers::resolve` will end it.
    pub(crate) fn end_move(&self, id: TaskId) {
        self.moving.active().remove(&id);
    }

    /// Whether a move of the task is under way.
    pub(crate) fn is_moving(&self, id: TaskId) -> bool {
        self.moving.active().contains(&id)
    }

    /// Takes no new tasks from now on, or takes them again.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.moving.set_draining(draining);
    }

    /// What the target has to know before the task is stopped. `dirs` names directories of the
    /// target for names of the guest; other directories keep their paths.
    ///
    /// # Errors
    /// If there is no such task, it is over, or it has no directory of one of the names.
    pub(crate) async fn inquire(
        &self,
        id: TaskId,
        dirs: &[(String, String)],
    ) -> Result<MoveInquiry, Error> {
        let info = self.task(id).await?;
        if info.state.after(crate::model::Event::Move).is_none() {
            let asked = "moved";
            let state = info.state;
            return Err(Refused::State { id, state, asked }.into());
        }
        if let Some(listener) = info.status.accepted_by {
            let text = format!(
                "task {id} answers the requests of a connection that task {listener} has \
                 accepted, and ends here with it"
            );
            return Err(Refused::Request(text).into());
        }
        let (shared, dirs) = (self.shared.clone(), dirs.to_vec());
        blocking(move || {
            let found = shared.store.load(id)?;
            let (row, frozen) = found.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            let (spec, _) = damaged::read(&row)?;
            let memory = spec.limits(&shared.options.limits).get(Limit::Memory);
            let spec = relocated(spec, &dirs, memory)?;
            Ok(MoveInquiry {
                module: row.module,
                spec: to_named_bytes(&spec)?,
                name: row.name,
                base: frozen.and_then(|frozen| travelling_base(&frozen)),
            })
        })
        .await
    }

    /// Stores the state of a task in memory while it continues, so that only what changes
    /// afterwards is sent while the task is stopped. Returns the base of the stored snapshot.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn checkpoint_for_move(&self, id: TaskId) -> Result<Option<Digest>, Error> {
        let info = self.task(id).await?;
        if matches!(
            info.state,
            TaskState::Ready | TaskState::Running | TaskState::Parked
        ) {
            // A guest that computes is waited for when it is stopped.
            let stored = self.ask(id, Ask::Checkpoint);
            let _ = tokio::time::timeout(Duration::from_secs(2), stored).await;
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
    /// If it is not there.
    pub(crate) async fn blob(&self, digest: Digest) -> Result<Vec<u8>, Error> {
        let store = self.shared.store.clone();
        blocking(move || {
            let missing = || Refused::Damaged(format!("blob {} is missing", digest.short()));
            Ok(store.blob(&digest)?.ok_or_else(missing)?)
        })
        .await
    }

    /// Stops a task, to move it. Where it cannot be stopped within `patience`, it continues.
    ///
    /// # Errors
    /// If it is over, cannot be suspended, or computes for too long.
    pub(crate) async fn stop_for_move(
        self: &Arc<Self>,
        id: TaskId,
        move_id: MoveId,
        peer: Digest,
        details: MoveDetails,
        patience: Duration,
    ) -> Result<(), Error> {
        let daemon = self.clone();
        let mut asked = tokio::spawn(async move {
            let step = MoveStep::Stop;
            daemon.step(id, step, move_id, peer, details).await
        });
        match tokio::time::timeout(patience, &mut asked).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Refused::Closing.into()),
            Err(_) => {
                // The task may stop later: then it continues here.
                let daemon = self.clone();
                tokio::spawn(async move {
                    if matches!(asked.await, Ok(Ok(())))
                        && let Err(error) = daemon.abort_move(move_id).await
                    {
                        log::warn!(
                            "task {id} has stopped for move {move_id} after it was given up, and is not \
                             started again yet: {error}"
                        );
                    }
                });
                let error =
                    format!("it computes, and did not stop within {patience:?}; it stays here");
                Err(Refused::Unable { id, error }.into())
            }
        }
    }

    /// A stopped task as it is offered.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn offer(&self, move_id: MoveId, spec: Vec<u8>) -> Result<TaskOffer, Error> {
        let (shared, bases) = (self.shared.clone(), self.bases.clone());
        blocking(move || {
            let record = shared.store.move_record(move_id)?;
            let gone = || Refused::Damaged(format!("move {move_id} is not known"));
            let record = record.ok_or_else(gone)?;
            let details: MoveDetails = from_bytes(&record.details)?;
            let id = record.task;
            let found = shared.store.load(id)?;
            let (row, frozen) = found.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            let (mut output, mut from) = (Vec::new(), 0);
            loop {
                let some = shared.store.output(id, from, OUTPUT_BYTES_AT_ONCE)?;
                let Some(last) = some.last() else { break };
                from = last.sequence + 1;
                output.extend(some.into_iter().map(|stored| OfferedPiece {
                    error: stored.piece.stream == Stream::Stderr,
                    time: stored.piece.time,
                    bytes: stored.piece.bytes,
                }));
            }
            let (given, mut status) = damaged::read(&row)?;
            // The target has another steady clock, so that the time travels as one of the wall
            // clock.
            let on_wall = |at| MonotonicTime::beginning_as(shared.time.to_wall(at));
            status.wakes = status.wakes.map(on_wall);
            let wanted = given.network.proxy_streams == Some(true);
            Ok(TaskOffer {
                move_id,
                streams: match wanted {
                    true => shared.sockets.stream_keys(id),
                    false => Vec::new(),
                },
                origin: format!("{}/{id}@{}", shared.options.identity, row.version),
                name: row.name,
                module: row.module,
                spec,
                status: to_bytes(&status)?,
                paused: details.paused,
                snapshot: frozen
                    .map(|frozen| travelling(&bases, frozen))
                    .transpose()?,
                output,
            })
        })
        .await
    }

    /// Takes the connections of a stopped task, which are to be carried to the target.
    pub(crate) fn take_streams(&self, id: TaskId) -> Vec<HeldSocket> {
        self.shared.sockets.take_streams(id)
    }

    /// Keeps connections for a task that does not run.
    pub(crate) fn put_streams(&self, id: TaskId, sockets: Vec<HeldSocket>) {
        self.shared.sockets.adopt(TaskSockets {
            id,
            listeners: Vec::new(),
            asleep: Some(Asleep {
                sockets,
                watches: Vec::new(),
            }),
            ends: When::NEVER,
        });
    }

    /// Ends a move that has failed before its commit: the task stays here. Does nothing if the move
    /// is in another phase than `Preparing`.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn abort_move(&self, move_id: MoveId) -> Result<(), Error> {
        self.step_of(move_id, MoveStep::Abort, MovePhase::Preparing, None)
            .await
    }

    /// Makes the task, which the target has prepared as its task `peer_task`, the target's.
    ///
    /// # Errors
    /// If it cannot be stored; the task is still here then.
    pub(crate) async fn commit_move(&self, move_id: MoveId, peer_task: u64) -> Result<(), Error> {
        self.step_of(
            move_id,
            MoveStep::Commit,
            MovePhase::Preparing,
            Some(peer_task),
        )
        .await
    }

    /// Stores that the target has accepted the task, and deletes what is left of it here.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn confirm_move(&self, move_id: MoveId) -> Result<(), Error> {
        self.step_of(move_id, MoveStep::Confirm, MovePhase::Committed, None)
            .await
    }

    /// Makes the task ours again, because the target has lost it.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn reclaim_move(&self, move_id: MoveId) -> Result<(), Error> {
        self.step_of(move_id, MoveStep::Reclaim, MovePhase::Committed, None)
            .await
    }

    /// Forgets a move: the other daemon knows how it has ended.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(crate) async fn forget_move(&self, move_id: MoveId) -> Result<(), Error> {
        let change = MoveChange {
            change: None,
            output: Vec::new(),
            clear_output: false,
            record: RecordChange::Forget(move_id),
        };
        self.commit(vec![Change::Move(change)]).await.map(drop)
    }

    /// Moves that have not ended for both daemons.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn open_moves(&self) -> Result<Vec<MoveRecord>, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.open_moves()?)).await
    }

    /// The moves of a task that have not ended for both daemons.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn open_moves_of(&self, id: TaskId) -> Result<Vec<MoveRecord>, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.open_moves_of(id)?)).await
    }

    /// A move as it is remembered now, if it has not ended.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn open_move(
        &self,
        id: MoveId,
    ) -> Result<Option<(MoveRecord, MoveDetails)>, Error> {
        let record = self.move_record(id).await?;
        let open = record.filter(|record| record.phase != MovePhase::Accepted);
        open.map(|record| Ok((record.clone(), from_bytes(&record.details)?)))
            .transpose()
    }

    pub(super) async fn move_record(&self, id: MoveId) -> Result<Option<MoveRecord>, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.move_record(id)?)).await
    }

    /// Does a step of a move, if the move is in the phase `at`; otherwise the step has been done
    /// already.
    pub(super) async fn step_of(
        &self,
        move_id: MoveId,
        step: MoveStep,
        at: MovePhase,
        peer_task: Option<u64>,
    ) -> Result<(), Error> {
        let change =
            |details: &mut MoveDetails| details.peer_task = peer_task.unwrap_or(details.peer_task);
        self.step_with(move_id, step, at, change).await
    }

    /// The same, with a change of the move's details.
    pub(super) async fn step_with(
        &self,
        move_id: MoveId,
        step: MoveStep,
        at: MovePhase,
        change: impl FnOnce(&mut MoveDetails),
    ) -> Result<(), Error> {
        let record = self.move_record(move_id).await?;
        let Some(record) = record.filter(|record| record.phase == at) else {
            return Ok(());
        };
        let mut details: MoveDetails = from_bytes(&record.details)?;
        change(&mut details);
        self.step(record.task, step, move_id, record.peer, details)
            .await
    }

    async fn step(
        &self,
        id: TaskId,
        step: MoveStep,
        move_id: MoveId,
        peer: Digest,
        details: MoveDetails,
    ) -> Result<(), Error> {
        let ask = Ask::Move(Box::new(TaskMove {
            step,
            move_id,
            peer,
            details,
        }));
        self.ask(id, ask).await
    }
}

/// A stored snapshot as it travels to another daemon: a large one stands alone, and in one piece.
fn travelling(bases: &SnapshotBases, frozen: StoredSnapshot) -> Result<OfferedSnapshot, Error> {
    if !chunks::Index::is(&frozen.bytes) {
        return Ok(OfferedSnapshot {
            base: frozen.base,
            bytes: frozen.bytes,
        });
    }
    let flat = bases.whole(&frozen)?.flatten()?;
    Ok(OfferedSnapshot {
        base: None,
        bytes: pack(&flat, &[])?,
    })
}

/// The base that the target has to have. A large snapshot travels without a base.
fn travelling_base(frozen: &StoredSnapshot) -> Option<Digest> {
    frozen.base.filter(|_| !chunks::Index::is(&frozen.bytes))
}

/// A spec for the target: with the target's directories, and with the limit of memory that the task
/// has here.
fn relocated(
    mut spec: TaskSpec,
    dirs: &[(String, String)],
    memory: Option<u64>,
) -> Result<TaskSpec, Error> {
    for (host, guest) in dirs {
        let known = spec.mounts.iter_mut().find(|mount| mount.guest == *guest);
        let Some(known) = known else {
            let text = format!("the task has no directory that it calls {guest:?}");
            return Err(Refused::Request(text).into());
        };
        known.host.clone_from(host);
    }
    let limit = Limit::Memory;
    let said = spec.limits.get(limit).is_some();
    if let Some(value) = memory.filter(|_| !said) {
        spec.limits.set(Setting {
            limit,
            value,
            period: None,
        });
    }
    Ok(spec)
}
