//! How much CPU time and time a task takes, and what happens when it reaches a limit.
//!
//! ```text
//!   turn begins --> watched --it is due--> check --limit reached--> End: the guest is stopped
//!   turn ends   --> not watched              |                  `-> Pause: the guest is asked to
//!                                            `- not reached:        suspend, and stopped if it
//!                                               check again later   runs for too long after that
//! ```
//!
//! CPU time is that of the thread that the guest runs on, with its host calls. It is checked when
//! the limit may have been reached: by the next host call, or by one thread of the process
//! (`watchdog.rs`), whichever comes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::handle::TaskHandle;
use super::watchdog::{self, Timed, WatchedTurn};
use crate::model::clock::Steady;
use crate::model::{Limit, Limits, MonotonicTime, Reached, Timestamp, Used};
use crate::snapshot::{AsOfV1, EarlierV1, UsageV1};

/// What a task has taken and may take.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    clock: Steady,
    handle: TaskHandle,
    /// CPU time of the turns that have ended, in nanoseconds.
    cpu: Mutex<Used>,
    /// The thread's CPU time when the turn began.
    turn: AtomicU64,
    /// When the task was first started.
    started: Timestamp,
    /// When this was made: what `next` is counted from.
    made: Instant,
    /// No limit can have been reached before, in nanoseconds.
    next: AtomicU64,
    reached: Mutex<Option<Reached>>,
    /// A limit has ended the task.
    terminated: AtomicBool,
}

/// The guest's turn on a thread: its CPU time is counted until this is dropped.
pub(super) struct Turn<'a> {
    meter: &'a Meter,
    /// Ends before the turn's time is added up.
    _watched: Option<WatchedTurn>,
}

impl Meter {
    pub(super) fn new(
        limits: Limits,
        clock: Steady,
        handle: TaskHandle,
        usage: &UsageV1,
        as_of: MonotonicTime,
    ) -> Self {
        let cpu = used(&limits, Limit::Cpu, usage, as_of);
        Self {
            limits,
            clock,
            handle,
            cpu: Mutex::new(cpu),
            turn: AtomicU64::new(0),
            started: usage.started,
            made: Instant::now(),
            next: AtomicU64::new(0),
            reached: Mutex::default(),
            terminated: AtomicBool::new(false),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// CPU time, and when the task was first started.
    pub(super) fn used(&self) -> (Used, Timestamp) {
        (*self.cpu(), self.started)
    }

    fn cpu(&self) -> MutexGuard<'_, Used> {
        self.cpu.lock()
    }

    /// The part of this CPU time that counts against the limit.
    fn counts(&self, total: u64) -> u64 {
        let period = self.limits.period(Limit::Cpu);
        let now = self.clock.now();
        self.cpu().counts(total, period, self.begun(), now)
    }

    /// The CPU time so far that counts against the limit.
    pub(super) fn cpu_that_counts(&self) -> u64 {
        let total = self.cpu().total;
        self.counts(total)
    }

    fn is_timed(&self) -> bool {
        self.limits.get(Limit::Cpu).is_some() || self.limits.get(Limit::Time).is_some()
    }

    /// How long it is at least until a limit of time can be reached.
    pub(super) fn least_left(&self) -> Option<Duration> {
        let total = self.cpu().total;
        self.until_limit(self.counts(total))
    }

    /// The guest begins to run on this thread.
    pub(super) fn begin(self: &Arc<Self>) -> Turn<'_> {
        self.turn.store(watchdog::thread_time(), Ordering::Relaxed);
        let first = self.least_left();
        self.schedule_check(first);
        Turn {
            meter: self,
            _watched: first.map(|first| WatchedTurn::new(self.clone(), first)),
        }
    }

    /// Checks the limits during a host call, if one of them may have been reached.
    pub(super) fn check_if_due(&self) {
        let next = self.next.load(Ordering::Relaxed);
        if next != u64::MAX && self.elapsed() >= next && self.is_timed() && !self.is_terminated() {
            self.check_at(watchdog::thread_time());
        }
    }

    /// Sets when the limits are checked next. A thread cannot use more CPU time than time passes.
    fn schedule_check(&self, after: Option<Duration>) {
        let after = after.and_then(|after| u64::try_from(after.as_nanos()).ok());
        let next = after.map_or(u64::MAX, |after| self.elapsed().saturating_add(after));
        self.next.store(next, Ordering::Relaxed);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Checks the limits when the guest's thread has used this much CPU time, in nanoseconds.
    /// Returns how long it is until a limit can be reached.
    fn check_at(&self, thread: u64) -> Option<Duration> {
        let turn = thread.saturating_sub(self.turn.load(Ordering::Relaxed));
        let total = self.cpu().total.saturating_add(turn);
        let cpu = self.counts(total);
        self.check_limit(Limit::Cpu, cpu);
        self.check_limit(Limit::Time, self.age_nanos());
        let again = match self.is_terminated() {
            true => None,
            false => self.until_limit(cpu),
        };
        self.schedule_check(again);
        again
    }

    /// Checks the limit of time alone, while the guest waits.
    pub(super) fn check_time_limit(&self) {
        self.check_limit(Limit::Time, self.age_nanos());
    }

    /// The clock by which the task's age counts.
    pub(super) fn clock(&self) -> &Steady {
        &self.clock
    }

    /// What that clock showed when the task was first started.
    fn begun(&self) -> MonotonicTime {
        MonotonicTime::beginning_as(self.started)
    }

    /// How long ago the task was first started.
    pub(super) fn age(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.begun())
    }

