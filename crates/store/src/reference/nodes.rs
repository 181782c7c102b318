//! Nodes in the maps.

use std::ops::Range;
use std::time::Duration;

use super::{Node, Reference, State};
use crate::class::ClassId;
use crate::error::Error;
use crate::model::{MonotonicTime, TaskId};
use crate::nodes::{Claimed, NodeRow, Nodes, Wish};
use crate::store::{Lease, Stamp};

impl State {
    pub(super) fn join(
        &mut self,
        name: &str,
        now: &Stamp,
        lasts: Duration,
        since: MonotonicTime,
    ) -> Lease {
        self.epoch += 1;
        self.stamp = Some(*now);
        let node = Node {
            name: name.into(),
            lasts,
            expires: since.saturating_add(lasts),
            since,
            details: String::new(),
        };
        self.nodes.insert(self.epoch, node);
        Lease {
            epoch: self.epoch,
            lasts,
        }
    }

    /// Makes the tasks of nodes that are none any more nobody's; returns how many.
    pub(super) fn free_dead(&mut self) -> u64 {
        let mut freed = 0;
        for task in self.tasks.values_mut() {
            if task.owner != 0 && !self.nodes.contains_key(&task.owner) {
                task.owner = 0;
                freed += 1;
            }
        }
        freed
    }
}

impl Reference {
    /// Works on the store as a node.
    fn as_node<T>(&self, node: &Lease, work: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = self.state.lock();
        match state.nodes.contains_key(&node.epoch) {
            true => Ok(work(&mut state)),
            false => Err(Error::Lost),
        }
    }
}

impl Reference {
    /// Makes a task a node's, or nobody's (0), against all rules: to see that a test finds that.
    pub fn set_owner(&self, id: TaskId, node: u64) {
        if let Some(task) = self.state.lock().tasks.get_mut(&id) {
            task.owner = node;
        }
    }
}

impl Nodes for Reference {
    fn join(&self, name: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error> {
        let since = self.clock.monotonic();
        Ok(self.state.lock().join(name, now, lasts, since))
    }

    fn beat(&self, node: &Lease, details: &str) -> Result<Vec<NodeRow>, Error> {
        let now = self.clock.monotonic();
        self.as_node(node, |state| {
            if let Some(node) = state.nodes.get_mut(&node.epoch) {
                if node.expires < now {
                    node.since = now;
                }
                node.expires = now.saturating_add(node.lasts);
                node.details = details.into();
            }
            let rows = state.nodes.iter().map(|(number, node)| NodeRow {
                number: *number,
                name: node.name.clone(),
                details: node.details.clone(),
                alive: node.expires >= now,
            });
            rows.collect()
        })
    }

    fn succeed(&self, node: &Lease, earlier: u64) -> Result<u64, Error> {
        self.as_node(node, |state| {
            if earlier != node.epoch {
                state.nodes.remove(&earlier);
            }
            let mut taken = 0;
            for task in state.tasks.values_mut() {
                if task.owner == earlier && earlier != 0 {
                    task.owner = node.epoch;
                    taken += 1;
                }
            }
            taken
        })
    }

    fn leave(&self, node: &Lease) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.nodes.remove(&node.epoch);
        state.free_dead();
        Ok(())
    }

    fn claim_due(&self, node: &Lease, wish: &Wish) -> Result<Vec<Claimed>, Error> {
        self.as_node(node, |state| {
            let name = state.nodes.get(&node.epoch).map(|node| node.name.clone());
            let mut claimed = Vec::new();
            for due in state.dues() {
                let Some(task) = state.tasks.get_mut(&due.id) else {
                    continue;
                };
                let until = match Some(&task.home) == name.as_ref() {
                    true => wish.own_until,
                    false => wish.any_until.min(wish.own_until),
                };
                let served = wish.classes.contains(&task.class);
                let is_free = task.owner == 0 && due.at <= until;
                if claimed.len() < wish.limit && is_free && served {
                    task.owner = node.epoch;
                    let snapshot = task.snapshot.clone();
                    let row = state.row(due.id);
                    claimed.extend(row.map(|row| Claimed { row, snapshot }));
                }
            }
            let given = state.tasks.iter_mut();
            let given = given.filter(|(_, task)| task.given && task.owner == node.epoch);
            let given: Vec<TaskId> = given
                .map(|(id, task)| {
                    task.given = false;
                    *id
                })
                .collect();
            for id in given {
                let snapshot = state.tasks.get(&id).and_then(|task| task.snapshot.clone());
                let row = state.row(id);
                claimed.extend(row.map(|row| Claimed { row, snapshot }));
            }
            claimed
        })
    }

    fn class(&self, node: &Lease, needs: &str) -> Result<ClassId, Error> {
        self.as_node(node, |state| {
            let classes = &mut state.classes;
            let place = classes.iter().position(|known| known == needs);
            let place = place.unwrap_or_else(|| {
                classes.push(needs.into());
                classes.len() - 1
            });
            ClassId(place as u32 + 1)
        })
    }

    fn classes(&self) -> Result<Vec<(ClassId, String)>, Error> {
        let state = self.state.lock();
        let ids = (1..).map(ClassId);
        Ok(ids.zip(state.classes.iter().cloned()).collect())
    }

    fn give_back(&self, node: &Lease, ids: &[TaskId]) -> Result<u64, Error> {
        self.as_node(node, |state| {
            let mut freed = 0;
            for (id, task) in &mut state.tasks {
                if ids.contains(id) && task.owner == node.epoch {
                    task.owner = 0;
                    freed += 1;
                }
            }
            freed
        })
    }

    fn owners(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, u64)>, Error> {
        let state = self.state.lock();
        let owned = state
            .tasks
            .iter()
            .filter(|(id, task)| task.owner != 0 && ids.contains(id));
        Ok(owned.map(|(id, task)| (*id, task.owner)).collect())
    }

    fn owned(&self, node: &Lease) -> Result<Vec<TaskId>, Error> {
        let state = self.state.lock();
        let owned = state
            .tasks
            .iter()
            .filter(|(_, task)| task.owner == node.epoch);
        Ok(owned.map(|(id, _)| *id).collect())
    }

    fn free_dead(&self, node: &Lease) -> Result<u64, Error> {
        let now = self.clock.monotonic();
        self.as_node(node, |state| {
            let may = state.nodes.get(&node.epoch).is_some_and(|node| {
                node.since.saturating_add(node.lasts) < now && node.expires >= now
            });
            if may {
                state.nodes.retain(|_, node| node.expires >= now);
            }
            state.free_dead()
        })
    }

    fn take_ids(&self, node: &Lease, count: u64) -> Result<Range<u64>, Error> {
        self.as_node(node, |state| {
            let first = state.last_task + 1;
            state.last_task += count;
            first..first + count
        })
    }
}
