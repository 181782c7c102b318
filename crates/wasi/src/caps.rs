//! What a guest may take of its host through its calls, and how much it has taken.
//!
//! Where a program expects an error at a limit it is told so and goes on; one that goes on asking has
//! reached the limit in the end. Any other limit is reached at once, and whoever runs the guest decides.

use super::abi::Result;
use super::ctx::Ctx;
use super::errno::Errno;
use crate::model::clock::Steady;
use crate::model::{Limit, Limits, Reached, Used};

/// A guest that is refused the same so often in a row does not listen.
const PATIENCE: u64 = 1000;

/// What a guest may take, and what it has taken.
#[derive(Debug)]
pub(super) struct Caps {
    limits: Limits,
    age: Steady,
    /// When the guest was first started, in nanoseconds since the Unix epoch.
    started: u64,
    /// Bytes written to the standard streams.
    output: Used,
    /// Bytes written to files.
    writes: Used,
    reached: Option<Reached>,
    told: Option<Reached>,
    refusals: u64,
    /// It did not listen, and was to be paused.
    patient: bool,
}

impl Caps {
    pub(super) fn new(limits: Limits, age: Steady) -> Self {
        Self {
            limits,
            started: age.now(),
            age,
            output: Used::default(),
            writes: Used::default(),
            reached: None,
            told: None,
            refusals: 0,
            patient: true,
        }
    }

    /// Bytes are going to be written to a standard stream.
    pub(super) fn output(&mut self, bytes: u64) -> Result<()> {
        let output = self.output.total.saturating_add(bytes);
        let (period, now) = self.period(Limit::Output);
        let counted = self.output.counts(output, period, self.started, now);
        self.check(Limit::Output, counted, Errno::Fbig)?;
        self.output.total = output;
        Ok(())
    }

    /// Whether a write to a file has to be looked at.
    pub(super) fn limits_files(&self) -> bool {
        self.limits.get(Limit::FileSize).is_some() || self.limits.get(Limit::Writes).is_some()
    }

    /// Bytes are going to be written to a file, up to `end`.
    pub(super) fn write(&mut self, bytes: u64, end: u64) -> Result<()> {
        let writes = self.writes.total.saturating_add(bytes);
        self.size(end)?;
        let (period, now) = self.period(Limit::Writes);
        let counted = self.writes.counts(writes, period, self.started, now);
        self.check(Limit::Writes, counted, Errno::Fbig)?;
        self.writes.total = writes;
        Ok(())
    }

    /// The limit's period, and the time where it has one.
    fn period(&self, limit: Limit) -> (Option<u64>, u64) {
        let period = self.limits.period(limit);
        (period, period.map_or(0, |_| self.age.now()))
    }

    /// A file is going to have this size.
    pub(super) fn size(&mut self, size: u64) -> Result<()> {
        self.check(Limit::FileSize, size, Errno::Fbig)
    }

    fn check(&mut self, limit: Limit, wanted: u64, errno: Errno) -> Result<()> {
        if wanted <= self.limits.value(limit) {
            return Ok(());
        }
        let reached = self.limits.reached(limit).with(wanted);
        let pauses = self.limits.pauses(limit);
        match pauses && wanted <= self.limits.grace(limit) {
            true => {
                self.reached = Some(reached);
                Ok(())
            }
            false => {
                self.reached = Some(reached.hard());
                Err(errno)
            }
        }
    }

    /// The guest has been told that it cannot have more.
    pub(super) fn refuse(&mut self, limit: Limit) {
        self.refuse_at(limit, self.limits.value(limit));
    }

    /// The same for a limit that is lower here than elsewhere.
    pub(super) fn refuse_at(&mut self, limit: Limit, value: u64) {
        let mut reached = self.limits.reached(limit);
        reached.setting.value = value;
        self.refusals += 1;
        if self.refusals >= PATIENCE {
            self.refusals = 0;
            // One that is to be paused has as long again to come to a place where it can be.
            self.reached = Some(match std::mem::take(&mut self.patient) {
                true => reached.clone(),
                false => reached.clone().hard(),
            });
        }
        self.told = Some(reached);
    }

    /// It has got what it asked for.
    pub(super) fn granted(&mut self) {
        self.refusals = 0;
    }
}

impl Ctx {
    /// The limit that the last call has reached, once.
    pub fn take_reached(&mut self) -> Option<Reached> {
        self.caps.reached.take()
    }

    /// The last limit that the guest was told of.
    pub fn told(&self) -> Option<Reached> {
        self.caps.told.clone()
    }

    /// Bytes written to standard streams and to files since the guest was first started.
    pub fn written(&self) -> (Used, Used) {
        (self.caps.output, self.caps.writes)
    }

    /// What of it counts now.
    pub fn written_that_counts(&mut self) -> [(Limit, u64); 2] {
        let caps = &mut self.caps;
        let (output, now) = caps.period(Limit::Output);
        let (writes, later) = caps.period(Limit::Writes);
        let started = caps.started;
        let total = (caps.output.total, caps.writes.total);
        [
            (
                Limit::Output,
                caps.output.counts(total.0, output, started, now),
            ),
            (
                Limit::Writes,
                caps.writes.counts(total.1, writes, started, later),
            ),
        ]
    }

    /// Goes on counting from here, for a guest that was first started at this time.
    pub fn set_written(&mut self, output: Used, writes: Used, started: u64, age: Steady) {
        (self.caps.started, self.caps.age) = (started, age);
        (self.caps.output, self.caps.writes) = (output, writes);
    }
}
