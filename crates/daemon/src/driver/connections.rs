//! Tasks whose connections have tasks of their own: what these come to is stored with the row of
//! the listener, in one transaction.
//!
//! ```text
//!   accepted:   listener's row (IDs of its connections) + a row for each new connection
//!   collected:  listener's row (without the IDs, with what was written) + removal of the rows
//! ```

use std::time::Duration;

use tokio::sync::oneshot;

use crate::driver::collected::{Over, UnderWay, removal};
use crate::driver::commands::{Ask, Command};
use crate::driver::planned::PlannedChange;
use crate::driver::{Driver, Message};
use crate::error::Error as Refused;
use crate::model::{MonotonicTime, TaskId, TaskState, When};
use crate::store::{Change, Error as StoreError, Insert, OutputPiece, TaskRow, Update};

/// How long after a failure to read a listener's row it is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

impl Driver {
    /// A listener has accepted connections, or listens from now on. Where it could not accept one,
    /// it tries so again.
    pub(super) fn accepted(
        &mut self,
        update: Update,
        connections: Vec<Insert>,
        again: Option<MonotonicTime>,
    ) {
        let id = update.id;
        if let Some(live) = self.live.get_mut(&id) {
            live.busy = true;
        }
        for new in &connections {
            self.shared.owners.add(new.id, new.tenant);
        }
        let added = connections.iter().map(|new| (new.id, new.due)).collect();
        let under_way = UnderWay {
            added,
            over: Vec::new(),
        };
        self.connections.under_way.insert(id, under_way);
        let planned = PlannedChange {
            state: Some(update.state),
            change: Change::Update(update),
            with: connections.into_iter().map(Change::Insert).collect(),
            // In this daemon its socket wakes it, or the end of a connection.
            due: again.map_or(When::NEVER, When::steady),
        };
        self.send_change(id, planned, None);
    }

    /// The connection of a task has ended.
    pub(super) fn connection_over(
        &mut self,
        (id, version): Over,
        listener: TaskId,
        output: Vec<OutputPiece>,
    ) {
        if let Some(live) = self.live.get_mut(&id) {
            live.busy = true;
        }
        self.collect(listener, output, Some((id, version)));
    }

    /// Notes what a connection has come to, to store it with its listener.
    pub(super) fn collect(
        &mut self,
        listener: TaskId,
        output: Vec<OutputPiece>,
        over: Option<Over>,
    ) {
        let is_new = !self.connections.collected.contains_key(&listener);
        let collected = self.connections.collected.entry(listener).or_default();
        collected.output.extend(output);
        collected.over.extend(over);
        if is_new {
            self.command(collecting(listener));
        }
    }

    /// The row of a listener has been read, to store what its connections have come to.
    pub(super) fn collect_into(
        &mut self,
        command: Command,
        row: Result<Option<TaskRow>, StoreError>,
    ) {
        let id = command.id;
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                log::warn!("task {id}: what it has accepted is not stored yet: {error}");
                self.forget_reading(id);
                let outbox = self.outbox.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(READ_AGAIN_AFTER).await;
                    // An error means that the driver has ended.
                    let _ = outbox.send(Message::Command(command));
                });
                return;
            }
        };
        let collected = self.connections.collected.remove(&id).unwrap_or_default();
        let (time, limit) = (&self.shared.time, self.shared.options.output_limit);
        let planned = row.map(|row| {
            let planned = collected.change(&row, time, limit);
            planned.map(|planned| (row, planned))
        });
        match planned {
            Some(Ok((row, planned))) => {
                let was = row.due.map_or(When::NEVER, When::steady);
                self.shared.enter(id, row.state);
                if let Some(live) = self.live.get_mut(&id) {
                    live.state = row.state;
                    live.asked.push(command);
                    live.busy = true;
                }
                let under_way = UnderWay {
                    added: Vec::new(),
                    over: collected.over,
                };
                self.connections.under_way.insert(id, under_way);
                self.try_change(id, planned, was, true);
            }
            // The listener was removed, or cannot be read: its connections end without it.
            gone => {
                if let Some(Err(error)) = gone {
                    log::error!("task {id}: what its connections have written is lost: {error}");
                }
                self.forget_reading(id);
                self.remove_alone(collected.over);
            }
        }
    }

    /// Nothing is done any more on a task of which only the row was to be read.
    fn forget_reading(&mut self, id: TaskId) {
        let waiting = self.live.remove(&id).map(|live| live.waiting);
        for command in waiting.into_iter().flatten() {
            self.command(command);
        }
    }

    fn remove_alone(&mut self, over: Vec<Over>) {
        for (id, version) in over {
            let planned = PlannedChange {
                change: removal((id, version)),
                with: Vec::new(),
                state: None,
                due: When::NEVER,
            };
            self.send_change(id, planned, None);
        }
    }

    /// What follows for its connections from the change of a listener's, which is stored now, or
    /// will not be.
    pub(super) fn connections_answered(&mut self, listener: TaskId, is_stored: bool) {
        let Some(under_way) = self.connections.under_way.remove(&listener) else {
            return;
        };
        if !is_stored {
            for (id, _) in under_way.added {
                self.shared.sockets.close(id);
            }
            return self.remove_alone(under_way.over);
        }
        for (id, due) in under_way.added {
            self.shared.metrics.add(TaskState::Hibernated, 1);
            self.shared.tell(id, Some(TaskState::Hibernated));
            if let Some(tasks) = &mut self.ownership {
                tasks.note(id, true);
            }
            self.sleep(id, due);
        }
        for (id, _) in under_way.over {
            self.connection_removed(id);
        }
    }

    /// The row of a connection's task is removed.
    fn connection_removed(&mut self, id: TaskId) {
        if let Some(tasks) = &mut self.ownership {
            tasks.note(id, false);
        }
        self.shared.sockets.close(id);
        self.watched.remove(&id);
        self.knocked.remove(&id);
        self.remember(id, 0);
        if let Some(live) = self.live.get_mut(&id) {
            for command in std::mem::take(&mut live.asked) {
                match command.ask {
                    Ask::Kill | Ask::Remove => command.done(),
                    _ => command.refuse(Refused::NoTask(id.to_string())),
                }
            }
        }
        self.forget(id);
    }

    /// A listener ends, or is removed: so do its connections.
    pub(super) fn end_connections(&mut self, connections: Vec<TaskId>) {
        for id in connections {
            let (reply, _) = oneshot::channel();
            let ask = Ask::Kill;
            self.command(Command { id, ask, reply });
        }
    }

    /// Ends a connection whose task is only in the store, as a command asks for.
    pub(super) fn end_stored_connection(
        &mut self,
        command: Command,
        row: &TaskRow,
        listener: TaskId,
    ) {
        let id = row.id;
        self.shared.enter(id, row.state);
        if let Some(live) = self.live.get_mut(&id) {
            live.state = row.state;
            live.asked.push(command);
        }
        self.connection_over((id, row.version), listener, Vec::new());
    }
}

/// The command that stores what a listener's connections have come to.
fn collecting(id: TaskId) -> Command {
    // Nobody waits for the answer.
    let (reply, _) = oneshot::channel();
    let ask = Ask::Collect;
    Command { id, ask, reply }
}
