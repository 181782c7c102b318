//! What the driver does with the workers' reports, and with waits that are over.

use std::time::Duration;

use crate::driver::not_stored::NotStored;
use crate::driver::storing::WakeUp;
use crate::driver::{Driver, Message, Want};
use crate::error::Error as Refused;
use crate::model::{Event, TaskId, TaskState, When};
use crate::throttled_log::warn_throttled;
use crate::workers::guest::LoadedTask;
use crate::workers::messages::{WorkerJob, WorkerReport};

/// Topics of the log: tasks that cannot be loaded, and tasks that cannot be frozen.
const LOADING_TASKS: &str = "loading";
const SUSPENDING_TASKS: &str = "suspending";

/// While the daemon ends, a guest that could not be frozen is tried again this much later.
const FREEZE_AGAIN_AFTER: Duration = Duration::from_millis(500);

impl Driver {
    pub(super) fn report(&mut self, report: WorkerReport) {
        match report {
            WorkerReport::Started { id, tail } => {
                self.shared.set_tail(id, tail);
                self.shared.retries.over(id);
                if let Some(live) = self.live.get_mut(&id) {
                    live.loading = false;
                    let waiting = std::mem::take(&mut live.waiting);
                    waiting
                        .into_iter()
                        .for_each(|command| self.command(command));
                }
            }
            WorkerReport::Stale { id, due } => {
                self.release(id, due.map_or(When::NEVER, When::steady));
            }
            WorkerReport::Misplaced { id } => self.give_back(vec![id]),
            WorkerReport::Parked(guest) => self.park(guest),
            WorkerReport::Preempted(guest) => self.preempted(guest),
            WorkerReport::Asked(guest) => self.asked(guest),
            WorkerReport::Store { update, keeps } => {
                let id = update.id;
                if let Some(guest) = &keeps {
                    self.remember(id, guest.memory);
                }
                self.store(*update, keeps);
            }
            WorkerReport::Unable {
                guest,
                error,
                passes,
            } => self.unable(guest, &error, passes),
            WorkerReport::NotLoaded { id, error } => {
                warn_throttled(LOADING_TASKS, &error, || {
                    format!("task {id} cannot go on for now, and is tried again: {error}")
                });
                self.again(id, &error);
            }
            WorkerReport::Accepted {
                update,
                connections,
                again,
            } => self.accepted(*update, connections, again),
            WorkerReport::NeedsRoom { id, silent, due } => {
                self.end_connections(vec![silent]);
                self.release(id, due.map_or(When::NEVER, When::steady));
            }
            WorkerReport::Wrote { listener, output } => self.collect(listener, output, None),
            WorkerReport::ConnectionOver {
                id,
                version,
                listener,
                output,
            } => self.connection_over((id, version), listener, output),
            WorkerReport::Crowded { id, loaded } => self.crowd(id, loaded),
            WorkerReport::Lost { id } => {
                let error = "a part of the daemon failed while the task ran";
                warn_throttled(LOADING_TASKS, error, || {
                    format!("task {id}: {error}; it goes on from its last snapshot")
                });
                self.later(id, error);
            }
        }
    }

    /// The task continues from its last snapshot, after a while.
    pub(super) fn later(&mut self, id: TaskId, error: &str) {
        // The sockets that are kept belong to a snapshot that is not stored.
        self.shared.sockets.drop_kept(id);
        self.again(id, error);
    }

    /// The task could not go on, and is tried again after a while. Until then nothing wakes it.
    fn again(&mut self, id: TaskId, error: &str) {
        let now = self.shared.time.now();
        let at = self.shared.retries.failed(id, now, error);
        self.release_to(id, WakeUp::NotBefore(at));
    }

    pub(super) fn remember(&mut self, id: TaskId, memory: u64) {
        if let Some(live) = self.live.get_mut(&id) {
            self.shared
                .add_parked_memory(memory as i64 - live.memory as i64);
            live.memory = memory;
            self.shared.set_memory(id, memory);
        }
    }

