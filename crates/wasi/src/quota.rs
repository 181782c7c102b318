//! How much of its host a guest may take by its calls, and how much it has taken.
//!
//! Programs expect an error at some limits: `EMFILE` at the number of open descriptors, `ENOSPC` in
//! a full directory in memory. There the guest gets the error and continues; only a guest that
//! repeats the call endlessly has reached the limit. Every other limit is reached at once. What
//! then becomes of the guest is decided by the program that runs it.

use std::time::Duration;

use dormouse_model::clock::Steady;
use dormouse_model::{Limit, Limits, MonotonicTime, Reached, Used};

use crate::errno::{Errno, Result};

/// After this many refusals in a row, without a success between them, the limit counts as reached.
const MAX_REFUSALS_IN_A_ROW: u64 = 1000;

/// What a guest may take, and what it has taken.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: Limits,
    clock: Steady,
    /// When the guest was first started, by `clock`.
    started: MonotonicTime,
    /// Bytes written to the standard streams.
    output: Used,
    /// Bytes written to files.
    writes: Used,
    /// The limit that the last call has reached.
    reached: Option<Reached>,
    /// The last limit at which the guest got an error.
    refused: Option<Reached>,
    refusals_in_a_row: u64,
    /// The guest was to be paused already because it repeats refused calls.
    pause_requested: bool,
}

impl Quota {
    /// The quota of a guest that starts now.
    pub(crate) fn new(limits: Limits, clock: Steady) -> Self {
        Self {
            limits,
            started: clock.now(),
            clock,
            output: Used::default(),
            writes: Used::default(),
            reached: None,
            refused: None,
            refusals_in_a_row: 0,
            pause_requested: false,
        }
    }

    /// Goes on counting, for a guest that was first started at `started`.
    pub(crate) fn resume(
        &mut self,
        output: Used,
        writes: Used,
        started: MonotonicTime,
        clock: Steady,
    ) {
        (self.started, self.clock) = (started, clock);
        (self.output, self.writes) = (output, writes);
    }

    /// Counts bytes that are about to be written to a standard stream.
    pub(crate) fn charge_output(&mut self, bytes: u64) -> Result<()> {
        let total = self.output.total.saturating_add(bytes);
        let counted = self.counted_output(total);
        self.check(Limit::Output, counted)?;
        self.output.total = total;
        Ok(())
    }

    /// Whether writes to files have to be counted.
    pub(crate) fn limits_files(&self) -> bool {
        self.limits.get(Limit::FileSize).is_some() || self.limits.get(Limit::Writes).is_some()
    }

    /// Counts bytes that are about to be written to a file, which then has at least `end` bytes.
    pub(crate) fn charge_write(&mut self, bytes: u64, end: u64) -> Result<()> {
        let total = self.writes.total.saturating_add(bytes);
        self.check_file_size(end)?;
        let counted = self.counted_writes(total);
        self.check(Limit::Writes, counted)?;
        self.writes.total = total;
        Ok(())
    }

    /// Fails where no file may have this size.
    pub(crate) fn check_file_size(&mut self, size: u64) -> Result<()> {
        self.check(Limit::FileSize, size)
    }

    /// How much of the output counts against the limit, if it is `total` bytes in all.
    fn counted_output(&mut self, total: u64) -> u64 {
        let (period, now) = self.period(Limit::Output);
        self.output.counts(total, period, self.started, now)
    }

    /// How much of the bytes written to files counts against the limit, if they are `total` in all.
    fn counted_writes(&mut self, total: u64) -> u64 {
        let (period, now) = self.period(Limit::Writes);
        self.writes.counts(total, period, self.started, now)
    }

    /// The limit's period, and the time now where it has one.
    fn period(&self, limit: Limit) -> (Option<Duration>, MonotonicTime) {
        let period = self.limits.period(limit);
        let now = period.map(|_| self.clock.now());
        (period, now.unwrap_or_default())
    }

    fn check(&mut self, limit: Limit, wanted: u64) -> Result<()> {
        if wanted <= self.limits.value(limit) {
            return Ok(());
        }
        let reached = self.limits.reached(limit).with(wanted);
        // A guest that is to be paused continues to the next place where it can be suspended.
        let has_grace = self.limits.pauses(limit) && wanted <= self.limits.grace(limit);
        match has_grace {
            true => {
                self.reached = Some(reached);
                Ok(())
            }
            false => {
                self.reached = Some(reached.hard());
                Err(Errno::FBIG)
            }
        }
    }

    /// The guest has got an error because of a limit.
    pub(crate) fn refuse(&mut self, limit: Limit) {
        self.refuse_at(limit, self.limits.value(limit));
    }

    /// The same for a limit that has a lower value here than elsewhere.
    pub(crate) fn refuse_at(&mut self, limit: Limit, value: u64) {
        let mut reached = self.limits.reached(limit);
        reached.setting.value = value;
        self.refusals_in_a_row += 1;
        if self.refusals_in_a_row >= MAX_REFUSALS_IN_A_ROW {
            self.refusals_in_a_row = 0;
            // A guest that is to be paused gets as many refusals once more to come to a place where
            // it can be suspended.
            self.reached = Some(match std::mem::replace(&mut self.pause_requested, true) {
                false => reached.clone(),
                true => reached.clone().hard(),
            });
        }
        self.refused = Some(reached);
    }

    /// The guest has got what it asked for.
    pub(crate) fn grant(&mut self) {
        self.refusals_in_a_row = 0;
    }

    /// The limit that the last call has reached, once.
    pub(crate) fn take_reached(&mut self) -> Option<Reached> {
        self.reached.take()
    }

    /// The last limit at which the guest got an error.
    pub(crate) fn refused(&self) -> Option<Reached> {
        self.refused.clone()
    }

    /// Bytes written to the standard streams and to files since the guest was first started.
    pub(crate) fn written(&self) -> (Used, Used) {
        (self.output, self.writes)
    }

    /// How many of the written bytes count against the limits now.
    pub(crate) fn counted(&mut self) -> [(Limit, u64); 2] {
        let (output, writes) = (self.output.total, self.writes.total);
        [
            (Limit::Output, self.counted_output(output)),
            (Limit::Writes, self.counted_writes(writes)),
        ]
    }
}
