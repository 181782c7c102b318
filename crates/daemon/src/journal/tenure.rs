//! The lease under which this daemon changes the store.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::store::{Error, Lease, Stamp, Store};

/// The right to change the store. On a full disk the lease cannot be stored at once. The lock on
/// the store's file holds already then, and the lease is taken before the first change.
pub(crate) struct Tenure {
    store: Arc<dyn Store>,
    holder: String,
    lasts: Duration,
    lease: Mutex<Option<Lease>>,
    /// Each commit renews the lease, and so does the journal while there is none. Where several nodes
    /// share the store, leases are renewed elsewhere.
    pub(crate) renews: bool,
}

impl Tenure {
    /// Takes the store over.
    ///
    /// # Errors
    /// If somebody else has it, or it cannot be used, and not only for now.
    pub(crate) fn claim(
        store: Arc<dyn Store>,
        holder: String,
        now: &Stamp,
        lasts: Duration,
    ) -> Result<Self, Error> {
        let tenure = Self {
            store,
            holder,
            lasts,
            lease: Mutex::default(),
            renews: true,
        };
        match tenure.lease(now) {
            Err(error) if error.passes() => {
                log::warn!(
                    "{error}: tasks can be looked at, and nothing can be changed until that is over"
                );
            }
            claimed => drop(claimed?),
        }
        Ok(tenure)
    }

    /// Works under the lease of a node.
    pub(crate) fn of_node(store: Arc<dyn Store>, lease: Lease) -> Self {
        Self {
            store,
            holder: String::new(),
            lasts: lease.lasts,
            lease: Mutex::new(Some(lease)),
            renews: false,
        }
    }

    pub(crate) fn lease(&self, now: &Stamp) -> Result<Lease, Error> {
        let mut lease = self.lease.lock();
        if let Some(lease) = *lease {
            return Ok(lease);
        }
        let claimed = self.store.claim(&self.holder, now, self.lasts)?;
        Ok(*lease.insert(claimed))
    }
}
