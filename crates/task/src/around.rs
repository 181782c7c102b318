//! What a task has around its instance.

use std::sync::Arc;

use super::TaskHandle;
use crate::engine::Growth;
use crate::model::Limits;
use crate::model::clock::{Clock, Marks, Steady, SystemClock, passed_since};
use crate::snapshot::UsageV1;

/// Who has the memory that a guest grows into.
#[derive(Clone, Default)]
pub struct Growing(pub Option<Arc<dyn Growth>>);

impl std::fmt::Debug for Growing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Growing").finish_non_exhaustive()
    }
}

/// What a task has around it, be it new or resumed.
pub(super) struct Around {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) handle: TaskHandle,
    pub(super) usage: UsageV1,
    /// When that was written down, by the clock `age`.
    pub(super) as_of: u64,
    /// Goes on from the wall clock's time when the task was first started, and is never set.
    pub(super) age: Steady,
    pub(super) growth: Growing,
}

impl Around {
    pub(super) fn new(
        clock: Option<Arc<dyn Clock>>,
        limits: Limits,
        handle: TaskHandle,
        usage: Option<(UsageV1, u64)>,
        growth: Growing,
    ) -> Self {
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let (usage, written) = usage.unwrap_or_else(|| {
            let started = clock.realtime();
            let new = UsageV1 {
                started,
                ..UsageV1::default()
            };
            (new, started)
        });
        let (as_of, marks) = match usage.as_of {
            Some(as_of) => (as_of.at, as_of.marks),
            None => (written, Marks::default()),
        };
        let asleep = passed_since(written, marks, &*clock);
        let age = Steady::new(clock.clone(), as_of.saturating_add(asleep));
        Self {
            age,
            limits,
            handle,
            usage,
            as_of,
            clock,
            growth,
        }
    }
}
