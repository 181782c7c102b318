//! What the driver makes of the workers' reports, and of waits that are over.

use std::time::Duration;

use super::super::Error as Refused;
use super::super::complaints::complain;
use super::super::ending::NotStored;
use super::super::guest::Guest;
use super::super::job::{Job, Report};
use super::storing::Sleep;
use super::{Driver, Message, Want};
use crate::model::{Event, TaskId, TaskState, When};

/// What the log says about tasks that cannot be loaded, or not be written down.
const LOADING: &str = "loading";
const SUSPENDING: &str = "suspending";

/// While the daemon ends, a guest that could not be written down is tried again so much later.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

impl Driver {
    pub(super) fn report(&mut self, report: Report) {
        match report {
            Report::Started { id, tail } => {
                self.shared.set_tail(id, tail);
                self.shared.troubles.over(id);
                if let Some(live) = self.live.get_mut(&id) {
                    live.loading = false;
                    let waiting = std::mem::take(&mut live.waiting);
                    waiting
                        .into_iter()
                        .for_each(|command| self.command(command));
                }
            }
            Report::Stale { id, due } => {
                self.release(id, due.map_or(When::NEVER, When::steady));
            }
            Report::Parked(guest) => self.park(guest),
            Report::Preempted(guest) => self.preempted(guest),
            Report::Asked(guest) => self.asked(guest),
            Report::Store { update, keeps } => {
                let id = update.id;
                if let Some(guest) = &keeps {
                    self.remember(id, guest.memory);
                }
                self.store(*update, keeps);
            }
            Report::Unable {
                guest,
                error,
                passes,
            } => self.unable(guest, &error, passes),
            Report::Trouble { id, error } => {
                complain(LOADING, &error, || {
                    format!("task {id} cannot go on for now, and is tried again: {error}")
                });
                self.again(id, &error);
            }
            Report::Crowded { id, loaded } => self.crowd(id, loaded),
            Report::Lost { id } => {
                let error = "a part of the daemon failed while the task ran";
                complain(LOADING, error, || {
                    format!("task {id}: {error}; it goes on from its last snapshot")
                });
                self.later(id, error);
            }
        }
    }

    /// It goes on from its last snapshot, after a while.
    pub(super) fn later(&mut self, id: TaskId, error: &str) {
        // What was kept belongs to a snapshot that is not stored.
        self.shared.sockets.drop_kept(id);
        self.again(id, error);
    }

    /// It could not go on, and is tried again after a while. Until then nobody wakes it.
    fn again(&mut self, id: TaskId, error: &str) {
        let now = self.shared.time.now();
        let at = self.shared.troubles.failed(id, now, error);
        self.release_to(id, Sleep::Until(at));
    }

    pub(super) fn remember(&mut self, id: TaskId, memory: u64) {
        if let Some(live) = self.live.get_mut(&id) {
            self.shared.warm(memory as i64 - live.memory as i64);
            live.memory = memory;
            self.shared.set_memory(id, memory);
        }
    }

    /// Waits with the instance in memory.
    pub(super) fn park(&mut self, guest: Box<Guest>) {
        let id = guest.id;
        self.remember(id, guest.memory);
        let Some(live) = self.live.get(&id) else {
            return;
        };
        if live.want != Want::Nothing || self.closing.is_some() {
            return self.asked(guest);
        }
        if live.state == TaskState::Running {
            self.step(id, Event::Park);
        }
        let (wait, wakes) = (guest.task.wait(), guest.task.wakes_at());
        self.shared.set_wait(id, wait, wakes);
        let watchable = guest.task.is_watchable();
        let patience = self.shared.options.hibernate_after;
        // One that could not be written down is tried again.
        let now = self.shared.time.now();
        let trouble = self.shared.troubles.of(id);
        let again = trouble.map(|trouble| trouble.next.saturating_sub(now));
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let mut guest = guest;
            let handle = guest.task.handle();
            // One that nobody talks to need not be in memory.
            let idle = async {
                match (again, watchable) {
                    (Some(left), _) => tokio::time::sleep(Duration::from_nanos(left)).await,
                    (None, true) => tokio::time::sleep(patience).await,
                    (None, false) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = handle.asked() => {}
                () = idle => handle.suspend(),
                // Whether it is over is seen when it is run.
                () = crate::task::time_ends(&guest.task) => drop(guest.task.check_time()),
                ready = crate::task::reactor::ready(&mut guest.task) => {
                    if let Err(error) = ready {
                        log::warn!("task {}: {error}", guest.id);
                    }
                }
            }
            // The driver has gone.
            let _ = outbox.send(Message::WaitOver(guest));
        });
    }

    pub(super) fn wait_over(&mut self, guest: Box<Guest>) {
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

    pub(super) fn preempted(&mut self, guest: Box<Guest>) {
        let id = guest.id;
        self.remember(id, guest.memory);
        let wanted = self
            .live
            .get(&id)
            .is_some_and(|live| live.want != Want::Nothing);
        if wanted || self.closing.is_some() {
            return self.asked(guest);
        }
        self.step(id, Event::Preempt);
        if let Some(live) = self.live.get_mut(&id) {
            live.guest = Some(guest);
            self.queue.push(id);
        }
    }

    /// The guest stands where it can be written down.
    pub(super) fn asked(&mut self, guest: Box<Guest>) {
        let state = match self.live.get(&guest.id).map(|live| live.want) {
            None => return,
            Some(Want::Pause) => TaskState::Paused,
            Some(Want::Give) => TaskState::Moving,
            // A killed guest is stepped once more, which fails at once and says so.
            Some(Want::Kill) => return self.pool.send(Job::Step(guest)),
            Some(Want::Settle | Want::Nothing) => TaskState::Hibernated,
        };
        self.pool.send(Job::Freeze(guest, state));
    }

    /// Nothing is lost: the guest goes on in memory, and is tried again at its next wait. While the daemon ends, what
    /// passes is tried again for as long as that takes.
    pub(super) fn unable(&mut self, guest: Box<Guest>, error: &str, passes: bool) {
        let id = guest.id;
        complain(SUSPENDING, error, || {
            format!("task {id} cannot be suspended, stays in memory, and is tried again: {error}")
        });
        let now = self.shared.time.now();
        self.shared.troubles.failed(id, now, error);
        guest.task.handle().clear();
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
            false => self.park(guest),
            true if passes => {
                live.unstored = Some(error.into());
                self.write_again(guest);
            }
            true => {
                let error = Some(error.into());
                self.unwritten.push(NotStored { id, error });
                self.release(id, When::NEVER);
            }
        }
    }

    /// Tries once more to write a guest down, after a while.
    fn write_again(&self, guest: Box<Guest>) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            tokio::time::sleep(WRITE_AGAIN).await;
            guest.task.handle().suspend();
            // The driver has gone.
            let _ = outbox.send(Message::WaitOver(guest));
        });
    }
}
