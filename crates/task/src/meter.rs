//! How much CPU time and time a task takes, and what happens when it reaches a limit.
//!
//! ```text
//!   turn begins --> watched --it is time--> look --limit reached--> End: the guest is stopped
//!   turn ends   --> not watched              |                  `-> Pause: the guest is asked to
//!                                            `- not reached:        suspend, and stopped where it
//!                                               look again later    goes on for too long
//! ```
//!
//! CPU time is that of the thread that the guest runs on, with its host calls. It is looked at when
//! the limit may have been reached: by the next host call, or by one thread of the process
//! (`watchdog.rs`), whichever comes first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::handle::TaskHandle;
use super::watchdog::{self, Timed, WatchedTurn};
use crate::model::clock::Steady;
use crate::model::{Limit, Limits, Reached, Used};
use crate::snapshot::{AsOfV1, EarlierV1, UsageV1};

/// What a task has taken and may take.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    age: Steady,
    handle: TaskHandle,
    /// CPU time of the turns that are over, in nanoseconds.
    cpu: Mutex<Used>,
    /// The thread's CPU time when the turn began.
    turn: AtomicU64,
    /// When the task was first started, in nanoseconds since the Unix epoch.
    started: u64,
    /// When this was made: what `next` is counted from.
    made: Instant,
    /// No limit can have been reached before, in nanoseconds.
    next: AtomicU64,
    reached: Mutex<Option<Reached>>,
    /// The guest must not go on.
    over: AtomicBool,
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
        age: Steady,
        handle: TaskHandle,
        usage: &UsageV1,
        as_of: u64,
    ) -> Self {
        let cpu = used(&limits, Limit::Cpu, usage, as_of);
        Self {
            limits,
            age,
            handle,
            cpu: Mutex::new(cpu),
            turn: AtomicU64::new(0),
            started: usage.started,
            made: Instant::now(),
            next: AtomicU64::new(0),
            reached: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// CPU time, and when the task was first started.
    pub(super) fn used(&self) -> (Used, u64) {
        (*self.cpu(), self.started)
    }

    fn cpu(&self) -> MutexGuard<'_, Used> {
        self.cpu.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// CPU time that counts, where it is so much in all.
    fn counts(&self, total: u64) -> u64 {
        let period = self.limits.period(Limit::Cpu);
        let now = self.age.now();
        self.cpu().counts(total, period, self.started, now)
    }

    /// CPU time so far that counts.
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
        self.look_again(first);
        Turn {
            meter: self,
            _watched: first.map(|first| WatchedTurn::new(self.clone(), first)),
        }
    }

    /// Looks at the limits during a host call.
    pub(super) fn look(&self) {
        let next = self.next.load(Ordering::Relaxed);
        if next != u64::MAX && self.elapsed() >= next && self.is_timed() && !self.is_over() {
            self.look_at(watchdog::thread_time());
        }
    }

    /// A thread has no more CPU time than time passes.
    fn look_again(&self, after: Option<Duration>) {
        let after = after.and_then(|after| u64::try_from(after.as_nanos()).ok());
        let next = after.map_or(u64::MAX, |after| self.elapsed().saturating_add(after));
        self.next.store(next, Ordering::Relaxed);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Looks at the limits when the guest's thread has had this much CPU time, in nanoseconds.
    /// Gives how long it is until it makes sense to look again.
    fn look_at(&self, thread: u64) -> Option<Duration> {
        let turn = thread.saturating_sub(self.turn.load(Ordering::Relaxed));
        let total = self.cpu().total.saturating_add(turn);
        let cpu = self.counts(total);
        self.check(Limit::Cpu, cpu);
        self.check(Limit::Time, self.age());
        let again = match self.is_over() {
            true => None,
            false => self.until_limit(cpu),
        };
        self.look_again(again);
        again
    }

    /// Looks at the time alone, while the guest waits.
    pub(super) fn look_at_time(&self) {
        self.check(Limit::Time, self.age());
    }

    /// Its clock, and how long ago it was first started by it, in nanoseconds.
    pub(super) fn clock(&self) -> &Steady {
        &self.age
    }

    pub(super) fn age(&self) -> u64 {
        self.age.now().saturating_sub(self.started)
    }

    /// Nanoseconds until the time is over.
    pub(super) fn time_left(&self) -> Option<u64> {
        let limit = self.limits.get(Limit::Time)?;
        Some(limit.saturating_sub(self.age()))
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
        let (cpu, time) = (left(Limit::Cpu, cpu), left(Limit::Time, self.age()));
        cpu.into_iter().chain(time).min()
    }

    /// So much has been used of what is limited.
    pub(super) fn check(&self, limit: Limit, used: u64) {
        if used <= self.limits.value(limit) {
            return;
        }
        let reached = self.limits.reached(limit);
        match used <= self.limits.grace(limit) {
            true => self.reach(reached),
            false => self.reach(reached.hard()),
        }
    }

    /// The guest has reached a limit.
    pub(super) fn reach(&self, reached: Reached) {
        let pauses = self.limits.pauses(reached.setting.limit) && !reached.is_hard();
        *self.state() = Some(reached);
        if pauses {
            if !self.handle.is_asked() {
                self.handle.suspend();
            }
            return;
        }
        self.over.store(true, Ordering::SeqCst);
        self.handle.stop();
    }

    /// Whether the guest must not go on.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The limit that was reached last.
    pub(super) fn reached(&self) -> Option<Reached> {
        self.state().clone()
    }

    fn state(&self) -> MutexGuard<'_, Option<Reached>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has been used of a limit, as it was written down at a time.
pub(super) fn used(limits: &Limits, limit: Limit, usage: &UsageV1, as_of: u64) -> Used {
    let earlier = usage.earlier.unwrap_or_default();
    let (total, earlier) = match limit {
        Limit::Cpu => (usage.cpu, earlier.cpu),
        Limit::Output => (usage.output, earlier.output),
        Limit::Writes => (usage.writes, earlier.writes),
        _ => (0, 0),
    };
    Used::at(total, earlier, limits.period(limit), usage.started, as_of)
}

/// What is written down of a task.
pub(super) fn usage(cpu: Used, output: Used, writes: Used, started: u64, age: &Steady) -> UsageV1 {
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
        as_of: Some(age.clock().marks())
            .filter(|marks| !marks.is_empty())
            .map(|marks| AsOfV1 {
                at: age.now(),
                marks,
            }),
    }
}

impl Timed for Meter {
    fn look_at(&self, thread_nanoseconds: u64) -> Option<Duration> {
        Meter::look_at(self, thread_nanoseconds)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let begun = self.meter.turn.load(Ordering::Relaxed);
        let used = watchdog::thread_time().saturating_sub(begun);
        let mut cpu = self.meter.cpu();
        cpu.total = cpu.total.saturating_add(used);
        // What a look after this would count again.
        self.meter.turn.store(u64::MAX, Ordering::Relaxed);
    }
}
