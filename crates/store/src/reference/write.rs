//! What changes the maps.

use std::collections::BTreeSet;

use super::{Blob, State, Task};
use crate::change::{Change, Insert, MoveChange, SnapshotChange, Update, Verdict};
use crate::error::Error;
use crate::model::{MonotonicTime, TaskId, TaskState};
use crate::moves::RecordChange;
use crate::store::Stamp;
use crate::task::{OutputPiece, StoredSnapshot};

impl State {
    /// Applies a change by a node.
    pub(super) fn apply(
        &mut self,
        change: &Change,
        now: &Stamp,
        node: u64,
    ) -> Result<Verdict, Error> {
        match change {
            Change::Insert(insert) => return self.insert(insert, now, node),
            Change::Update(update) => return self.update(update, now, node),
            Change::Remove { id, expected } => return Ok(self.remove(*id, *expected, node)),
            Change::Move(step) => return self.move_step(step, now, node),
            Change::Blob {
                digest,
                bytes,
                pack,
            } => {
                let blob = self.blobs.entry(*digest).or_insert_with(|| Blob {
                    put: now.now,
                    bytes: bytes.clone(),
                    pack: *pack,
                });
                blob.put = now.now;
            }
            Change::Chunk {
                pack,
                number,
                bytes,
            } => {
                self.chunks.insert((*pack, *number), bytes.to_vec());
            }
            Change::DropPack { pack } => {
                self.dead.insert(*pack);
            }
            Change::Shift => {
                for task in self.tasks.values_mut() {
                    if let Some(when) = task.wall {
                        task.due = stored(when.at(now.ahead));
                    }
                }
            }
        }
        Ok(Verdict::Done)
    }

    fn insert(&mut self, insert: &Insert, now: &Stamp, node: u64) -> Result<Verdict, Error> {
        self.last_task = self.last_task.max(insert.id.0);
        if !self.blobs.contains_key(&insert.module) {
            return Ok(Verdict::Conflict);
        }
        self.check_base(insert.snapshot.as_ref())?;
        if self.tasks.contains_key(&insert.id) {
            return Ok(Verdict::NameTaken);
        }
        let name = insert.name.as_deref();
        let holder = name.and_then(|name| self.named(insert.tenant, name));
        if let Some(holder) = holder.and_then(|id| self.tasks.get_mut(&id)) {
            if holder.state != TaskState::Moved {
                return Ok(Verdict::NameTaken);
            }
            holder.name = None;
        }
        let task = Task {
            version: 1,
            state: insert.state,
            due: stored(insert.due.at(now.ahead)),
            wall: insert.due.wall.map(|_| insert.due),
            name: insert.name.clone(),
            module: insert.module,
            ended: insert.state.is_final().then_some(now.now),
            spec: insert.spec.clone(),
            status: insert.status.clone(),
            snapshot: insert.snapshot.clone(),
            log_next: 0,
            owner: if insert.held { node } else { 0 },
            given: false,
            home: self.home(node),
            tenant: insert.tenant,
            class: insert.class,
        };
        self.tasks.insert(insert.id, task);
        Ok(Verdict::Done)
    }

    fn home(&self, node: u64) -> String {
        let node = self.nodes.get(&node);
        node.map_or_else(String::new, |node| node.name.clone())
    }

    fn check_base(&self, snapshot: Option<&StoredSnapshot>) -> Result<(), Error> {
        match snapshot.and_then(|snapshot| snapshot.base) {
            Some(base) if !self.blobs.contains_key(&base) => {
                Err(Error::Database("a base is not there".into()))
            }
            _ => Ok(()),
        }
    }

    fn update(&mut self, update: &Update, now: &Stamp, node: u64) -> Result<Verdict, Error> {
        if let SnapshotChange::Set(snapshot) = &update.snapshot {
            self.check_base(Some(snapshot))?;
        }
        let home = self.home(node);
        let target = update.target.and_then(|target| self.nodes.get(&target));
        let target_home = target.map(|node| node.name.clone());
        let task = self.tasks.get_mut(&update.id);
        let Some(task) = task.filter(|task| task.may_change(update.expected, node)) else {
            return Ok(Verdict::Conflict);
        };
        task.owner = if update.held { node } else { 0 };
        task.home = home;
        task.given = false;
        if let Some(target) = update.target {
            task.owner = 0;
            if let Some(home) = target_home {
                task.owner = if update.held { target } else { 0 };
                task.given = update.held;
                task.home = home;
            }
        }
        task.version += 1;
        task.state = update.state;
        task.due = stored(update.due.at(now.ahead));
        task.wall = update.due.wall.map(|_| update.due);
        task.ended = update.state.is_final().then_some(now.now);
        task.status = update.status.clone();
        if let Some(spec) = &update.spec {
            task.spec = spec.clone();
        }
        let before = task.snapshot.as_ref().and_then(|snapshot| snapshot.pack);
        match &update.snapshot {
            SnapshotChange::Keep => {}
            SnapshotChange::Clear => task.snapshot = None,
            SnapshotChange::Set(snapshot) => task.snapshot = Some(snapshot.clone()),
        }
        let after = task.snapshot.as_ref().and_then(|snapshot| snapshot.pack);
        if before != after {
            self.dead.extend(before);
        }
        self.append(update.id, &update.output);
        if !update.output.is_empty() {
            self.rotate(update.id, update.output_limit);
        }
        Ok(Verdict::Done)
    }

