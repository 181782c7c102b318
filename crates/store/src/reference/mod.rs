//! A store in plain maps: what a store is to do, with nothing in the way of reading it. A batch is
//! applied to a copy, which replaces the original when all of it is done.
//!
//! It is what the other stores are compared with, and what the daemon's simulation runs on: its time
//! is that of a clock which it is given.

mod account_maps;
mod accounts;
mod nodes;
mod read;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::change::{Change, Verdict};
use crate::class::ClassId;
use crate::error::Error;
use crate::model::clock::Clock;
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId, When};
use crate::moves::MoveRecord;
use crate::store::{Due, Filter, Lease, Sizes, Stamp, Store};
use crate::task::{OutputPiece, StoredPiece, StoredSnapshot, TaskRow};

/// The store. Its clones are the same one.
#[derive(Clone)]
pub struct Reference {
    state: Arc<Mutex<State>>,
    /// By which leases end.
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Default)]
struct State {
    number: u64,
    /// The number of the last node.
    epoch: u64,
    nodes: BTreeMap<u64, Node>,
    stamp: Option<Stamp>,
    last_task: u64,
    blobs: BTreeMap<Digest, Blob>,
    tasks: BTreeMap<TaskId, Task>,
    output: BTreeMap<(TaskId, u64), OutputPiece>,
    moves: BTreeMap<[u8; 16], MoveRecord>,
    chunks: BTreeMap<(u64, u32), Vec<u8>>,
    /// Packs whose chunks are to be removed.
    dead: BTreeSet<u64>,
    accounts: account_maps::AccountMaps,
    /// What tasks of each class need; the first is class 1.
    classes: Vec<String>,
}

#[derive(Clone)]
struct Node {
    name: String,
    lasts: Duration,
    expires: MonotonicTime,
    /// Since when it has beaten without a gap.
    since: MonotonicTime,
    details: String,
}

#[derive(Clone)]
struct Blob {
    put: MonotonicTime,
    bytes: Vec<u8>,
    pack: Option<u64>,
}

#[derive(Clone)]
struct Task {
    version: u64,
    state: TaskState,
    due: Option<MonotonicTime>,
    /// What `due` is computed from, where that is the wall clock.
    wall: Option<When>,
    name: Option<String>,
    module: Digest,
    ended: Option<MonotonicTime>,
    spec: Vec<u8>,
    status: Vec<u8>,
    snapshot: Option<StoredSnapshot>,
    log_next: u64,
    /// The node that has it; 0 is nobody.
    owner: u64,
    /// Another node has given it to its node, which has not been told.
    given: bool,
    /// The name of the node that had it last.
    home: String,
    tenant: TenantId,
    class: ClassId,
}

impl Reference {
    /// A store of this number, which is another one for each store. Leases end by the clock.
    pub fn new(number: u64, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            number,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            clock,
        }
    }

    fn read<T>(&self, work: impl FnOnce(&State) -> T) -> Result<T, Error> {
        Ok(work(&self.state.lock()))
    }

    fn write<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        Ok(work(&mut self.state.lock()))
    }

    /// All of the work is done, or nothing.
    fn change<T>(
        &self,
        lease: &Lease,
        now: &Stamp,
        work: impl FnOnce(&mut State) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.state.lock();
        if !state.nodes.contains_key(&lease.epoch) {
            return Err(Error::Lost);
        }
        let mut next = state.clone();
        next.stamp = Some(*now);
        let done = work(&mut next)?;
        *state = next;
        Ok(done)
    }
}

