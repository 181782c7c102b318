//! What is read from the maps.

use super::State;
use crate::model::{TaskId, TenantId};
use crate::moves::{MovePhase, MoveRecord};
use crate::store::{Due, Filter};
use crate::task::{StoredPiece, TaskRow};

impl State {
    pub(super) fn row(&self, id: TaskId) -> Option<TaskRow> {
        let task = self.tasks.get(&id)?;
        let pieces = self.output.range((id, 0)..=(id, u64::MAX));
        Some(TaskRow {
            id,
            version: task.version,
            state: task.state,
            due: task.due,
            name: task.name.clone(),
            module: task.module,
            spec: task.spec.clone(),
            status: task.status.clone(),
            log_bytes: pieces.map(|(_, piece)| piece.bytes.len() as u64).sum(),
            snapshot_bytes: self.snapshot_bytes(id),
            tenant: task.tenant,
            class: task.class,
            damage: None,
        })
    }

    /// The bytes of a task's snapshot, and those of its base where that is in chunks.
    fn snapshot_bytes(&self, id: TaskId) -> u64 {
        let snapshot = self.tasks.get(&id).and_then(|task| task.snapshot.as_ref());
        let Some(snapshot) = snapshot else { return 0 };
        let base = snapshot.base.and_then(|base| self.blobs.get(&base));
        let base = base.filter(|base| base.pack.is_some());
        let base = base.map_or(0, |base| {
            base.bytes.len() as u64 + self.pack_bytes(base.pack)
        });
        snapshot.bytes.len() as u64 + self.pack_bytes(snapshot.pack) + base
    }

    pub(super) fn pack_bytes(&self, pack: Option<u64>) -> u64 {
        let Some(pack) = pack else { return 0 };
        let chunks = self.chunks.range((pack, 0)..=(pack, u32::MAX));
        chunks.map(|(_, bytes)| bytes.len() as u64).sum()
    }

    pub(super) fn named(&self, tenant: TenantId, name: &str) -> Option<TaskId> {
        let named = |(_, task): &(_, &super::Task)| {
            task.tenant == tenant && task.name.as_deref() == Some(name)
        };
        self.tasks.iter().find(named).map(|(id, _)| *id)
    }

    pub(super) fn list(&self, filter: &Filter) -> Vec<TaskRow> {
        let (mut found, mut spec_bytes) = (Vec::new(), 0);
        for (id, task) in self.tasks.iter().rev() {
            let name = task.name.as_deref();
            let wanted = filter.before.is_none_or(|before| *id < before)
                && filter.tenant.is_none_or(|tenant| task.tenant == tenant)
                && (filter.states.is_empty() || filter.states.contains(&task.state))
                && filter.name.as_deref().is_none_or(|pattern| {
                    name.is_some_and(|name| is_like(name.as_bytes(), pattern.as_bytes()))
                });
            if !wanted {
                continue;
            }
            if found.len() == filter.limit {
                break;
            }
            spec_bytes += task.spec.len();
            found.extend(self.row(*id));
            if filter.spec_bytes.is_some_and(|most| spec_bytes >= most) {
                break;
            }
        }
        found
    }

    pub(super) fn dues(&self) -> Vec<Due> {
        let tasks = self.tasks.iter();
        let dues = tasks.filter_map(|(id, task)| task.due.map(|at| Due { at, id: *id }));
        let mut dues: Vec<Due> = dues.collect();
        dues.sort();
        dues
    }

    pub(super) fn pieces(&self, id: TaskId, first: u64, max_bytes: u64) -> Vec<StoredPiece> {
        let (mut found, mut size) = (Vec::new(), 0);
        for ((_, sequence), piece) in self.output.range((id, first)..=(id, u64::MAX)) {
            size += piece.bytes.len() as u64;
            if size > max_bytes && !found.is_empty() {
                break;
            }
            found.push(StoredPiece {
                sequence: *sequence,
                piece: piece.clone(),
            });
        }
        found
    }

    pub(super) fn open_moves(&self) -> impl Iterator<Item = &MoveRecord> {
        let moves = self.moves.values();
        moves.filter(|record| record.phase != MovePhase::Accepted)
    }

    /// The packs that a task or a blob names.
    pub(super) fn named_packs(&self) -> impl Iterator<Item = u64> {
        let snapshots = self
            .tasks
            .values()
            .filter_map(|task| task.snapshot.as_ref());
        let packs = snapshots.filter_map(|snapshot| snapshot.pack);
        packs.chain(self.blobs.values().filter_map(|blob| blob.pack))
    }
}

/// Whether a name is like a pattern, in which `*` stands for any characters and `?` for one.
fn is_like(name: &[u8], pattern: &[u8]) -> bool {
    match (name.split_first(), pattern.split_first()) {
        (None, None) => true,
        (_, Some((b'*', rest))) => {
            is_like(name, rest) || !name.is_empty() && is_like(&name[1..], pattern)
        }
        (Some((one, name)), Some((wanted, rest))) => {
            (*wanted == b'?' || one == wanted) && is_like(name, rest)
        }
        _ => false,
    }
}