    fn append(&mut self, id: TaskId, output: &[OutputPiece]) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        for piece in output {
            self.output.insert((id, task.log_next), piece.clone());
            task.log_next += 1;
        }
    }

    /// Drops the oldest pieces of output until no more than this many bytes are left.
    fn rotate(&mut self, id: TaskId, limit: u64) {
        let of_task = |state: &Self| {
            let pieces = state.output.range((id, 0)..=(id, u64::MAX));
            pieces
                .map(|(key, piece)| (*key, piece.bytes.len() as u64))
                .collect::<Vec<_>>()
        };
        let pieces = of_task(self);
        let mut left: u64 = pieces.iter().map(|(_, size)| size).sum();
        for (key, size) in pieces {
            if left <= limit {
                break;
            }
            self.output.remove(&key);
            left -= size;
        }
    }

    fn remove(&mut self, id: TaskId, expected: u64, node: u64) -> Verdict {
        let task = self.tasks.get(&id);
        if !task.is_some_and(|task| task.may_change(expected, node)) {
            return Verdict::Conflict;
        }
        let task = self.tasks.remove(&id);
        let snapshot = task.and_then(|task| task.snapshot);
        self.dead
            .extend(snapshot.and_then(|snapshot| snapshot.pack));
        self.output.retain(|(task, _), _| *task != id);
        Verdict::Done
    }

    fn move_step(&mut self, step: &MoveChange, now: &Stamp, node: u64) -> Result<Verdict, Error> {
        let mut changed = None;
        if let Some(change) = step.change.as_deref() {
            match self.apply(change, now, node)? {
                Verdict::Done => {}
                refused => return Ok(refused),
            }
            changed = match change {
                Change::Insert(insert) => Some(insert.id),
                Change::Update(update) => Some(update.id),
                _ => None,
            };
        }
        if let Some(id) = changed {
            if step.clear_output {
                self.output.retain(|(task, _), _| *task != id);
            }
            self.append(id, &step.output);
        }
        match &step.record {
            RecordChange::Put(record) => {
                self.moves.insert(record.id.0, record.clone());
            }
            RecordChange::Forget(id) => {
                self.moves.remove(&id.0);
            }
        }
        Ok(Verdict::Done)
    }

    pub(super) fn prune(&mut self, before: MonotonicTime) -> u64 {
        let tasks = self.tasks.values();
        let bases = tasks
            .clone()
            .filter_map(|task| task.snapshot.as_ref()?.base);
        let used: BTreeSet<_> = tasks.map(|task| task.module).chain(bases).collect();
        let all = self.blobs.len();
        let dead = &mut self.dead;
        self.blobs.retain(|digest, blob| {
            let stays = blob.put >= before || used.contains(digest);
            if !stays {
                dead.extend(blob.pack);
            }
            stays
        });
        (all - self.blobs.len()) as u64
    }

    /// Removes some chunks of a dead pack; says whether there was one.
    pub(super) fn sweep(&mut self, most: usize) -> bool {
        let Some(pack) = self.dead.first().copied() else {
            return false;
        };
        let chunks = self.chunks.range((pack, 0)..=(pack, u32::MAX));
        let gone: Vec<_> = chunks.map(|(key, _)| *key).take(most).collect();
        for key in &gone {
            self.chunks.remove(key);
        }
        if gone.len() < most {
            self.dead.remove(&pack);
        }
        true
    }

    /// The chunks that nothing names are to be removed: whoever stored them has died before.
    pub(super) fn forget_lost_chunks(&mut self) {
        let named: BTreeSet<u64> = self.named_packs().collect();
        let packs = self.chunks.keys().map(|(pack, _)| *pack);
        let lost: Vec<u64> = packs.filter(|pack| !named.contains(pack)).collect();
        self.dead.extend(lost);
    }
}

impl Task {
    /// Whether a node may change it that has seen this version.
    fn may_change(&self, version: u64, node: u64) -> bool {
        self.version == version && [0, node].contains(&self.owner)
    }
}

/// A store's times end at 2^63 nanoseconds.
fn stored(due: Option<MonotonicTime>) -> Option<MonotonicTime> {
    due.map(|due| due.min(MonotonicTime::from_nanos(i64::MAX as u64)))
}
