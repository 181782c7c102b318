//! Whose tasks are, for fair turns. Only tasks of tenants other than the default one are kept here,
//! so that nothing is kept where nobody made tenants.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::model::{TaskId, TenantId};

/// The tenants of tasks.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    known: Mutex<HashMap<TaskId, TenantId>>,
    /// How many there are, so that it is cheap that there are none.
    count: AtomicUsize,
}

impl Owners {
    /// Notes whose a task is.
    pub(crate) fn add(&self, id: TaskId, tenant: TenantId) {
        if tenant != TenantId::DEFAULT {
            let mut known = self.known.lock();
            known.insert(id, tenant);
            self.count.store(known.len(), Ordering::Relaxed);
        }
    }

    /// Forgets a task that has gone.
    pub(crate) fn remove(&self, id: TaskId) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut known = self.known.lock();
            known.remove(&id);
            self.count.store(known.len(), Ordering::Relaxed);
        }
    }

    /// Whose turn it is when a task runs. A task of which nobody has said it counts as the default
    /// tenant's.
    pub(crate) fn of(&self, id: TaskId) -> TenantId {
        match self.count.load(Ordering::Relaxed) {
            0 => TenantId::DEFAULT,
            _ => self.known.lock().get(&id).copied().unwrap_or_default(),
        }
    }
}
