//! Snapshots that are being made: what they take is counted, and only so many are made at once.

use std::sync::{Arc, PoisonError};

use super::Budget;

impl Budget {
    /// Room for a snapshot that is being made, or undone. Where there is none, it is waited for: the others end.
    pub(in super::super) fn making(self: &Arc<Self>, bytes: u64) -> Making {
        let bytes = bytes.min(self.parts.making());
        let mut state = self.state();
        while state.making > 0 && state.making + bytes > self.parts.making() {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.making += bytes;
        drop(state);
        let budget = self.clone();
        Making { budget, bytes }
    }
}

/// A snapshot that is being made.
pub(in super::super) struct Making {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.budget.state().making -= self.bytes;
        self.budget.changed.notify_all();
    }
}
