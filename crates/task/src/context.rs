//! What a task has beside its instance and its WASI state: clock, limits, what it has used of them.

use std::sync::Arc;

use super::gate::Gate;
use super::handle::TaskHandle;
use super::meter::Meter;
use crate::engine::MemoryGovernor;
use crate::model::clock::{Clock, Marks, Steady, SystemClock, passed_since};
use crate::model::{Limits, MonotonicTime, Timestamp};
use crate::snapshot::UsageV1;

/// A [`MemoryGovernor`], or none, as a field of types that implement `Debug`.
#[derive(Clone, Default)]
pub struct OptionalGovernor(pub Option<Arc<dyn MemoryGovernor>>);

impl std::fmt::Debug for OptionalGovernor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OptionalGovernor").finish_non_exhaustive()
    }
}

/// What a task has beside its instance, be it new or resumed.
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) handle: TaskHandle,
    pub(super) usage: UsageV1,
    /// When `usage` was saved, by the clock `age`.
    pub(super) as_of: MonotonicTime,
    /// Goes on from the wall clock's time when the task was first started, and is never set.
    pub(super) age: Steady,
    pub(super) governor: OptionalGovernor,
    /// What the guest does outside of itself waits until this is open.
    pub(super) gate: Option<Arc<Gate>>,
}

impl Context {
    pub(super) fn new(
        clock: Option<Arc<dyn Clock>>,
        limits: Limits,
        handle: TaskHandle,
        usage: Option<(UsageV1, Timestamp)>,
        governor: OptionalGovernor,
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
            None => (MonotonicTime::beginning_as(written), Marks::default()),
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
            governor,
            gate: None,
        }
    }

    /// What counts the task's CPU time, and continues from what it has used.
    pub(super) fn meter(&self) -> Meter {
        let (age, handle) = (self.age.clone(), self.handle.clone());
        Meter::new(self.limits, age, handle, &self.usage, self.as_of)
    }
}