impl Store for Reference {
    fn claim(&self, holder: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error> {
        let mut state = self.state.lock();
        state.nodes.clear();
        state.free_dead();
        state.forget_lost_chunks();
        let since = self.clock.monotonic();
        Ok(state.join(holder, now, lasts, since))
    }

    fn number(&self) -> Result<u64, Error> {
        self.read(|state| state.number)
    }

    fn stamp(&self) -> Result<Option<Stamp>, Error> {
        self.read(|state| state.stamp)
    }

    fn commit(
        &self,
        lease: &Lease,
        now: &Stamp,
        changes: &[Change],
    ) -> Result<Vec<Verdict>, Error> {
        self.change(lease, now, |state| {
            let verdicts = changes
                .iter()
                .map(|change| state.apply(change, now, lease.epoch));
            verdicts.collect()
        })
    }

    fn task(&self, id: TaskId) -> Result<Option<TaskRow>, Error> {
        self.read(|state| state.row(id))
    }

    fn load(&self, id: TaskId) -> Result<Option<(TaskRow, Option<StoredSnapshot>)>, Error> {
        self.read(|state| {
            let snapshot = state.tasks.get(&id)?.snapshot.clone();
            Some((state.row(id)?, snapshot))
        })
    }

    fn named(&self, tenant: TenantId, name: &str) -> Result<Option<TaskId>, Error> {
        self.read(|state| state.named(tenant, name))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<TaskRow>, Error> {
        self.read(|state| state.list(filter))
    }

    fn due(
        &self,
        after: Option<Due>,
        until: MonotonicTime,
        limit: usize,
    ) -> Result<Vec<Due>, Error> {
        self.read(|state| {
            let later = |due: &Due| after.is_none_or(|after| *due > after) && due.at <= until;
            let dues = state.dues().into_iter().filter(later);
            dues.take(limit).collect()
        })
    }

    fn walled(&self, after: TaskId, limit: usize) -> Result<Vec<TaskId>, Error> {
        self.read(|state| {
            let walled = state.tasks.iter().filter(|(_, task)| task.wall.is_some());
            let ids = walled.map(|(id, _)| *id).filter(|id| *id > after);
            ids.take(limit).collect()
        })
    }

    fn due_counts(
        &self,
        tenant: Option<TenantId>,
        from: MonotonicTime,
        span: Duration,
        count: usize,
    ) -> Result<Vec<u64>, Error> {
        self.read(|state| {
            let starts = (0..count as u32).map(|n| from.saturating_add(span * n));
            let within = |start: MonotonicTime| {
                let end = start.saturating_add(span);
                let of_tenant = |due: &Due| {
                    let of = state.tasks.get(&due.id).map(|task| task.tenant);
                    tenant.is_none() || tenant == of
                };
                let dues = state.dues().into_iter().filter(of_tenant);
                dues.filter(|due| due.at >= start && due.at < end).count() as u64
            };
            starts.map(within).collect()
        })
    }

    fn counts(&self, tenant: Option<TenantId>) -> Result<Vec<(TaskState, u64)>, Error> {
        self.read(|state| {
            let mut counts = BTreeMap::new();
            let mut tasks: Vec<_> = state.tasks.values().collect();
            tasks.retain(|task| tenant.is_none_or(|tenant| task.tenant == tenant));
            for task in tasks {
                *counts.entry(task.state).or_default() += 1;
            }
            counts.into_iter().collect()
        })
    }

    fn last_id(&self) -> Result<TaskId, Error> {
        self.read(|state| TaskId(state.last_task))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        self.read(|state| state.blobs.get(digest).map(|blob| blob.bytes.clone()))
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.read(|state| state.blobs.contains_key(digest))
    }

    fn prune(&self, lease: &Lease, now: &Stamp, before: MonotonicTime) -> Result<u64, Error> {
        self.change(lease, now, |state| Ok(state.prune(before)))
    }

    fn chunk(&self, pack: u64, number: u32) -> Result<Option<Vec<u8>>, Error> {
        self.read(|state| state.chunks.get(&(pack, number)).cloned())
    }

    fn last_pack(&self) -> Result<u64, Error> {
        self.read(|state| {
            let chunks = state.chunks.keys().map(|(pack, _)| *pack);
            let all = chunks
                .chain(state.dead.iter().copied())
                .chain(state.named_packs());
            all.max().unwrap_or(0)
        })
    }

    fn sweep(&self, lease: &Lease, now: &Stamp, most: usize) -> Result<bool, Error> {
        if self.state.lock().dead.is_empty() {
            return Ok(false);
        }
        self.change(lease, now, |state| Ok(state.sweep(most)))
    }

    fn finished(&self, before: MonotonicTime, limit: usize) -> Result<Vec<(TaskId, u64)>, Error> {
        self.read(|state| {
            let over = state.tasks.iter().filter_map(|(id, task)| {
                let ended = task.ended.filter(|ended| *ended < before)?;
                Some((ended, *id, task.version))
            });
            let mut over: Vec<_> = over.collect();
            over.sort();
            let over = over.into_iter().take(limit);
            over.map(|(_, id, version)| (id, version)).collect()
        })
    }

    fn output(
        &self,
        id: TaskId,
        first_piece: u64,
        max_bytes: u64,
    ) -> Result<Vec<StoredPiece>, Error> {
        self.read(|state| state.pieces(id, first_piece, max_bytes))
    }

    fn move_record(&self, id: MoveId) -> Result<Option<MoveRecord>, Error> {
        self.read(|state| state.moves.get(&id.0).cloned())
    }

    fn open_moves(&self) -> Result<Vec<MoveRecord>, Error> {
        self.read(|state| state.open_moves().cloned().collect())
    }

    fn open_moves_of(&self, task: TaskId) -> Result<Vec<MoveRecord>, Error> {
        self.read(|state| {
            let moves = state.open_moves().filter(|record| record.task == task);
            moves.cloned().collect()
        })
    }

    fn shrink(&self, _patience: Duration) -> Result<bool, Error> {
        Ok(false)
    }

    fn sizes(&self) -> Result<Sizes, Error> {
        self.read(|state| {
            let blobs = state.blobs.values();
            let bytes = blobs.map(|blob| blob.bytes.len() as u64 + state.pack_bytes(blob.pack));
            Sizes {
                disk: 0,
                blobs: state.blobs.len() as u64,
                blob_bytes: bytes.sum(),
            }
        })
    }
}
