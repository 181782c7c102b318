//! A task that has an instance for each HTTP request: it has no guest of its own, and accepts
//! connections. Each becomes a task, which answers the requests that come on it.
//!
//! ```text
//!   listener's row --load--> accept what is pending --> a row for each connection   } one
//!                                                  `--> the listener's, with their IDs } transaction
//!   connection's row --load--> an instance --> the next instance … --> the row is removed
//! ```

use std::io::{ErrorKind, Result as IoResult};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::model::error::Error;
use crate::model::spec::{Network, Schedule};
use crate::model::{Interest, MonotonicTime, TaskId, TaskSpec, TaskState, Wait, When};
use crate::store::{Insert, TaskRow, Update};
use crate::stored::damaged::Stored;
use crate::stored::encoding::{to_bytes, to_named_bytes};
use crate::stored::status::Status;
use crate::task::{Asleep, HeldSocket, Role, Watch, Watched};
use crate::throttled_log::warn_throttled;
use crate::workers::messages::WorkerReport;
use crate::workers::worker::Worker;

/// Topic of the log: connections that cannot be accepted.
const ACCEPTING: &str = "accepting";

/// After this time a task that could not accept a connection tries again.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// After this time a task that has all its connections looks whether others wait.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Worker {
    /// A turn of a task that has an instance for each request: accepts the connections that are
    /// pending, up to `most` with those that there are, and to what its tenant may have.
    pub(super) fn accept(
        &self,
        row: &TaskRow,
        spec: &TaskSpec,
        mut status: Status,
        most: NonZeroU16,
    ) -> Result<WorkerReport, Error> {
        let id = row.id;
        let lent = self.sockets.lend(id, spec.network.http.as_slice());
        let listener = match lent.map_err(Error::from) {
            Ok(mut lent) => lent.pop(),
            Err(error) if error.passes() => return Err(error),
            Err(error) => return self.set_aside(row, &status, &error, TaskState::Paused),
        };
        // Whoever submits it must say where.
        let Some(listener) = listener else {
            return Ok(WorkerReport::Stale { id, due: None });
        };
        let places = usize::from(most.get()).saturating_sub(status.connections.len());
        let tenant_places = self.task_quotas.places(&*self.store, row.tenant)?;
        let places = places.min(tenant_places);
        if places == 0 {
            return self.look_for_room(row, status, &listener.socket);
        }
        let (accepted, failed) = pending(&listener.socket, places);
        let again = failed.map(|error| {
            warn_throttled(ACCEPTING, &error, || {
                format!("task {id} cannot accept a connection: {error}")
            });
            self.time.now().saturating_add(ACCEPT_AGAIN)
        });
        let is_full = accepted.len() == places;
        self.sockets.set_full(id, is_full);
        let watches = match is_full || again.is_some() {
            // It is looked at again when a connection has ended, and after a while.
            true => Vec::new(),
            false => vec![Watch {
                what: Watched::Listener(listener.address.clone()),
                interest: Interest::Read,
            }],
        };
        let sockets = Vec::new();
        self.sockets
            .keep(id, Asleep { sockets, watches }, When::NEVER);
        let again = again.or(is_full.then(|| self.time.now().saturating_add(LOOK_AGAIN)));
        if accepted.is_empty() && status.watched > 0 {
            return Ok(WorkerReport::Stale { id, due: again });
        }
        let connections = self.connections(row, spec, accepted)?;
        if status.watched == 0 {
            if status.runs == 0 {
                self.begin_run(spec, &mut status);
            }
            status.clear_wait();
            status.wait = Some(Wait::Poll {
                deadline: None,
                fds: Vec::new(),
            });
            (status.watched, status.listens) = (1, vec![listener.address]);
        }
        status.changed = self.time.wall();
        status
            .connections
            .extend(connections.iter().map(|new| new.id));
        Ok(WorkerReport::Accepted {
            // The next daemon looks at it at once.
            update: Box::new(self.listening(row, &status)?),
            connections,
            again,
        })
    }

    /// All places are taken. If somebody waits for one, a connection that has said nothing for a
    /// while makes room.
    fn look_for_room(
        &self,
        row: &TaskRow,
        status: Status,
        listener: &TcpListener,
    ) -> Result<WorkerReport, Error> {
        let id = row.id;
        let due = Some(self.time.now().saturating_add(LOOK_AGAIN));
        // Another daemon may have filled them.
        self.sockets.set_full(id, true);
        if !is_pending(listener) {
            return Ok(WorkerReport::Stale { id, due });
        }
        let (mut silent, mut lost) = (None, Vec::new());
        for connection in &status.connections {
            match self.store.task(*connection)? {
                None => lost.push(*connection),
                Some(row) if silent.is_none() && is_silent(&row) => silent = Some(*connection),
                Some(_) => {}
            }
        }
        if !lost.is_empty() {
            return self.forget_lost(row, status, &lost);
        }
        Ok(match silent {
            Some(silent) => WorkerReport::NeedsRoom { id, silent, due },
            None => WorkerReport::Stale { id, due },
        })
    }

    /// Connections are gone without their listener's knowing: after its node had died, they ended at
    /// one that has not the listener. Their places are free.
    fn forget_lost(
        &self,
        row: &TaskRow,
        mut status: Status,
        lost: &[TaskId],
    ) -> Result<WorkerReport, Error> {
        status.connections.retain(|id| !lost.contains(id));
        status.changed = self.time.wall();
        Ok(WorkerReport::Accepted {
            update: Box::new(self.listening(row, &status)?),
            connections: Vec::new(),
            again: Some(self.time.now()),
        })
    }

    /// The row of a task that accepts connections.
    fn listening(&self, row: &TaskRow, status: &Status) -> Result<Update, Error> {
        let due = When::steady(self.time.now());
        Ok(Update::of(
            row,
            TaskState::Hibernated,
            due,
            to_bytes(status)?,
        ))
    }

    /// The tasks of connections that have just been accepted, which get what the listener was
    /// submitted with.
    fn connections(
        &self,
        listener: &TaskRow,
        spec: &TaskSpec,
        accepted: Vec<TcpStream>,
    ) -> Result<Vec<Insert>, Error> {
        let spec = TaskSpec {
            network: Network {
                http: None,
                per_request: false,
                max_instances: None,
                ..spec.network.clone()
            },
            restart: None,
            schedule: Schedule::default(),
            ..spec.clone()
        };
        let spec = to_named_bytes(&spec)?;
        let status = to_bytes(&Status {
            submitted: self.time.wall(),
            changed: self.time.wall(),
            accepted_by: Some(listener.id),
            ..Status::default()
        })?;
        let now: MonotonicTime = self.time.now();
        let mut ids = self.ids.reserve_blocking(accepted.len())?;
        let mut connection = |stream: TcpStream| {
            let id = ids.next().ok_or(crate::Error::Closing)?;
            // Nothing is watched: it starts as soon as it is stored.
            let kept = Asleep {
                sockets: vec![HeldSocket {
                    key: 0,
                    role: Role::Stream,
                    socket: Arc::new(stream.into()),
                }],
                watches: Vec::new(),
            };
            self.sockets.keep(id, kept, When::NEVER);
            Ok(Insert {
                id,
                state: TaskState::Hibernated,
                due: When::steady(now),
                name: None,
                module: listener.module,
                spec: spec.clone(),
                status: status.clone(),
                snapshot: None,
                held: false,
                tenant: listener.tenant,
                class: listener.class,
            })
        };
        accepted.into_iter().map(&mut connection).collect()
    }
}

/// Whether the task of a connection waits for its next request.
fn is_silent(row: &TaskRow) -> bool {
    row.state == TaskState::Hibernated && Stored::of(row).status.awaits_request
}

/// Whether somebody waits for a connection to be accepted.
fn is_pending(listener: &TcpListener) -> bool {
    let mut watched = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut watched, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Accepts connections that are pending, so many at most. Gives why that ended, where it failed.
fn pending(listener: &TcpListener, most: usize) -> (Vec<TcpStream>, Option<String>) {
    let mut accepted = Vec::new();
    let mut accept = || -> IoResult<()> {
        listener.set_nonblocking(true)?;
        while accepted.len() < most {
            match listener.accept() {
                Ok((stream, _)) => accepted.push(stream),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    // Its peer has gone again.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    };
    let failed = accept().err();
    (accepted, failed.map(|error| error.to_string()))
}
