//! Tasks that cannot go on for now, and when each is tried again. None of this is stored: a daemon
//! that starts tries all tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::model::{MonotonicTime, TaskId};
use crate::time::backoff::Backoff;

/// How long after a failure a task is tried again.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(60),
};

/// Why a task cannot go on, or cannot be frozen, for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// Since when, by the steady clock.
    pub(crate) since: MonotonicTime,
    /// How often it was tried.
    pub(crate) tries: u32,
    /// When it is tried again, by the steady clock.
    pub(crate) next: MonotonicTime,
    /// What was wrong, the last time.
    pub(crate) error: String,
}

/// All tasks that cannot go on for now. A list of tasks reads them as they are at one moment; they
/// are copied only if one changes while a list is being read.
#[derive(Debug, Default)]
pub(crate) struct Retries(Mutex<Arc<HashMap<TaskId, Retry>>>);

impl Retries {
    fn all(&self) -> MutexGuard<'_, Arc<HashMap<TaskId, Retry>>> {
        self.0.lock()
    }

    /// A try has failed; returns when the next one is to be made.
    pub(crate) fn failed(&self, id: TaskId, now: MonotonicTime, error: &str) -> MonotonicTime {
        let mut all = self.all();
        let trouble = Arc::make_mut(&mut all).entry(id).or_insert_with(|| Retry {
            since: now,
            tries: 0,
            next: now,
            error: String::new(),
        });
        trouble.next = now.saturating_add(RETRY.after(trouble.tries));
        trouble.tries = trouble.tries.saturating_add(1);
        trouble.error = error.into();
        trouble.next
    }

    /// The task continues, is paused, or was removed.
    pub(crate) fn over(&self, id: TaskId) {
        let mut all = self.all();
        if all.contains_key(&id) {
            Arc::make_mut(&mut all).remove(&id);
        }
    }

    /// All of them at this moment.
    pub(crate) fn now(&self) -> Arc<HashMap<TaskId, Retry>> {
        self.all().clone()
    }

    /// Why a task cannot go on.
    pub(crate) fn of(&self, id: TaskId) -> Option<Retry> {
        self.all().get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_more_seldom_and_remember_since_when() {
        let retries = Retries::default();
        let id = TaskId(7);
        let begun = MonotonicTime::from_nanos(1_000_000_000);
        let mut now = begun;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let next = retries.failed(id, now, "short");
            waits.push(next.saturating_duration_since(now).as_millis());
            now = next;
        }
        let expected = [
            500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000,
        ];
        assert_eq!(waits, expected);
        retries.failed(id, now, "other");
        let trouble = retries.of(id).expect("it is in trouble");
        assert_eq!((trouble.since, trouble.tries), (begun, 11));
        assert_eq!(trouble.error, "other");
        let read = retries.now();
        retries.over(id);
        assert_eq!(retries.of(id), None);
        assert_eq!(read.get(&id), Some(&trouble), "as it was when it was read");
        assert_eq!(RETRY.after(u32::MAX), RETRY.longest);
    }
}
