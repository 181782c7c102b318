//! The spans of a submission and of a move, where a collector is told of them.

use super::{Daemon, blocking};
use crate::model::{TenantId, TraceContext};
use crate::telemetry::{MoveTold, Submission};

impl Daemon {
    /// Tells of a move that was committed.
    pub(crate) async fn tell_move(&self, told: MoveTold) {
        let Some(telemetry) = self.shared.options.telemetry.clone() else {
            return;
        };
        if let Ok(info) = self.task(told.task).await
            && let Some(carried) = info.status.trace
        {
            telemetry.moved(carried, told);
        }
    }

    /// A submission begins, for whoever has the context `parent`, of a snapshot that carries another
    /// one.
    pub(super) async fn traced_submission(
        &self,
        tenant: TenantId,
        parent: Option<TraceContext>,
        carried: Option<TraceContext>,
    ) -> Option<Submission> {
        let telemetry = self.shared.options.telemetry.clone()?;
        let store = self.shared.store.clone();
        let find = move || {
            let tenants = store.tenants().ok()?;
            let found = tenants.into_iter().find(|known| known.id == tenant);
            found.map(|tenant| tenant.name)
        };
        let name = match telemetry.known_tenant(tenant) {
            Some(name) => name,
            None => {
                let telemetry = telemetry.clone();
                let looked_up = blocking(move || Ok(telemetry.tenant(tenant, find)));
                looked_up.await.ok()?
            }
        };
        Submission::begin(&telemetry, name, parent, carried)
    }
}