    /// The same in the unit of the limit.
    pub(super) fn age_nanos(&self) -> u64 {
        u64::try_from(self.age().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long it is until the limit of time is reached.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let limit = self.limits.get(Limit::Time)?;
        Some(Duration::from_nanos(limit).saturating_sub(self.age()))
    }

    /// How long it is at least until a limit of time can be reached, or the grace after it.
    fn until_limit(&self, cpu: u64) -> Option<Duration> {
        let left = |limit, used: u64| {
            let value = match used > self.limits.value(limit) && self.limits.pauses(limit) {
                // It is being paused.
                true => self.limits.grace(limit),
                false => self.limits.get(limit)?,
            };
            Some(Duration::from_nanos(value.saturating_sub(used)) + Duration::from_millis(1))
        };
        let (cpu, time) = (left(Limit::Cpu, cpu), left(Limit::Time, self.age_nanos()));
        cpu.into_iter().chain(time).min()
    }

    /// Compares what has been used with a limit.
    pub(super) fn check_limit(&self, limit: Limit, used: u64) {
        if used <= self.limits.value(limit) {
            return;
        }
        let reached = self.limits.reached(limit);
        match used <= self.limits.grace(limit) {
            true => self.on_limit_reached(reached),
            false => self.on_limit_reached(reached.hard()),
        }
    }

    /// Asks the guest to suspend, or ends it: it has reached a limit.
    pub(super) fn on_limit_reached(&self, reached: Reached) {
        let pauses = self.limits.pauses(reached.setting.limit) && !reached.is_hard();
        *self.state() = Some(reached);
        if pauses {
            if !self.handle.is_asked() {
                self.handle.suspend();
            }
            return;
        }
        self.terminated.store(true, Ordering::SeqCst);
        self.handle.stop();
    }

    /// Whether a limit ended the task: one with `end`, or the grace period after one with `pause`.
    pub(super) fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::SeqCst)
    }

    /// The limit that was reached last.
    pub(super) fn reached(&self) -> Option<Reached> {
        self.state().clone()
    }

    fn state(&self) -> MutexGuard<'_, Option<Reached>> {
        self.reached.lock()
    }
}

/// What has been used of a limit, as a snapshot has it.
pub(super) fn used(limits: &Limits, limit: Limit, usage: &UsageV1, as_of: MonotonicTime) -> Used {
    let earlier = usage.earlier.unwrap_or_default();
    let (total, earlier) = match limit {
        Limit::Cpu => (usage.cpu, earlier.cpu),
        Limit::Output => (usage.output, earlier.output),
        Limit::Writes => (usage.writes, earlier.writes),
        _ => (0, 0),
    };
    let started = MonotonicTime::beginning_as(usage.started);
    Used::at(total, earlier, limits.period(limit), started, as_of)
}

/// The usage that a snapshot has.
pub(super) fn usage(
    cpu: Used,
    output: Used,
    writes: Used,
    started: Timestamp,
    clock: &Steady,
) -> UsageV1 {
    let earlier = EarlierV1 {
        cpu: cpu.earlier,
        output: output.earlier,
        writes: writes.earlier,
    };
    UsageV1 {
        cpu: cpu.total,
        started,
        output: output.total,
        writes: writes.total,
        earlier: Some(earlier).filter(|earlier| *earlier != EarlierV1::default()),
        as_of: Some(clock.clock().marks())
            .filter(|marks| !marks.is_empty())
            .map(|marks| AsOfV1 {
                at: clock.now(),
                marks,
            }),
    }
}

impl Timed for Meter {
    fn check_at(&self, thread_nanoseconds: u64) -> Option<Duration> {
        Meter::check_at(self, thread_nanoseconds)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let begun = self.meter.turn.load(Ordering::Relaxed);
        let used = watchdog::thread_time().saturating_sub(begun);
        let mut cpu = self.meter.cpu();
        cpu.total = cpu.total.saturating_add(used);
        // A check after this would count the turn again.
        self.meter.turn.store(u64::MAX, Ordering::Relaxed);
    }
}
