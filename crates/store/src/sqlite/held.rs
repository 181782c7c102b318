//! Which tasks the node has: SQLite has one node, so that it need not be stored.

use std::collections::BTreeSet;

use crate::change::{Change, Verdict};
use crate::model::TaskId;

/// The tasks that the node has.
#[derive(Default)]
pub(super) struct Held(BTreeSet<TaskId>);

impl Held {
    /// Notes what a batch has made of the tasks.
    pub(super) fn note(&mut self, changes: &[Change], verdicts: &[Verdict]) {
        for (change, verdict) in changes.iter().zip(verdicts) {
            if *verdict == Verdict::Done {
                self.note_one(change);
            }
        }
    }

    fn note_one(&mut self, change: &Change) {
        let (id, held) = match change {
            Change::Insert(insert) => (insert.id, insert.held),
            Change::Update(update) => (update.id, update.held),
            Change::Remove { id, .. } => (*id, false),
            Change::Move(step) => {
                return step.change.iter().for_each(|change| self.note_one(change));
            }
            Change::Blob { .. }
            | Change::Chunk { .. }
            | Change::DropPack { .. }
            | Change::Shift => return,
        };
        match held {
            true => self.0.insert(id),
            false => self.0.remove(&id),
        };
    }

    pub(super) fn contains(&self, id: TaskId) -> bool {
        self.0.contains(&id)
    }

    /// Forgets a task; says whether the node had it.
    pub(super) fn remove(&mut self, id: TaskId) -> bool {
        self.0.remove(&id)
    }

    pub(super) fn extend(&mut self, ids: impl Iterator<Item = TaskId>) {
        self.0.extend(ids);
    }

    pub(super) fn all(&self) -> Vec<TaskId> {
        self.0.iter().copied().collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
