//! Memory for making or reading snapshots: it is reserved, and bounded.

use std::sync::Arc;

use crate::memory::MemoryBudget;

impl MemoryBudget {
    /// Reserves memory for making or reading a snapshot. Blocks the thread while other reservations
    /// have too much.
    pub(crate) fn reserve_for_snapshot(self: &Arc<Self>, bytes: u64) -> SnapshotReservation {
        let bytes = bytes.min(self.parts.snapshot_limit());
        let mut state = self.state();
        while state.snapshot_bytes > 0 && state.snapshot_bytes + bytes > self.parts.snapshot_limit()
        {
            self.changed.wait(&mut state);
        }
        state.snapshot_bytes += bytes;
        drop(state);
        let budget = self.clone();
        SnapshotReservation { budget, bytes }
    }
}

/// Memory that is reserved for a snapshot until this is dropped.
pub(crate) struct SnapshotReservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Drop for SnapshotReservation {
    fn drop(&mut self) {
        self.budget.state().snapshot_bytes -= self.bytes;
        self.budget.changed.notify_all();
    }
}
