//! What the driver, the workers and the daemon's handle have in common.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, broadcast};

use crate::blobs::preparations::Preparations;
use crate::driver::owners::Owners;
use crate::driver::retries::Retries;
use crate::journal::Journal;
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::model::{TaskId, TaskState, Timestamp, Wait};
use crate::nodes::info::Load;
use crate::nodes::member::Member;
use crate::options::Options;
use crate::sockets::Sockets;
use crate::store::Store;
use crate::time::clocks::Time;
use crate::workers::output::{Following, Tail};

/// An event: a task and its new state, or `None` where the task was removed.
pub type Moved = (TaskId, Option<TaskState>);

/// What the driver, the workers and the daemon's handle share.
pub(crate) struct DaemonState {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Journal,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) time: Arc<Time>,
    pub(crate) options: Arc<Options>,
    pub(crate) following: Following,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) retries: Retries,
    /// Whose the tasks are that are not the default tenant's.
    pub(crate) owners: Arc<Owners>,
    pub(crate) preparations: Arc<Preparations>,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) moves: broadcast::Sender<Moved>,
    /// This node, where several share the store.
    pub(crate) member: Option<Arc<Member>>,
    /// How many tasks of each state the store has, as they were counted last.
    pub(crate) counted: tokio::sync::Mutex<Option<Counted>>,
    /// Tasks on which something is being done. The store does not know how these stand.
    views: Mutex<HashMap<TaskId, View>>,
    lost: AtomicBool,
    over: Notify,
    /// How many tasks this node has.
    owned: AtomicU64,
}

/// A count of the tasks in the store.
pub(crate) struct Counted {
    pub(crate) states: Vec<(TaskState, u64)>,
    /// When it was done.
    pub(crate) at: Instant,
    /// How long it took.
    pub(crate) took: Duration,
}

/// A task on which something is being done.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) state: TaskState,
    pub(crate) tail: Option<Tail>,
    /// What it waits for in memory, and until when.
    pub(crate) wait: Option<(Wait, Option<Timestamp>)>,
    /// Bytes of its memories.
    pub(crate) memory: u64,
}

impl DaemonState {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        journal: Journal,
        metrics: Arc<Metrics>,
        time: Arc<Time>,
        options: Arc<Options>,
        following: Following,
        budget: Arc<MemoryBudget>,
    ) -> Self {
        Self {
            store,
            journal,
            metrics,
            time,
            options,
            following,
            sockets: Arc::default(),
            retries: Retries::default(),
            owners: Arc::default(),
            preparations: Arc::default(),
            budget,
            moves: broadcast::channel(1024).0,
            member: None,
            counted: tokio::sync::Mutex::default(),
            views: Mutex::default(),
            lost: AtomicBool::new(false),
            over: Notify::new(),
            owned: AtomicU64::new(0),
        }
    }

    fn views(&self) -> MutexGuard<'_, HashMap<TaskId, View>> {
        self.views.lock()
    }

    /// How a task stands, if something is being done on it.
    pub(crate) fn view(&self, id: TaskId) -> Option<View> {
        self.views().get(&id).cloned()
    }

    /// The tasks in memory that have one of these states.
    pub(crate) fn ids(&self, states: &[TaskState]) -> Vec<TaskId> {
        let views = self.views();
        let those = views
            .iter()
            .filter(|(_, view)| states.contains(&view.state));
        those.map(|(id, _)| *id).collect()
    }

    pub(crate) fn enter(&self, id: TaskId, state: TaskState) {
        let view = View {
            state,
            tail: None,
            wait: None,
            memory: 0,
        };
        self.views().insert(id, view);
    }

    pub(crate) fn leave(&self, id: TaskId) {
        self.views().remove(&id);
    }

    pub(crate) fn set_memory(&self, id: TaskId, memory: u64) {
        if let Some(view) = self.views().get_mut(&id) {
            view.memory = memory;
        }
    }

    pub(crate) fn set_wait(&self, id: TaskId, wait: Option<Wait>, wakes: Option<Timestamp>) {
        if let Some(view) = self.views().get_mut(&id) {
            view.wait = wait.map(|wait| (wait, wakes));
        }
    }

    pub(crate) fn set_tail(&self, id: TaskId, tail: Tail) {
        if let Some(view) = self.views().get_mut(&id) {
            view.tail = Some(tail);
        }
    }

    pub(crate) fn moved(&self, id: TaskId, from: TaskState, to: TaskState) {
        if from == to {
            return;
        }
        self.metrics.add(from, -1);
        self.metrics.add(to, 1);
        if let Some(view) = self.views().get_mut(&id) {
            view.state = to;
            if to != TaskState::Parked {
                view.wait = None;
            }
        }
        log::debug!("task={id} from={from} to={to}");
        self.tell(id, Some(to));
    }

    pub(crate) fn gone(&self, id: TaskId, from: TaskState) {
        self.metrics.add(from, -1);
        self.leave(id);
        self.retries.over(id);
        self.owners.remove(id);
        self.tell(id, None);
    }

    pub(crate) fn tell(&self, id: TaskId, state: Option<TaskState>) {
        if self.moves.receiver_count() > 0 {
            // An error means that the last receiver has just been dropped.
            let _ = self.moves.send((id, state));
        }
    }

    /// Counts memory of parked instances: this much more of it, or less.
    pub(crate) fn add_parked_memory(&self, change: i64) {
        let bytes = &self.metrics.warm_bytes;
        match u64::try_from(change) {
            Ok(more) => bytes.fetch_add(more, Ordering::Relaxed),
            Err(_) => bytes.fetch_sub(change.unsigned_abs(), Ordering::Relaxed),
        };
    }

    /// Notes how many tasks this node has.
    pub(super) fn set_owned(&self, owned: usize) {
        self.owned.store(owned as u64, Ordering::Relaxed);
    }

    /// How many tasks are in memory.
    pub(crate) fn load(&self) -> Load {
        let mut load = Load {
            owned: self.owned.load(Ordering::Relaxed),
            ..Load::default()
        };
        for view in self.views().values() {
            match view.state {
                TaskState::Ready => load.ready += 1,
                TaskState::Running => load.running += 1,
                TaskState::Parked => load.parked += 1,
                _ => {}
            }
            load.memory += view.memory;
        }
        load
    }

    /// Notes that another daemon has taken the store over, or that this node is fenced: this process
    /// must end.
    pub(crate) fn lost(&self) {
        if let Some(member) = &self.member {
            member.gate.shut();
        }
        self.lost.store(true, Ordering::Relaxed);
        self.over.notify_waiters();
    }

    /// Whether [`lost`](Self::lost) has been called.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Completes when the store has been taken over by another daemon.
    pub(crate) async fn until_lost(&self) {
        loop {
            let over = self.over.notified();
            if self.is_lost() {
                return;
            }
            over.await;
        }
    }
}
