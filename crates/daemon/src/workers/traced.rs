//! What a collector is told of a task's run, where it is told anything.

use std::sync::Arc;
use std::time::SystemTime;

use crate::model::{TaskSpec, TraceContext};
use crate::spec::Submitted as _;
use crate::store::{Store, TaskRow};
use crate::stored::status::Status;
use crate::telemetry::{LineLog, RunBegins, RunSpan, RunTimes, TaskLabels};
use crate::workers::messages::ClaimedTask;
use crate::workers::worker::Worker;

/// A run that is told of.
#[derive(Default)]
pub(crate) struct TracedRun {
    /// What belongs to the run: its guest's lines and requests.
    pub(crate) context: Option<TraceContext>,
    /// `None` where the task's trace is not recorded.
    pub(crate) span: Option<Box<RunSpan>>,
    /// The lines that the guest writes, where they are told.
    pub(crate) lines: Option<LineLog>,
}

impl Worker {
    /// When a run begins that may be told of.
    pub(super) fn traced_from(&self, claimed: Option<&ClaimedTask>) -> Option<RunTimes> {
        self.options.telemetry.as_ref().map(|_| RunTimes {
            began: SystemTime::now(),
            claim: claimed.map(|claimed| (claimed.asked, claimed.answered)),
        })
    }

    /// A run begins, which nobody is told of before it is said to be loaded.
    pub(super) fn traced(
        &self,
        row: &TaskRow,
        spec: &TaskSpec,
        status: &mut Status,
        is_start: bool,
        times: RunTimes,
    ) -> Option<TracedRun> {
        let telemetry = self.options.telemetry.as_ref()?;
        let labels = Arc::new(TaskLabels {
            id: row.id,
            name: row.name.as_deref().map(Arc::from),
            tenant: telemetry.tenant(row.tenant, || tenant_name(&*self.store, row)),
        });
        let begins = RunBegins {
            number: status.runs + u64::from(is_start),
            is_start,
            engine: spec.engine_or(self.options.engine).name(),
            times,
        };
        let (context, span) = RunSpan::begin(telemetry, &labels, &mut status.trace, begins);
        let lines = LineLog::of(telemetry, &labels, context);
        Some(TracedRun {
            context,
            span,
            lines,
        })
    }
}

/// The name of a task's tenant.
fn tenant_name(store: &dyn Store, row: &TaskRow) -> Option<String> {
    let tenants = store.tenants().ok()?;
    let found = tenants.into_iter().find(|tenant| tenant.id == row.tenant);
    found.map(|tenant| tenant.name)
}
