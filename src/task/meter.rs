//! How much CPU time and time a task takes, and what happens when it reaches a limit.
//!
//! ```text
//!   turn begins --> watched --time for it--> look --limit reached--> End: the guest is stopped at once
//!   turn ends   --> no longer                 |                  `-> Pause: it is asked to suspend, and
//!                                             `- not yet: again        stopped where it goes on too long
//! ```
//!
//! CPU time is that of the thread that the guest runs on, host calls counted in. It is looked at at each
//! host call, and by one thread of the process (`watch`) for guests that make none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::TaskHandle;
use super::watch::{self, Watched};
use crate::clock::Clock;
use crate::model::{Limit, Limits, OnLimit, Reached};

/// What a task has taken and may take.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    clock: Arc<dyn Clock>,
    handle: TaskHandle,
    /// CPU time of the turns that are over, in nanoseconds.
    cpu: AtomicU64,
    /// The thread's CPU time when the turn began.
    turn: AtomicU64,
    /// When the task was first started, in nanoseconds since the Unix epoch.
    started: u64,
    reached: Mutex<Option<Reached>>,
    /// The guest must not go on.
    over: AtomicBool,
}

/// While the guest runs.
pub(super) struct Turn<'a> {
    meter: &'a Meter,
    /// Dropped first: nobody looks any more.
    _watched: Option<Watched>,
}

impl Meter {
    pub(super) fn new(
        limits: Limits,
        clock: Arc<dyn Clock>,
        handle: TaskHandle,
        cpu: u64,
        started: u64,
    ) -> Self {
        Self {
            limits,
            clock,
            handle,
            cpu: AtomicU64::new(cpu),
            turn: AtomicU64::new(0),
            started,
            reached: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// CPU time in nanoseconds, and when the task was first started.
    pub(super) fn used(&self) -> (u64, u64) {
        (self.cpu.load(Ordering::Relaxed), self.started)
    }

    pub(super) fn is_timed(&self) -> bool {
        self.limits.get(Limit::Cpu).is_some() || self.limits.get(Limit::Time).is_some()
    }

    /// The guest begins to run on this thread.
    pub(super) fn begin(self: &Arc<Self>) -> Turn<'_> {
        self.turn.store(watch::thread_time(), Ordering::Relaxed);
        let first = self.patience(self.cpu.load(Ordering::Relaxed));
        Turn {
            meter: self,
            _watched: first.map(|first| Watched::new(self, first)),
        }
    }

    /// Looks at the limits during a host call.
    pub(super) fn look(&self) {
        if self.is_timed() && !self.is_over() {
            self.look_at(watch::thread_time());
        }
    }

    /// Looks at the limits when the guest's thread has had this much CPU time; gives how long it is
    /// until it makes sense to look again.
    pub(super) fn look_at(&self, thread: u64) -> Option<Duration> {
        let turn = thread.saturating_sub(self.turn.load(Ordering::Relaxed));
        let cpu = self.cpu.load(Ordering::Relaxed).saturating_add(turn);
        self.check(Limit::Cpu, cpu);
        self.check(Limit::Time, self.age());
        match self.is_over() {
            true => None,
            false => self.patience(cpu),
        }
    }

    /// Looks at the time alone, while the guest waits.
    pub(super) fn look_at_time(&self) {
        self.check(Limit::Time, self.age());
    }

    fn age(&self) -> u64 {
        self.clock.realtime().saturating_sub(self.started)
    }

    /// When the time is over, in nanoseconds since the Unix epoch.
    pub(super) fn deadline(&self) -> Option<u64> {
        let limit = self.limits.get(Limit::Time)?;
        Some(self.started.saturating_add(limit))
    }

    fn patience(&self, cpu: u64) -> Option<Duration> {
        let left = |limit, used: u64| {
            let value = match used > self.limits.value(limit) {
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
        let pauses = self.limits.on_limit == OnLimit::Pause && !reached.is_hard();
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

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let begun = self.meter.turn.load(Ordering::Relaxed);
        let used = watch::thread_time().saturating_sub(begun);
        self.meter.cpu.fetch_add(used, Ordering::Relaxed);
        // What a look after this would count again.
        self.meter.turn.store(u64::MAX, Ordering::Relaxed);
    }
}
