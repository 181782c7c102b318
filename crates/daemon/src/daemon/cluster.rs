//! What is asked of a daemon about the other nodes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, blocking};
use crate::driver::Message;
use crate::driver::commands::Ask;
use crate::driver::state::{Counted, DaemonState};
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{TaskId, TaskState};
use crate::nodes::info::NodeInfo;

/// The states of tasks in memory. In the store such a task is hibernated.
const STATES_IN_MEMORY: [TaskState; 3] = [TaskState::Ready, TaskState::Running, TaskState::Parked];

/// A count of the tasks that took so long is used for a while: for so many times as long as it took.
const LONG_COUNT: Duration = Duration::from_millis(50);
const COUNT_LASTS: u32 = 20;

impl Daemon {
    /// Whether several nodes share the store.
    pub fn is_node(&self) -> bool {
        self.shared.member.is_some()
    }

    /// The nodes that share the store, as they were a second ago; nothing where this daemon has the
    /// store for itself.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let mut nodes = match &self.shared.member {
            Some(member) => member.known(),
            None => Vec::new(),
        };
        // Of this one, more is known.
        for node in nodes.iter_mut().filter(|node| node.here) {
            node.load = self.shared.load();
        }
        nodes
    }

    /// The other node that has a task; `None` where this one has it, or nobody.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn other_owner(&self, id: TaskId) -> Result<Option<NodeInfo>, Error> {
        let Some(member) = self.shared.member.clone() else {
            return Ok(None);
        };
        let asked = member.clone();
        let Some(owner) = blocking(move || Ok(asked.other_owner(id)?)).await? else {
            return Ok(None);
        };
        let known = member.known().into_iter();
        let node = known.into_iter().find(|node| node.number == owner);
        // One that has come within the last second is not known so far.
        Ok(Some(node.unwrap_or_else(|| NodeInfo::unknown(owner))))
    }

    /// How many tasks there are of each state, of all nodes together.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn states(&self) -> Result<Vec<(TaskState, u64)>, Error> {
        if !self.is_node() {
            return Ok(self.shared.metrics.states());
        }
        let mut counts: HashMap<TaskState, u64> = self.stored_states().await?.into_iter().collect();
        for node in self.nodes() {
            let load = node.load;
            let loads = [load.ready, load.running, load.parked];
            for (state, count) in STATES_IN_MEMORY.into_iter().zip(loads) {
                let asleep = counts.entry(TaskState::Hibernated).or_default();
                let count = count.min(*asleep);
                *asleep -= count;
                *counts.entry(state).or_default() += count;
            }
        }
        let count = |state| (state, counts.get(&state).copied().unwrap_or(0));
        Ok(TaskState::ALL.into_iter().map(count).collect())
    }

    /// How many tasks of each state the store has. To count a million of them takes the database half a
    /// second, so that a count that took long is used for a while, whoever asks.
    async fn stored_states(&self) -> Result<Vec<(TaskState, u64)>, Error> {
        let mut counted = self.shared.counted.lock().await;
        if let Some(counted) = &*counted
            && is_still_used(counted.took, counted.at.elapsed())
        {
            return Ok(counted.states.clone());
        }
        let (store, began) = (self.shared.store.clone(), Instant::now());
        let states = blocking(move || Ok(store.counts(None)?)).await?;
        *counted = Some(Counted {
            states: states.clone(),
            at: Instant::now(),
            took: began.elapsed(),
        });
        Ok(states)
    }

    /// Gives a task that this node has, or nobody, to another node. It is that one's, or waits to go on
    /// there, when this returns. Its connections are reset.
    ///
    /// # Errors
    /// If the other node cannot run it, or the state of the task does not allow it.
    pub async fn give(&self, id: TaskId, node: NodeInfo) -> Result<(), Error> {
        let shared = self.shared.clone();
        let to = node.clone();
        let lacks = blocking(move || {
            let row = shared.store.task(id)?;
            let row = row.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            match &shared.member {
                Some(member) => Ok(member.lacks(row.class, &to)?),
                None => Ok(None),
            }
        });
        let name = node.name;
        match lacks.await? {
            Some(what) => {
                let text = format!("node {name} cannot run task {id}: it lacks {what}");
                Err(Refused::Request(text).at("node").into())
            }
            None if node.draining => {
                let text = format!("node {name} is being drained, and takes no tasks");
                Err(Refused::Request(text).at("node").into())
            }
            None if node.here && self.shared.view(id).is_some() => Ok(()),
            None => self.ask(id, Ask::Give(node.number)).await,
        }
    }

    /// Drains this node, or ends that: it takes no work, puts what it has to sleep and gives it back,
    /// so that other nodes go on with it. A daemon that has its store for itself does nothing.
    pub fn set_node_draining(&self, draining: bool) {
        if let Some(member) = &self.shared.member {
            member.set_draining(draining);
            self.send(Message::Drain(draining));
        }
    }

    /// Gives all tasks back that this node has, after [`close`](Self::close), so that others go on with
    /// them at once. A daemon that has the store for itself has nothing to give back.
    pub async fn leave(&self) {
        if let Some(member) = self.shared.member.clone() {
            // What is not given back now is taken when the lease is over.
            let _ = tokio::task::spawn_blocking(move || member.leave()).await;
        }
    }
}

/// Whether a count is still used that took so long, and was made so long ago.
fn is_still_used(took: Duration, age: Duration) -> bool {
    took >= LONG_COUNT && age < took * COUNT_LASTS
}

/// The names of the nodes that have these tasks.
pub(super) fn node_names(
    shared: &DaemonState,
    ids: &[TaskId],
) -> Result<HashMap<TaskId, String>, Error> {
    let Some(member) = &shared.member else {
        return Ok(HashMap::new());
    };
    let known = member.known();
    let names = member.owners(ids)?.into_iter().map(|(id, owner)| {
        let node = known.iter().find(|node| node.number == owner);
        let name = node.map_or_else(|| NodeInfo::unknown(owner).name, |node| node.name.clone());
        (id, name)
    });
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small stores are counted whenever somebody asks, and a large one for a twentieth of the time.
    #[test]
    fn a_count_is_used_for_as_long_as_it_was_worth() {
        let at = Duration::from_millis;
        assert!(!is_still_used(at(49), at(0)));
        assert!(is_still_used(at(50), at(999)));
        assert!(!is_still_used(at(50), at(1_000)));
        assert!(is_still_used(at(500), at(9_999)));
        assert!(!is_still_used(at(500), at(10_000)));
    }
}
