//! Commands from users, and how the driver ends.

use tokio::sync::oneshot;

use crate::driver::commands::{Ask, Command};
use crate::driver::move_step::MoveStep;
use crate::driver::not_stored::NotStored;
use crate::driver::{Driver, Live, Message, Want};
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Event, TaskId, TaskState, When};
use crate::store::{Error as StoreError, TaskRow};
use crate::stored::damaged::Stored;

impl Driver {
    pub(super) fn command(&mut self, command: Command) {
        let id = command.id;
        let is_own = matches!(command.ask, Ask::Collect);
        if self.closing.is_some() && !is_own {
            return command.refuse(Refused::Closing);
        }
        let Some(live) = self.live.get_mut(&id) else {
            // The task is only in the store: read its row first. What was read before may be changed.
            if let Some(tasks) = &mut self.ownership {
                tasks.take_claimed(id);
            }
            let mut live = Live::new(TaskState::Hibernated);
            live.busy = true;
            live.waiting.push(command);
            self.live.insert(id, live);
            return self.load(id);
        };
        if live.crowded {
            // The task has no guest in memory, so that its row is changed.
            live.waiting.push(command);
            return self.release(id, When::NEVER);
        }
        if let Some(error) = &live.unstored
            && !is_own
            && !matches!(command.ask, Ask::Move(_))
        {
            let refused = command.stuck(error);
            return command.refuse(refused);
        }
        if live.busy || live.loading {
            return live.waiting.push(command);
        }
        // The task is running: its schedule is looked at when the run ends.
        if matches!(command.ask, Ask::Reschedule) {
            return command.done();
        }
        let want = match command.want(live.state) {
            Ok(want) => want,
            Err(refused) => return command.refuse(refused),
        };
        live.asked.push(command);
        live.want = want;
        match want {
            Want::Kill => live.handle.kill(),
            _ => live.handle.suspend(),
        }
        // A guest in the queue gets its turn at once, to be frozen.
        if let Some(guest) = live.guest.take() {
            self.step(id, Event::Start);
            self.asked(guest);
        }
    }

    pub(super) fn load(&self, id: TaskId) {
        let (shared, outbox) = (self.shared.clone(), self.outbox.clone());
        self.outside.run(Box::new(move || {
            let row = shared.store.task(id);
            // An error means that the driver has ended.
            let _ = outbox.send(Message::Loaded { id, row });
        }));
    }

    /// A task's row has been read, for the commands that wait for it.
    pub(super) fn loaded(&mut self, id: TaskId, row: Result<Option<TaskRow>, StoreError>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.busy = false;
        let mut waiting = std::mem::take(&mut live.waiting).into_iter();
        let Some(command) = waiting.next() else {
            return;
        };
        live.waiting.extend(waiting);
        if matches!(command.ask, Ask::Collect) {
            return self.collect_into(command, row);
        }
        let row = match row {
            Ok(Some(row)) => row,
            Ok(None) | Err(_) => {
                let none = || Refused::NoTask(id.to_string()).into();
                let error = row.err().map_or_else(none, Error::from);
                let rest: Vec<_> = std::mem::take(&mut live.waiting);
                self.live.remove(&id);
                // An error means that the caller no longer waits.
                let _ = command.reply.send(Err(error));
                return rest.into_iter().for_each(|command| self.command(command));
            }
        };
        live.state = row.state;
        let ends = matches!(command.ask, Ask::Kill | Ask::Remove);
        let known = Stored::of(&row).status;
        if let Some(listener) = known.accepted_by.filter(|_| ends && !row.state.is_final()) {
            return self.end_stored_connection(command, &row, listener);
        }
        self.shared.enter(id, row.state);
        match command.change(&row, &self.shared.time) {
            Ok(Some(planned)) => {
                if let Some(live) = self.live.get_mut(&id) {
                    let begun = match &command.ask {
                        Ask::Move(step) => step.step != MoveStep::Stop,
                        Ask::Reschedule => true,
                        _ => false,
                    };
                    live.asked.push(command);
                    live.busy = true;
                    let was = row.due.map_or(When::NEVER, When::steady);
                    self.try_change(id, planned, was, begun);
                }
                if ends {
                    self.end_connections(known.connections);
                }
            }
            // The task is as the command wants it.
            Ok(None) => {
                command.done();
                self.release(id, row.due.map_or(When::NEVER, When::steady));
            }
            Err(refused) => {
                // An error means that the caller no longer waits.
                let _ = command.reply.send(Err(refused));
                self.release(id, row.due.map_or(When::NEVER, When::steady));
            }
        }
    }

    /// The tasks that were in memory and of which something is not stored.
    pub(super) fn not_stored(&self) -> Vec<NotStored> {
        let live = self
            .live
            .iter()
            .filter(|(_, live)| live.loaded && !live.loading);
        let live = live.map(|(id, live)| NotStored {
            id: *id,
            error: match (&live.unstored, live.busy) {
                (Some(error), _) => Some(error.clone()),
                (None, true) => Some("it was on its way to the disk".into()),
                (None, false) => None,
            },
        });
        self.unwritten.iter().cloned().chain(live).collect()
    }

    pub(super) fn close(&mut self, closed: oneshot::Sender<Vec<NotStored>>) {
        self.closing = Some(closed);
        self.shared.budget.close();
        self.put_to_sleep();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.storing == 0 && self.live.is_empty()
    }
}

impl Command {
    /// What the command wants of a task that is in memory.
    fn want(&self, state: TaskState) -> Result<Want, Refused> {
        match &self.ask {
            Ask::Move(step) if step.step == MoveStep::Stop => Ok(Want::Move),
            Ask::Move(_) => Err(self.not_while(state)),
            Ask::Pause => Ok(Want::Pause),
            Ask::Kill => Ok(Want::Kill),
            Ask::Give(_) => Ok(Want::Give),
            Ask::Checkpoint | Ask::Reschedule => Ok(Want::Checkpoint),
            Ask::Resume(_) | Ask::Start => Err(self.not_while(state)),
            Ask::Remove | Ask::Collect => Err(self.not_while(state)),
        }
    }
}
