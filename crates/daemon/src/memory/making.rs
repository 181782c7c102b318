//! Snapshots that are being made: the memory for them is counted and bounded.

use std::sync::{Arc, PoisonError};

use crate::memory::MemoryBudget;

impl MemoryBudget {
    /// Takes room for a snapshot that is being made or read. Where there is none, waits until
    /// others have ended.
    pub(crate) fn making(self: &Arc<Self>, bytes: u64) -> SnapshotMemory {
        let bytes = bytes.min(self.parts.making());
        let mut state = self.state();
        while state.making > 0 && state.making + bytes > self.parts.making() {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.making += bytes;
        drop(state);
        let budget = self.clone();
        SnapshotMemory { budget, bytes }
    }
}

/// Room for a snapshot, given back when this is dropped.
pub(crate) struct SnapshotMemory {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Drop for SnapshotMemory {
    fn drop(&mut self) {
        self.budget.state().making -= self.bytes;
        self.budget.changed.notify_all();
    }
}
