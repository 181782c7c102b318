//! What a task has reached of its limits, and what is left.

use std::time::Duration;

use super::error::TaskError;
use super::meter;
use super::task::Task;
use crate::engine::EngineKind;
use crate::model::error::Error;
use crate::model::{Limit, Reached};
use crate::snapshot::UsageV1;
use crate::wasi;

impl Task {
    /// The limit that the task has reached: it is to be suspended, and continues with a higher one.
    pub fn reached(&self) -> Option<Reached> {
        self.meter.reached()
    }

    /// The last limit by which a call of the guest was refused: of memory, tables, descriptors, or
    /// the space in a directory in memory. If the engine does not report refusals, the limit of
    /// memory that a memory has come near to.
    pub fn last_refused_limit(&mut self) -> Option<Reached> {
        let refused = self
            .instance
            .last_refused()
            .or_else(|| self.host.lock().wasi.last_refusal());
        if refused.is_some() || self.kind != EngineKind::WasmEdge {
            return refused;
        }
        let limit = self.meter.limits().get(Limit::Memory)?;
        let sizes = (0..self.program.shape().memories).filter_map(|index| {
            self.instance
                .guest_memory(index)
                .ok()
                .map(|m| m.len() as u64)
        });
        let most = sizes.max().filter(|size| *size > limit / 2)?;
        Some(self.meter.limits().reached(Limit::Memory).with(most))
    }

    /// How long it is until the limit of time is reached.
    pub fn time_left(&self) -> Option<Duration> {
        // Beyond it by a millisecond: it is reached then.
        let left = self.meter.time_left()?;
        Some(left + Duration::from_millis(1))
    }

    /// Whether a task that has just been resumed has used up a limit already that pauses it.
    pub fn exhausted(&self) -> bool {
        let limits = self.meter.limits();
        let cpu = (Limit::Cpu, self.meter.cpu_that_counts());
        let written = self.host.lock().wasi.counted_against_limits();
        let time = (Limit::Time, self.meter.age_nanos());
        let all = [cpu, time].into_iter().chain(written);
        let over =
            |(limit, used): &(Limit, u64)| *used > limits.value(*limit) && limits.pauses(*limit);
        let found = all.into_iter().find(over);
        if let Some((limit, _)) = found {
            self.meter.on_limit_reached(limits.reached(limit));
        }
        found.is_some()
    }

    /// Looks at the limit of time while the guest waits.
    ///
    /// # Errors
    /// If the task is over.
    pub fn check_time(&self) -> Result<(), Error> {
        self.meter.check_time_limit();
        Ok(self.may_go_on()?)
    }

    /// How long ago the task was first started.
    pub fn age(&self) -> Duration {
        self.meter.age()
    }

    /// Bytes that it has written to standard output and standard error since then.
    pub fn output_bytes(&self) -> u64 {
        self.host.lock().wasi.written().0.total
    }

    /// Refuses a snapshot of this many bytes that is too large.
    pub fn snapshot_check(&self) -> impl Fn(u64) -> Result<(), Error> + use<> {
        let limits = *self.meter.limits();
        move |size| match size > limits.value(Limit::Snapshot) {
            true => Err(TaskError::Limit(limits.reached(Limit::Snapshot).with(size)).into()),
            false => Ok(()),
        }
    }

    /// How long it is at least until the guest can have reached a limit of time.
    pub fn least_left(&self) -> Option<Duration> {
        self.meter.least_left()
    }

    /// A probe for another thread: the limit that has ended the task, if one has.
    pub fn termination_probe(&self) -> impl Fn() -> Option<Reached> + use<> {
        let meter = self.meter.clone();
        move || meter.is_terminated().then(|| meter.reached()).flatten()
    }

    /// How much of what is limited the task has taken.
    pub(super) fn usage(&self, wasi: &wasi::Ctx) -> UsageV1 {
        let (cpu, started) = self.meter.used();
        let (output, writes) = wasi.written();
        meter::usage(cpu, output, writes, started, self.meter.clock())
    }
}
