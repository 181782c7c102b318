//! What the driver, the workers and those who ask have in common.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast};

use super::Options;
use super::budget::Budget;
use super::journal::Journal;
use super::metrics::Metrics;
use super::output::{Following, Tail};
use super::sockets::Sockets;
use super::time::Time;
use super::trouble::Troubles;
use crate::model::{TaskId, TaskState, Wait};
use crate::store::Store;

/// What those who watch are told: a task and its new state, or `None` where it is gone.
pub type Moved = (TaskId, Option<TaskState>);

/// What is shared.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) journal: Journal,
    pub(super) metrics: Arc<Metrics>,
    pub(super) time: Arc<Time>,
    pub(super) options: Arc<Options>,
    pub(super) following: Following,
    pub(super) sockets: Arc<Sockets>,
    pub(super) troubles: Troubles,
    pub(super) budget: Arc<Budget>,
    pub(super) moves: broadcast::Sender<Moved>,
    /// Tasks on which something is being done, which the store does not tell.
    views: Mutex<HashMap<TaskId, View>>,
    lost: AtomicBool,
    over: Notify,
}

/// A task on which something is being done.
#[derive(Clone)]
pub(super) struct View {
    pub(super) state: TaskState,
    pub(super) tail: Option<Tail>,
    /// What it waits for in memory, and until when.
    pub(super) wait: Option<(Wait, Option<u64>)>,
    /// Bytes of its memories.
    pub(super) memory: u64,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        journal: Journal,
        metrics: Arc<Metrics>,
        time: Arc<Time>,
        options: Arc<Options>,
        following: Following,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            store,
            journal,
            metrics,
            time,
            options,
            following,
            sockets: Arc::default(),
            troubles: Troubles::default(),
            budget,
            moves: broadcast::channel(1024).0,
            views: Mutex::default(),
            lost: AtomicBool::new(false),
            over: Notify::new(),
        }
    }

    fn views(&self) -> MutexGuard<'_, HashMap<TaskId, View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a task stands, if something is being done with it.
    pub(super) fn view(&self, id: TaskId) -> Option<View> {
        self.views().get(&id).cloned()
    }

    /// The tasks in memory that have one of these states.
    pub(super) fn ids(&self, states: &[TaskState]) -> Vec<TaskId> {
        let views = self.views();
        let those = views
            .iter()
            .filter(|(_, view)| states.contains(&view.state));
        those.map(|(id, _)| *id).collect()
    }

    pub(super) fn enter(&self, id: TaskId, state: TaskState) {
        let view = View {
            state,
            tail: None,
            wait: None,
            memory: 0,
        };
        self.views().insert(id, view);
    }

    pub(super) fn leave(&self, id: TaskId) {
        self.views().remove(&id);
    }

    pub(super) fn set_memory(&self, id: TaskId, memory: u64) {
        if let Some(view) = self.views().get_mut(&id) {
            view.memory = memory;
        }
    }

    pub(super) fn set_wait(&self, id: TaskId, wait: Option<Wait>, wakes: Option<u64>) {
        if let Some(view) = self.views().get_mut(&id) {
            view.wait = wait.map(|wait| (wait, wakes));
        }
    }

    pub(super) fn set_tail(&self, id: TaskId, tail: Tail) {
        if let Some(view) = self.views().get_mut(&id) {
            view.tail = Some(tail);
        }
    }

    pub(super) fn moved(&self, id: TaskId, from: TaskState, to: TaskState) {
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

    pub(super) fn gone(&self, id: TaskId, from: TaskState) {
        self.metrics.add(from, -1);
        self.leave(id);
        self.troubles.over(id);
        self.tell(id, None);
    }

    pub(super) fn tell(&self, id: TaskId, state: Option<TaskState>) {
        if self.moves.receiver_count() > 0 {
            // Whoever watched has just gone.
            let _ = self.moves.send((id, state));
        }
    }

    /// More, or less, memory of instances that wait.
    pub(super) fn warm(&self, change: i64) {
        let bytes = &self.metrics.warm_bytes;
        match u64::try_from(change) {
            Ok(more) => bytes.fetch_add(more, Ordering::Relaxed),
            Err(_) => bytes.fetch_sub(change.unsigned_abs(), Ordering::Relaxed),
        };
    }

    /// Another daemon has taken the store over: this one must end.
    pub(super) fn lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
        self.over.notify_waiters();
    }

    /// Completes when the store has been taken over by another daemon.
    pub(super) async fn until_lost(&self) {
        loop {
            let over = self.over.notified();
            if self.lost.load(Ordering::Relaxed) {
                return;
            }
            over.await;
        }
    }
}
