//! How many more tasks a tenant may have, where connections become tasks.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::model::TenantId;
use crate::store::{Error, Store};
use crate::stored::tenant_rules::TenantRules;

/// What the store has said of quotas is believed for so long.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// The tenants with a quota of tasks.
#[derive(Default)]
pub(crate) struct TaskQuotas {
    known: Mutex<Option<Known>>,
}

/// What the store has said, and when.
struct Known {
    at: Instant,
    quotas: Vec<(TenantId, u64)>,
}

impl TaskQuotas {
    /// How many more tasks a tenant may have.
    pub(super) fn places(&self, store: &dyn Store, tenant: TenantId) -> Result<usize, Error> {
        let Some(most) = self.of(store, tenant)? else {
            return Ok(usize::MAX);
        };
        let has = store.usage(tenant)?.tasks;
        Ok(usize::try_from(most.saturating_sub(has)).unwrap_or(usize::MAX))
    }

    fn of(&self, store: &dyn Store, tenant: TenantId) -> Result<Option<u64>, Error> {
        let mut known = self.known.lock();
        let is_old = |known: &Known| known.at.elapsed() >= BELIEVED_FOR;
        if known.as_ref().is_none_or(is_old) {
            let rows = store.tenants()?.into_iter();
            let quotas = rows.filter_map(|row| {
                // What cannot be read lets nothing in, so that it is seen.
                let most = TenantRules::read(&row.details).map_or(Some(0), |rules| rules.tasks);
                most.map(|most| (row.id, most))
            });
            *known = Some(Known {
                at: Instant::now(),
                quotas: quotas.collect(),
            });
        }
        let mut quotas = known.iter().flat_map(|known| &known.quotas);
        let found = quotas.find(|(id, _)| *id == tenant);
        Ok(found.map(|(_, most)| *most))
    }
}
