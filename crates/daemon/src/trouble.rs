//! Tasks that cannot go on for now, and when each is tried again. It is not stored: a daemon that starts
//! tries them all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::TaskId;

/// How long after the first failure a task is tried again, and the longest wait: each is twice as long as
/// the one before.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Why a task cannot go on, or cannot be written down, for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when, in nanoseconds since the Unix epoch; within the daemon, by its steady clock.
    pub since: u64,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again, likewise.
    pub next: u64,
    /// What was wrong, the last time.
    pub error: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<HashMap<TaskId, Trouble>>);

impl Troubles {
    fn all(&self) -> MutexGuard<'_, HashMap<TaskId, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A try has failed; gives when the next one is to be.
    pub(super) fn failed(&self, id: TaskId, now: u64, error: &str) -> u64 {
        let mut all = self.all();
        let trouble = all.entry(id).or_insert_with(|| Trouble {
            since: now,
            tries: 0,
            next: now,
            error: String::new(),
        });
        trouble.next = now.saturating_add(wait(trouble.tries).as_nanos() as u64);
        trouble.tries = trouble.tries.saturating_add(1);
        trouble.error = error.into();
        trouble.next
    }

    /// It works, or the task is paused or gone.
    pub(super) fn over(&self, id: TaskId) {
        let mut all = self.all();
        if !all.is_empty() {
            all.remove(&id);
        }
    }

    /// What is wrong with a task.
    pub(super) fn of(&self, id: TaskId) -> Option<Trouble> {
        self.all().get(&id).cloned()
    }
}

/// How long after a failure the next try is, where so many failed before it.
fn wait(failures: u32) -> Duration {
    let doubled = 1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
    FIRST.saturating_mul(doubled).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_more_seldom_and_remember_since_when() {
        let troubles = Troubles::default();
        let id = TaskId(7);
        let mut now = 1_000_000_000;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let next = troubles.failed(id, now, "short");
            waits.push((next - now) / 1_000_000);
            now = next;
        }
        let expected = [
            500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000,
        ];
        assert_eq!(waits, expected);
        troubles.failed(id, now, "other");
        let trouble = troubles.of(id).expect("it is in trouble");
        assert_eq!((trouble.since, trouble.tries), (1_000_000_000, 11));
        assert_eq!(trouble.error, "other");
        troubles.over(id);
        assert_eq!(troubles.of(id), None);
        assert_eq!(wait(u32::MAX), LONGEST);
    }
}
