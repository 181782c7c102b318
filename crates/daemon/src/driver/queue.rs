//! Which task is next: those that are ready, in the order in which they became ready, and those
//! that become due within the horizon. Pure data: time is an argument.
//!
//! A million sleepers are not kept here. Tasks that are due beyond the horizon are in the store's
//! index only, and are read when the horizon moves.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

use crate::model::{MonotonicTime, TaskId};
use crate::store::Due;

/// The tasks that are ready or soon due.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ready: VecDeque<TaskId>,
    soon: BinaryHeap<Reverse<Due>>,
    /// What `soon` holds, so that no entry is in it twice.
    known: HashSet<(TaskId, MonotonicTime)>,
    /// Every task of the store that is due up to here is in `soon` or has left it.
    horizon: MonotonicTime,
}

impl Queue {
    /// Puts a task at the end of the ready ones.
    pub(crate) fn push(&mut self, id: TaskId) {
        self.ready.push_back(id);
    }

    /// The next ready task.
    pub(crate) fn pop(&mut self) -> Option<TaskId> {
        self.ready.pop_front()
    }

    /// How many tasks are ready.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// How many tasks are due before the horizon.
    pub(crate) fn soon_len(&self) -> usize {
        self.soon.len()
    }

    /// Up to when every due task is known.
    pub(crate) fn horizon(&self) -> MonotonicTime {
        self.horizon
    }

    /// Moves the horizon. That is done before the store is read, so that a task that falls asleep
    /// meanwhile is not missed.
    pub(crate) fn raise_horizon(&mut self, horizon: MonotonicTime) {
        self.horizon = self.horizon.max(horizon);
    }

    /// The store had more entries than fit: due tasks are known only up to here.
    pub(crate) fn lower_horizon(&mut self, horizon: MonotonicTime) {
        self.horizon = self.horizon.min(horizon);
    }

    /// Forgets which tasks are due when.
    pub(crate) fn forget_dues(&mut self) {
        self.soon.clear();
        self.known.clear();
        self.horizon = MonotonicTime::ZERO;
    }

    /// Notes when a task is due. Beyond the horizon the store's index has it.
    pub(crate) fn schedule(&mut self, due: Due) {
        if due.at <= self.horizon {
            self.schedule_always(due);
        }
    }

    /// Notes when a task is to be tried again, whatever the horizon.
    pub(crate) fn schedule_always(&mut self, due: Due) {
        if self.known.insert((due.id, due.at)) {
            self.soon.push(Reverse(due));
        }
    }

    /// When the next task is due, if that is known.
    pub(crate) fn next_due(&self) -> Option<MonotonicTime> {
        self.soon.peek().map(|Reverse(due)| due.at)
    }

    /// The next task that is due at `now`.
    pub(crate) fn wake(&mut self, now: MonotonicTime) -> Option<Due> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(due) = self.soon.pop()?;
        self.known.remove(&(due.id, due.at));
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due(at: u64, id: u64) -> Due {
        let (at, id) = (MonotonicTime::from_nanos(at), TaskId(id));
        Due { at, id }
    }

    #[test]
    fn ready_tasks_keep_their_order() {
        let mut queue = Queue::default();
        (1..=3).for_each(|id| queue.push(TaskId(id)));
        assert_eq!(queue.pop(), Some(TaskId(1)));
        queue.push(TaskId(1));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [TaskId(2), TaskId(3), TaskId(1)]);
    }

    proptest! {
        /// Every sleeper within the horizon wakes exactly once, not before its time, and in order.
        #[test]
        fn sleepers_wake_once_and_in_order(
            sleepers in proptest::collection::vec((0u64..1000, 1u64..50), 0..200),
            horizon in 0u64..1200,
            steps in proptest::collection::vec(0u64..1000, 0..20),
        ) {
            let mut queue = Queue::default();
            queue.raise_horizon(MonotonicTime::from_nanos(horizon));
            for (at, id) in &sleepers {
                queue.schedule(due(*at, *id));
                // What is said twice, by the store and by the task itself, is known once.
                queue.schedule(due(*at, *id));
            }
            let mut steps = steps;
            steps.sort_unstable();
            steps.push(u64::MAX);
            let mut woken = Vec::new();
            for now in steps {
                while let Some(due) = queue.wake(MonotonicTime::from_nanos(now)) {
                    prop_assert!(due.at <= MonotonicTime::from_nanos(now));
                    woken.push(due);
                }
            }
            let mut expected: Vec<Due> = sleepers
                .iter()
                .filter(|(at, _)| *at <= horizon)
                .map(|(at, id)| due(*at, *id))
                .collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(woken, expected);
            prop_assert_eq!(queue.soon_len(), 0);
        }
    }
}
