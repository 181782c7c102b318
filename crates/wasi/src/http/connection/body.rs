//! The body of the request that is being handled on a connection.

use std::io::{ErrorKind, Read};

use dormouse_model::MonotonicTime;

use super::{Connection, Progress, Stage};
use crate::http::failure::Failure;
use crate::http::fields::Fields;
use crate::http::incoming::Incoming;
use crate::http::stream::Stream;
use crate::http::timeouts::TRANSFER;
use crate::sock::Socket;

/// What a peer is told that waits before it sends a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Connection {
    /// Behind a body that has failed nobody knows where the next request begins.
    pub(super) fn note_failure(&mut self) {
        if let (Stage::Handling(handling), Some(Err(_))) = (&mut self.stage, &self.incoming.end) {
            handling.keeps = false;
        }
    }

    /// Whether the peer sends its body only when it is told that it is wanted.
    pub(super) fn expects_continue(&self) -> bool {
        matches!(&self.stage, Stage::Handling(handling) if handling.asked.expects_continue)
    }

    /// Receives until there is something of the body to read, as far as that needs no waiting.
    pub(crate) fn fill(&mut self, socket: &mut Socket, now: MonotonicTime) {
        self.receive_body(socket, now);
        self.note_failure();
    }

    fn receive_body(&mut self, socket: &mut Socket, now: MonotonicTime) {
        loop {
            self.incoming.decode();
            if self.incoming.has_something() {
                return;
            }
            self.tell_to_continue(socket);
            let mut buffer = Incoming::buffer();
            match Stream(socket).read(&mut buffer) {
                Ok(0) => self.incoming.close(),
                Ok(count) => {
                    self.incoming.received.extend(&buffer[..count]);
                    self.receive_due = Some(now.saturating_add(TRANSFER));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.receive_due.is_none_or(|due| due > now) {
                        return;
                    }
                    self.incoming.fail(Failure::ReadTimeout);
                }
                Err(_) => self.incoming.fail(Failure::ConnectionLost),
            }
        }
    }

    /// Tells a peer that waits for it that its body is wanted; once, and not behind the answer.
    fn tell_to_continue(&mut self, socket: &mut Socket) {
        if let Stage::Handling(handling) = &mut self.stage
            && std::mem::take(&mut handling.asked.expects_continue)
            && handling.answer == Progress::None
        {
            self.own.extend(CONTINUE);
            // An error shows at the next read.
            let _ = self.send(socket, None);
        }
    }

    /// Whether a read of the body would give something.
    pub(crate) fn is_readable(&self) -> bool {
        self.incoming.has_something()
    }

    /// Whether the body is at its end.
    pub(crate) fn is_at_end(&self) -> bool {
        self.incoming.is_at_end()
    }

    /// Throws away what has come of the body.
    pub(crate) fn discard(&mut self) {
        self.incoming.discard();
    }

    /// Takes bytes of the body that are there; none, if there are none yet.
    ///
    /// # Errors
    /// The body is at its end, which a failure may have caused.
    pub(crate) fn read(&mut self, length: u64) -> Result<Vec<u8>, Option<Failure>> {
        self.incoming.read(length)
    }

    /// Takes the trailers; `None` if the body is not whole yet.
    pub(crate) fn take_trailers(&mut self) -> Option<Result<Option<Fields>, Failure>> {
        self.incoming.discard();
        self.incoming.take_end()
    }
}
