//! Due tasks: where they are found, and how they come to the workers.

use std::collections::hash_map::Entry;

use crate::driver::{
    Driver, HORIZON, INDEX_ENTRIES_AT_ONCE, INDEX_RETRY, Live, MOST_CHANGES_UNDER_WAY,
    MOST_INSTANCES, MOST_READY_TASKS, Message, READING_INDEX,
};
use crate::model::{Event, TaskId, TaskState, When};
use crate::store::Due;
use crate::throttled_log::{note_recovered, warn_throttled};
use crate::workers::messages::WorkerJob;

impl Driver {
    /// Reads more of the store's index, where the queue does not reach far enough ahead.
    pub(super) fn read_window(&mut self) {
        let now = self.shared.time.now();
        let far = self.queue.horizon() > now.saturating_add(HORIZON / 2);
        let early = now < self.read_again;
        if self.reading
            || self.shifting
            || early
            || far
            || self.queue.soon_len() > INDEX_ENTRIES_AT_ONCE / 2
            || self.closing.is_some()
        {
            return;
        }
        self.reading = true;
        let until = now.saturating_add(HORIZON);
        self.queue.raise_horizon(until);
        let (shared, outbox, cursor) = (self.shared.clone(), self.outbox.clone(), self.cursor);
        let steps = self.steps;
        self.outside.run(Box::new(move || {
            let found = shared.store.due(cursor, until, INDEX_ENTRIES_AT_ONCE);
            let found = found.map_err(|error| error.to_string());
            // An error means that the driver has ended.
            let _ = outbox.send(Message::Window { steps, found });
        }));
    }

    pub(super) fn window(&mut self, steps: u64, found: Result<Vec<Due>, String>) {
        self.reading = false;
        if steps != self.steps {
            return;
        }
        match found {
            Ok(found) => {
                note_recovered(READING_INDEX, "which tasks are due can be read");
                if let Some(last) = found.last() {
                    if found.len() == INDEX_ENTRIES_AT_ONCE {
                        self.queue.lower_horizon(last.at);
                    }
                    self.cursor = Some(*last);
                }
                for due in found {
                    self.queue.schedule(due);
                }
            }
            Err(error) => {
                warn_throttled(READING_INDEX, &error, || {
                    format!("cannot read which tasks are due: {error}")
                });
                self.read_again = self.shared.time.now().saturating_add(INDEX_RETRY);
                let known = self.cursor.map(|cursor| cursor.at);
                self.queue.lower_horizon(known.unwrap_or_default());
            }
        }
    }

    pub(super) fn can_wake(&self) -> bool {
        self.queue.ready_len() < MOST_READY_TASKS && self.closing.is_none() && !self.is_draining()
    }

    pub(super) fn wake(&mut self) {
        let now = self.shared.time.now();
        while self.can_wake()
            && let Some(due) = self.queue.wake(now)
        {
            // It was given back, and may be another node's.
            if !self.has(due.id) {
                continue;
            }
            // A task whose sockets are watched is due in the store only for a daemon that does not
            // watch them.
            let later = |when: &When| self.shared.time.due(*when).is_none_or(|at| at > now);
            if self.watched.get(&due.id).is_some_and(later) {
                continue;
            }
            // A task that is live already is queued again when it has been stored.
            if let Entry::Vacant(vacant) = self.live.entry(due.id) {
                let mut live = Live::new(TaskState::Hibernated);
                live.loading = true;
                live.knocked = self.knocked.remove(&due.id);
                self.watched.remove(&due.id);
                vacant.insert(live);
                self.shared.enter(due.id, TaskState::Hibernated);
                self.step(due.id, Event::Wake);
                self.queue.push(due.id);
            }
        }
    }

    pub(super) fn dispatch(&mut self) {
        while self.storing < MOST_CHANGES_UNDER_WAY
            && self.closing.is_none()
            && !self.is_draining()
            && self.outside.has_room()
        {
            let Some(id) = self.queue.pop() else { return };
            let Some(live) = self.live.get_mut(&id) else {
                continue;
            };
            if live.state != TaskState::Ready || live.busy {
                continue;
            }
            let job = match live.guest.take() {
                Some(guest) => WorkerJob::Step(guest),
                // There is no place for another instance until one is dropped.
                None if self.loaded >= MOST_INSTANCES => {
                    self.queue.push(id);
                    return;
                }
                None => {
                    live.loaded = true;
                    self.loaded += 1;
                    let tasks = self.ownership.as_mut();
                    WorkerJob::Load {
                        id,
                        handle: live.handle.clone(),
                        knocked: live.knocked.take(),
                        claimed: tasks.and_then(|tasks| tasks.take_claimed(id)),
                    }
                }
            };
            self.step(id, Event::Start);
            self.outside.send(job);
        }
    }

    /// Notes when a task is due, unless something is being done on it. Where several nodes share the
    /// store, the tasks of this one are noted, and no others.
    pub(super) fn sleep(&mut self, id: TaskId, due: When) {
        if let Some(at) = self.shared.time.due(due)
            && !self.live.contains_key(&id)
        {
            match &self.ownership {
                None => self.queue.schedule(Due { at, id }),
                Some(tasks) if tasks.has(id) => self.queue.schedule_always(Due { at, id }),
                Some(_) => {}
            }
        }
    }

    /// Watches the sockets of a sleeping task.
    pub(super) fn watch(&mut self, id: TaskId) {
        let Some(wakes) = self.shared.sockets.watched(id) else {
            return;
        };
        self.watched.insert(id, wakes);
        let (outbox, sockets) = (self.outbox.clone(), self.shared.sockets.clone());
        tokio::spawn(async move {
            sockets.knock(id).await;
            // An error means that the driver has ended.
            let _ = outbox.send(Message::Knock(id));
        });
    }

    /// A socket that a task waits for is ready, or is not kept any longer.
    pub(super) fn knock(&mut self, id: TaskId) {
        if self.watched.remove(&id).is_some() {
            let at = self.shared.time.now();
            self.knocked.insert(id, at);
            self.queue.schedule_always(Due { at, id });
        }
    }
}
