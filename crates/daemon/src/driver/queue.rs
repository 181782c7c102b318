//! Which task is next: those that are ready, in the order in which they became ready, and those
//! that become due within the horizon. Pure data: time is an argument.
//!
//! Tenants take turns: the next task is the first one of the next tenant that has one. So a tenant
//! with thousands of tasks delays one with a few by one task for each of its own, and where there
//! is one tenant the order is that of all tasks.
//!
//! A million sleepers are not kept here. Tasks that are due beyond the horizon are in the store's
//! index only, and are read when the horizon moves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::driver::owners::Owners;
use crate::model::{MonotonicTime, TaskId, TenantId};
use crate::store::Due;

/// The tasks that are ready or soon due.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    owners: Arc<Owners>,
    /// The ready tasks of each tenant that has some.
    ready: BTreeMap<TenantId, VecDeque<TaskId>>,
    ready_len: usize,
    /// The tenant whose task was taken last.
    last_ready: TenantId,
    /// The tasks of each tenant that are soon due, where it has some.
    soon: BTreeMap<TenantId, BinaryHeap<Reverse<Due>>>,
    /// The tenant whose task was woken last.
    last_woken: TenantId,
    /// What `soon` holds, so that no entry is in it twice.
    known: HashSet<(TaskId, MonotonicTime)>,
    /// Every task of the store that is due up to here is in `soon` or has left it.
    horizon: MonotonicTime,
}

impl Queue {
    /// A queue in which the owners of the tasks take turns.
    pub(crate) fn new(owners: Arc<Owners>) -> Self {
        Self {
            owners,
            ..Self::default()
        }
    }

    /// Puts a task at the end of its tenant's ready ones.
    pub(crate) fn push(&mut self, id: TaskId) {
        let of_tenant = self.ready.entry(self.owners.of(id)).or_default();
        of_tenant.push_back(id);
        self.ready_len += 1;
    }

    /// The next ready task.
    pub(crate) fn pop(&mut self) -> Option<TaskId> {
        let (tenant, _) = in_turn(&self.ready, self.last_ready).next()?;
        let tenant = *tenant;
        let of_tenant = self.ready.get_mut(&tenant)?;
        let id = of_tenant.pop_front()?;
        if of_tenant.is_empty() {
            self.ready.remove(&tenant);
        }
        self.ready_len -= 1;
        self.last_ready = tenant;
        Some(id)
    }

    /// How many tasks are ready.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready_len
    }

    /// How many tasks are due before the horizon.
    pub(crate) fn soon_len(&self) -> usize {
        self.known.len()
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
            let of_tenant = self.soon.entry(self.owners.of(due.id)).or_default();
            of_tenant.push(Reverse(due));
        }
    }

    /// When the next task is due, if that is known.
    pub(crate) fn next_due(&self) -> Option<MonotonicTime> {
        let first = |of_tenant: &BinaryHeap<Reverse<Due>>| of_tenant.peek().map(|due| due.0.at);
        self.soon.values().filter_map(first).min()
    }

    /// The next task that is due at `now`.
    pub(crate) fn wake(&mut self, now: MonotonicTime) -> Option<Due> {
        let is_due = |(_, of_tenant): &(_, &BinaryHeap<Reverse<Due>>)| {
            of_tenant.peek().is_some_and(|first| first.0.at <= now)
        };
        let (tenant, _) = in_turn(&self.soon, self.last_woken).find(is_due)?;
        let tenant = *tenant;
        let of_tenant = self.soon.get_mut(&tenant)?;
        let Reverse(due) = of_tenant.pop()?;
        if of_tenant.is_empty() {
            self.soon.remove(&tenant);
        }
        self.known.remove(&(due.id, due.at));
        self.last_woken = tenant;
        Some(due)
    }
}

/// Tenants and what they have, from the one behind the last on, around to that one.
fn in_turn<T>(
    tenants: &BTreeMap<TenantId, T>,
    last: TenantId,
) -> impl Iterator<Item = (&TenantId, &T)> {
    let behind = tenants.range((Bound::Excluded(last), Bound::Unbounded));
    behind.chain(tenants.range(..=last))
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

    /// A queue in which tasks up to 1,000 are the default tenant's, and each thousand after that is
    /// another tenant's.
    fn shared(most: u64) -> Queue {
        let owners = Owners::default();
        for id in 1..=most {
            owners.add(TaskId(id), TenantId((id - 1) / 1000));
        }
        Queue::new(Arc::new(owners))
    }

    /// 1,000 tasks of one tenant are ready or due before 10 of another are.
    #[test]
    fn a_tenant_with_many_tasks_does_not_hold_up_one_with_a_few() {
        let ids: Vec<u64> = (1..=1010).collect();
        let mut ready = shared(2000);
        ids.iter().for_each(|id| ready.push(TaskId(*id)));
        let popped: Vec<u64> = std::iter::from_fn(|| ready.pop()).map(|id| id.0).collect();
        let mut asleep = shared(2000);
        asleep.raise_horizon(MonotonicTime::from_nanos(2000));
        ids.iter().for_each(|id| asleep.schedule(due(*id, *id)));
        assert_eq!(asleep.soon_len(), 1010);
        let now = MonotonicTime::from_nanos(2000);
        let woken = std::iter::from_fn(|| asleep.wake(now));
        let woken: Vec<u64> = woken.map(|due| due.id.0).collect();
        for order in [popped, woken] {
            // Turn about as long as both have some, and each tenant's in their own order.
            let few = (1001..=1010)
                .zip(1..=10)
                .flat_map(|(few, many)| [few, many]);
            let expected: Vec<u64> = few.chain(11..=1000).collect();
            assert_eq!(order, expected);
        }
        assert_eq!((ready.ready_len(), asleep.soon_len()), (0, 0));
    }

    /// Whoever has nothing that is due is passed over, and the next due time is that of all.
    #[test]
    fn a_tenant_whose_tasks_are_not_due_takes_no_turn() {
        let mut queue = shared(3000);
        queue.raise_horizon(MonotonicTime::from_nanos(100));
        for (at, id) in [(90, 1001), (50, 1), (60, 2), (70, 2001)] {
            queue.schedule(due(at, id));
        }
        assert_eq!(queue.next_due(), Some(MonotonicTime::from_nanos(50)));
        let at = |now| MonotonicTime::from_nanos(now);
        let woken: Vec<_> = std::iter::from_fn(|| queue.wake(at(80))).collect();
        assert_eq!(woken, [due(70, 2001), due(50, 1), due(60, 2)]);
        assert_eq!(queue.next_due(), Some(at(90)));
        assert_eq!(queue.wake(at(90)), Some(due(90, 1001)));
        assert_eq!((queue.next_due(), queue.wake(at(100))), (None, None));
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
