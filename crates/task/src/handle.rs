//! How a task is reached from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::engine;

/// Asks a task to suspend, from anywhere.
#[derive(Clone, Debug, Default)]
pub struct TaskHandle {
    asked: Arc<AtomicBool>,
    killed: Arc<AtomicBool>,
    evicted: Arc<AtomicBool>,
    changed: Arc<Notify>,
    /// Reaches the task's instance, while it has one.
    interrupt: Arc<Mutex<Option<engine::Interrupt>>>,
}

impl TaskHandle {
    /// Asks the task to suspend: at once if it waits, else at its next call that may block, or at
    /// its next check if its module has checks.
    pub fn suspend(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.changed.notify_one();
        self.preempt();
    }

    /// Takes the request back.
    pub fn clear(&self) {
        self.asked.store(false, Ordering::SeqCst);
        self.set_flag(false);
    }

    /// Ends the guest's turn: if it computes and its module has checks, the step that is under way
    /// ends at the next one, with [`Wait::Yield`](crate::model::Wait::Yield). Otherwise nothing
    /// happens.
    pub fn preempt(&self) {
        if let Some(interrupt) = &*self.interrupt() {
            interrupt.request_suspend(true);
        }
    }

    /// For the next step.
    pub(super) fn set_flag(&self, at_once: bool) {
        if let Some(interrupt) = &*self.interrupt() {
            interrupt.request_suspend(at_once || self.is_asked());
        }
    }

    /// Ends the guest at once, also while it computes; the step fails with `TaskError::Killed`. A
    /// host call that is under way is waited for.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.suspend();
        if let Some(interrupt) = &*self.interrupt() {
            interrupt.kill();
        }
    }

    fn interrupt(&self) -> MutexGuard<'_, Option<engine::Interrupt>> {
        self.interrupt.lock()
    }

    /// What has been asked before is asked of the instance.
    pub(super) fn attach(&self, interrupt: engine::Interrupt) {
        let mut place = self.interrupt();
        if self.is_killed() || self.is_evicted() {
            interrupt.kill();
        }
        *place = Some(interrupt);
    }

    /// Ends the guest as [`kill`](Self::kill) does, for another reason than that somebody wanted it
    /// to.
    pub(super) fn stop(&self) {
        if let Some(interrupt) = &*self.interrupt() {
            interrupt.kill();
        }
        self.changed.notify_one();
    }

    /// Aborts the guest, whatever it does, as if its process had died: it can only
    /// go on from its last snapshot. The step fails with `TaskError::Evicted`.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::SeqCst);
        self.stop();
    }

    /// Whether the guest is to be aborted.
    pub fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::SeqCst)
    }

    /// Whether the task has been told to end.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Whether the task has been asked to suspend.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Completes when the task is asked to suspend.
    pub async fn asked(&self) {
        while !self.is_asked() {
            self.changed.notified().await;
        }
    }
}
