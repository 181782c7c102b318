//! What a task has around its instance.

use std::sync::Arc;

use super::TaskHandle;
use crate::clock::{Clock, SystemClock};
use crate::model::Limits;
use crate::snapshot::UsageV1;

/// What a task has around it, be it new or resumed.
pub(super) struct Around {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) handle: TaskHandle,
    pub(super) usage: UsageV1,
    /// When that was written down, in nanoseconds since the Unix epoch.
    pub(super) as_of: u64,
}

impl Around {
    pub(super) fn new(
        clock: Option<Arc<dyn Clock>>,
        limits: Limits,
        handle: TaskHandle,
        usage: Option<(UsageV1, u64)>,
    ) -> Self {
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let (usage, as_of) = usage.unwrap_or_else(|| {
            let started = clock.realtime();
            let new = UsageV1 {
                started,
                ..UsageV1::default()
            };
            (new, started)
        });
        Self {
            limits,
            handle,
            usage,
            as_of,
            clock,
        }
    }
}
