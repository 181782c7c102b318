//! Why moves are still open.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};

use crate::model::MoveId;

/// Why moves are still open, as it was found the last time.
#[derive(Default)]
pub(super) struct WhyOpen(Mutex<HashMap<MoveId, String>>);

impl WhyOpen {
    fn all(&self) -> MutexGuard<'_, HashMap<MoveId, String>> {
        self.0.lock()
    }

    /// Notes why a move is still open.
    pub(super) fn note(&self, id: MoveId, why: String) {
        self.all().insert(id, why);
    }

    /// Forgets why a move was open: it is so no longer, or for another reason.
    pub(super) fn forget(&self, id: MoveId) {
        self.all().remove(&id);
    }

    /// Why a move is open, where that is known.
    pub(super) fn of(&self, id: MoveId) -> Option<String> {
        self.all().get(&id).cloned()
    }
}
