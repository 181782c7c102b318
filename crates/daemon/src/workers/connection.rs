//! A task that answers the requests of one connection: each by an instance of its own, one after
//! another. When the connection ends, so does the task, and what its instances have written becomes
//! the listener's.

use std::net::TcpStream;
use std::ops::ControlFlow;

use crate::model::TaskId;
use crate::model::error::Error;
use crate::store::OutputPiece;
use crate::task::HttpConnection;
use crate::workers::guest::{LoadedTask, NotRevived};
use crate::workers::messages::WorkerReport;
use crate::workers::output::Tail;
use crate::workers::worker::Worker;

/// Bytes of a task's output that are read from the store at once.
const OUTPUT_BYTES_AT_ONCE: u64 = 1 << 20;

impl Worker {
    /// The connection of a task that has not begun with it; `None` where it is lost, because the
    /// daemon that had accepted it has died.
    pub(super) fn accepted_connection(
        &self,
        id: TaskId,
        listener: TaskId,
    ) -> Result<Option<HttpConnection>, Error> {
        let failed = |error: std::io::Error| {
            Error::from(crate::Error::Request(format!(
                "its connection is lost: {error}"
            )))
        };
        let Some(held) = self.sockets.held(id).pop() else {
            return Ok(None);
        };
        let socket = held.socket.try_clone().map_err(failed)?;
        HttpConnection::new(TcpStream::from(socket))
            .map(|connection| Some(connection.with_last(self.sockets.is_full(listener))))
            .map_err(failed)
    }

    /// A guest has ended. Where it has answered a request of a connection on which more may come,
    /// that is given to the next one.
    pub(super) fn exited(
        &self,
        mut guest: Box<LoadedTask>,
        how: Result<u32, Error>,
    ) -> ControlFlow<WorkerReport, Box<LoadedTask>> {
        let Some(listener) = guest.status.accepted_by else {
            return ControlFlow::Break(self.ended(guest, how));
        };
        match &how {
            Ok(0) => {}
            Ok(code) => guest.tail.say(&format!("an instance ended with {code}\n")),
            Err(error) => guest.tail.say(&format!("an instance ended: {error}\n")),
        }
        let is_over = how.is_err() || guest.task.handle().is_killed();
        let connection = guest.task.take_http_connection();
        let (id, version) = (guest.id, guest.version);
        match connection.filter(|_| !is_over) {
            None => ControlFlow::Break(self.connection_over(&guest, listener)),
            Some(connection) => {
                let output = guest.tail.take(version);
                guest.tail.stored(version);
                if !output.is_empty() {
                    (self.tell)(WorkerReport::Wrote { listener, output });
                }
                let tail = guest.tail.clone();
                // Where others may wait, it is said that the next request is the last.
                let connection = connection.with_last(self.sockets.is_full(listener));
                match self.next_instance(guest, connection) {
                    Ok(next) => ControlFlow::Continue(next),
                    Err(why) => {
                        tail.say(&format!(
                            "the next request is not answered: {}\n",
                            said(&why)
                        ));
                        let output = self.written(id, version, &tail);
                        ControlFlow::Break(self.over(id, version, listener, output))
                    }
                }
            }
        }
    }

    /// A fresh instance for the next request of a connection, in place of the one that has answered
    /// the last.
    fn next_instance(
        &self,
        guest: Box<LoadedTask>,
        connection: HttpConnection,
    ) -> Result<Box<LoadedTask>, NotRevived> {
        let LoadedTask {
            id,
            version,
            task,
            share,
            tail,
            spec,
            mut status,
            program,
            base,
            run_span,
            ..
        } = *guest;
        let handle = task.handle();
        // Its memory is given back before the next one takes some.
        drop((task, share));
        let which = (id, program);
        let context = run_span.as_ref().map(|span| span.context());
        let told = (&tail, context);
        let (task, share) = self.revive(which, &spec, None, told, handle, Some(connection))?;
        status.runs += 1;
        Ok(Box::new(LoadedTask {
            // What is stored is in the middle of a request that was answered since.
            is_outdated: version > 1,
            base,
            run_span,
            ..LoadedTask::new((id, version, program), task, share, tail, (spec, status))
        }))
    }

    /// The connection of a guest has ended.
    pub(super) fn connection_over(&self, guest: &LoadedTask, listener: TaskId) -> WorkerReport {
        let output = self.written(guest.id, guest.version, &guest.tail);
        self.over(guest.id, guest.version, listener, output)
    }

    /// The same of a task that is not in memory. Its instance, if it was to have one, cannot be made
    /// for this reason.
    pub(super) fn connection_failed(
        &self,
        id: TaskId,
        version: u64,
        listener: TaskId,
        (tail, why): (&Tail, Option<&Error>),
    ) -> WorkerReport {
        if let Some(error) = why {
            tail.say(&format!("a request is not answered: {error}\n"));
        }
        let output = self.written(id, version, tail);
        self.over(id, version, listener, output)
    }

    fn over(
        &self,
        id: TaskId,
        version: u64,
        listener: TaskId,
        output: Vec<OutputPiece>,
    ) -> WorkerReport {
        self.sockets.close(id);
        WorkerReport::ConnectionOver {
            id,
            version,
            listener,
            output,
        }
    }

    /// All that a task has written, and that its listener has not got yet. Nothing of a task is
    /// stored before its second version.
    fn written(&self, id: TaskId, version: u64, tail: &Tail) -> Vec<OutputPiece> {
        let mut written = match version {
            0 | 1 => Vec::new(),
            _ => self.stored_output(id),
        };
        written.extend(tail.take(version));
        written
    }

    fn stored_output(&self, id: TaskId) -> Vec<OutputPiece> {
        let mut written = Vec::new();
        let mut next = 0;
        loop {
            match self.store.output(id, next, OUTPUT_BYTES_AT_ONCE) {
                Ok(pieces) => {
                    let Some(last) = pieces.last() else {
                        return written;
                    };
                    next = last.sequence + 1;
                    written.extend(pieces.into_iter().map(|stored| stored.piece));
                }
                Err(error) => {
                    log::warn!("task {id}: what it has written is lost: {error}");
                    return written;
                }
            }
        }
    }
}

fn said(why: &NotRevived) -> String {
    match why {
        NotRevived::Full => "there is no memory for it now".into(),
        NotRevived::Failed(error) => error.to_string(),
    }
}