    /// Parks a guest: it waits with its instance in memory.
    pub(super) fn park(&mut self, guest: Box<LoadedTask>) {
        let id = guest.id;
        self.remember(id, guest.memory);
        let Some(live) = self.live.get(&id) else {
            return;
        };
        if live.want != Want::Nothing || self.closing.is_some() || self.is_draining() {
            return self.asked(guest);
        }
        if live.state == TaskState::Running {
            self.step(id, Event::Park);
        }
        let wait = guest.task.wait();
        let wakes = guest.task.wakes_at();
        self.shared.set_wait(id, wait, wakes);
        let watchable = guest.task.is_watchable();
        let patience = self.shared.options.hibernate_after;
        // A guest that could not be frozen is tried again.
        let now = self.shared.time.now();
        let trouble = self.shared.retries.of(id);
        let again = trouble.map(|trouble| trouble.next.saturating_duration_since(now));
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let mut guest = guest;
            let handle = guest.task.handle();
            // A guest whose sockets are silent need not be in memory.
            let idle = async {
                match (again, watchable) {
                    (Some(left), _) => tokio::time::sleep(left).await,
                    (None, true) => tokio::time::sleep(patience).await,
                    (None, false) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = handle.asked() => {}
                () = idle => handle.suspend(),
                // Whether the limit is reached is seen when the guest is run.
                () = crate::task::time_ends(&guest.task) => drop(guest.task.check_time()),
                ready = crate::task::reactor::ready(&mut guest.task) => {
                    if let Err(error) = ready {
                        log::warn!("task {}: {error}", guest.id);
                    }
                }
            }
            // An error means that the driver has ended.
            let _ = outbox.send(Message::WaitOver(guest));
        });
    }

    pub(super) fn wait_over(&mut self, guest: Box<LoadedTask>) {
        let id = guest.id;
        if guest.task.handle().is_asked() {
            return self.asked(guest);
        }
        self.step(id, Event::Wake);
        if let Some(live) = self.live.get_mut(&id) {
            live.guest = Some(guest);
            self.queue.push(id);
        }
    }

    pub(super) fn preempted(&mut self, guest: Box<LoadedTask>) {
        let id = guest.id;
        self.remember(id, guest.memory);
        let wanted = self
            .live
            .get(&id)
            .is_some_and(|live| live.want != Want::Nothing);
        if wanted || self.closing.is_some() || self.is_draining() {
            return self.asked(guest);
        }
        self.step(id, Event::Preempt);
        if let Some(live) = self.live.get_mut(&id) {
            live.guest = Some(guest);
            self.queue.push(id);
        }
    }

    /// A guest that was asked to suspend has unwound, and can be frozen.
    pub(super) fn asked(&mut self, guest: Box<LoadedTask>) {
        let state = match self.live.get(&guest.id).map(|live| live.want) {
            None => return,
            Some(Want::Pause) => TaskState::Paused,
            Some(Want::Move) => TaskState::Moving,
            // A killed guest is stepped once more; that step fails at once with the reason.
            Some(Want::Kill) => return self.outside.send(WorkerJob::Step(guest)),
            Some(Want::Checkpoint | Want::Give | Want::Nothing) => TaskState::Hibernated,
        };
        self.outside.send(WorkerJob::Freeze(guest, state));
    }

    /// A guest could not be frozen. Nothing is lost: it continues in memory, and is tried again at
    /// its next wait. While the daemon ends, what passes is tried again for as long as that takes.
    pub(super) fn unable(&mut self, guest: Box<LoadedTask>, error: &str, passes: bool) {
        let id = guest.id;
        warn_throttled(SUSPENDING_TASKS, error, || {
            format!("task {id} cannot be suspended, stays in memory, and is tried again: {error}")
        });
        let now = self.shared.time.now();
        self.shared.retries.failed(id, now, error);
        guest.task.handle().clear();
        let drains = self.is_draining();
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.want = Want::Nothing;
        live.stubborn = true;
        for command in live.asked.drain(..) {
            let error = error.to_string();
            command.refuse(Refused::Unable { id, error });
        }
        match self.closing.is_some() {
            false if drains => self.freeze_again(guest),
            false => self.park(guest),
            true if passes => {
                live.unstored = Some(error.into());
                self.freeze_again(guest);
            }
            true => {
                let error = Some(error.into());
                self.unwritten.push(NotStored { id, error });
                self.release(id, When::NEVER);
            }
        }
    }

    /// Tries once more to freeze a guest, after a while.
    fn freeze_again(&self, guest: Box<LoadedTask>) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FREEZE_AGAIN_AFTER).await;
            guest.task.handle().suspend();
            // An error means that the driver has ended.
            let _ = outbox.send(Message::WaitOver(guest));
        });
    }
}
