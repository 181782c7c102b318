//! A request and its response over a connection of their own.
//!
//! ```text
//!   Start --looked up--> Connecting --connected--> Head --head received--> Body --> (whole)
//!     ^                      |                      |                       |
//!     `---- lost in a suspend, and can be made again'                       |
//!                            `----------------------+--- Failed             `-- failed, as its end
//! ```
//!
//! All of it is data. The connection is one of the guest's descriptors; whoever drives the exchange
//! lends it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Result as IoResult};
use std::net::SocketAddr;

use dormouse_model::MonotonicTime;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::fields::Fields;
use super::head::{Asks, Origin, RequestHead, ResponseHead, take_response};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::timeouts::Timeouts;
use super::tls::{Session, stream_failure};
use crate::sock::Socket;

/// How far an exchange has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Nothing has happened yet, or all has to happen again.
    Start,
    /// A connection is being made. These addresses are still to be tried.
    Connecting(VecDeque<SocketAddr>),
    /// The request is being sent, and no head of a response has been received.
    Head,
    /// The head has been received. It is here until the guest takes it.
    Body(Option<ResponseHead>),
    /// No response comes.
    Failed(Failure),
}

/// A request and its response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) origin: Origin,
    asks: Asks,
    timeouts: Timeouts,
    pub(crate) stage: Stage,
    /// The guest's descriptor of the connection.
    pub(crate) fd: Option<u32>,
    /// The message that is sent, by its number.
    pub(crate) outgoing: u64,
    incoming: Incoming,
    /// TLS over the connection.
    #[serde(skip)]
    session: Session,
    /// When the next byte must have come.
    due: Option<MonotonicTime>,
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// Its connection has something to read.
    pub(crate) read: bool,
    /// Its connection has room for more.
    pub(crate) write: bool,
    /// The time at which it has failed.
    pub(crate) due: Option<MonotonicTime>,
}

impl Exchange {
    /// An exchange that sends the message of this number, to which its head is given.
    pub(crate) fn new(
        head: RequestHead,
        timeouts: Timeouts,
        (number, outgoing): (u64, &mut Outgoing),
    ) -> Self {
        outgoing.begin(head.bytes, head.framing, head.is_idempotent);
        Self {
            origin: head.origin,
            asks: head.asks,
            timeouts,
            stage: Stage::Start,
            fd: None,
            outgoing: number,
            incoming: Incoming::default(),
            session: Session::default(),
            due: None,
        }
    }

    /// It begins to connect.
    pub(crate) fn start(&mut self, addresses: VecDeque<SocketAddr>, now: MonotonicTime) {
        self.stage = Stage::Connecting(addresses);
        self.due = Some(self.timeouts.connect(now));
    }

    /// The next address to connect to.
    pub(crate) fn next_address(&mut self) -> Option<SocketAddr> {
        match &mut self.stage {
            Stage::Connecting(addresses) => addresses.pop_front(),
            _ => None,
        }
    }

    /// It has a connection.
    pub(crate) fn connected(&mut self, outgoing: &mut Outgoing, now: MonotonicTime) {
        if self.origin.is_secure {
            match Session::begin(&self.origin.host) {
                Ok(session) => self.session = session,
                Err(failure) => return self.fail(failure, outgoing),
            }
        }
        self.stage = Stage::Head;
        // The time for the connection is also that for the session.
        if !self.session.is_handshaking() {
            self.due = Some(self.timeouts.first_byte(now));
        }
    }

    /// Whether it has a session over its connection.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_open()
    }

    /// It has no connection any more. Gives the guest's descriptor of it.
    pub(crate) fn disconnect(&mut self) -> Option<u32> {
        self.session = Session::default();
        self.fd.take()
    }

    /// Whether its connection is of no use, since the session over it was lost in a suspend.
    pub(crate) fn lacks_session(&self) -> bool {
        let needs = matches!(self.stage, Stage::Head | Stage::Body(_));
        needs && self.origin.is_secure && !self.session.is_open()
    }

    /// It fails.
    pub(crate) fn fail(&mut self, failure: Failure, outgoing: &mut Outgoing) {
        match self.stage {
            Stage::Body(_) => self.incoming.fail(failure),
            _ => self.stage = Stage::Failed(failure),
        }
        self.due = None;
        outgoing.close();
    }

    /// Whether the time by which something must have come has passed.
    pub(crate) fn is_late(&self, now: MonotonicTime) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The connection was lost while the guest slept. The request is made again if the peer cannot
    /// tell, or does not mind, that it gets it twice, and if nothing of a response was received.
    pub(crate) fn lost(&mut self, outgoing: &mut Outgoing) {
        let is_untold = matches!(self.stage, Stage::Head) && self.incoming.received.is_empty();
        match self.stage {
            Stage::Connecting(_) => self.stage = Stage::Start,
            _ if is_untold && outgoing.can_be_sent_again() => {
                outgoing.send_again();
                self.stage = Stage::Start;
            }
            Stage::Body(_) => {
                self.incoming.decode();
                if !self.incoming.is_at_end() {
                    self.incoming.fail(Failure::ResponseLost);
                }
                outgoing.close();
            }
            _ => self.fail(Failure::ConnectionLost, outgoing),
        }
    }

    /// Sends and receives what it can without waiting, until the head of the response is there.
    pub(crate) fn drive(
        &mut self,
        socket: &mut Socket,
        outgoing: &mut Outgoing,
        now: MonotonicTime,
    ) {
        if !matches!(self.stage, Stage::Head | Stage::Body(_)) {
            return;
        }
        if outgoing.is_aborted() {
            return self.fail(Failure::Protocol, outgoing);
        }
        // A peer that takes no more may have answered before.
        match self.send(socket, outgoing) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => outgoing.close(),
            Ok(()) | Err(_) => {}
        }
        while self.stage == Stage::Head {
            let mut buffer = Incoming::buffer();
            let was_handshaking = self.session.is_handshaking();
            let received = self.session.receive(socket, &mut buffer);
            if was_handshaking && !self.session.is_handshaking() {
                self.due = Some(self.timeouts.first_byte(now));
            }
            match received {
                Ok(0) => return self.fail(Failure::Protocol, outgoing),
                Ok(count) => self.receive_head(&buffer[..count], outgoing, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.is_late(now) {
                        let late = match self.session.is_handshaking() {
                            true => Failure::ConnectTimeout,
                            false => Failure::ReadTimeout,
                        };
                        self.fail(late, outgoing);
                    }
                    return;
                }
                Err(error) => return self.fail(stream_failure(&error), outgoing),
            }
        }
    }

    /// Sends what there is room for.
    fn send(&mut self, socket: &mut Socket, outgoing: &mut Outgoing) -> IoResult<()> {
        while !outgoing.unsent().is_empty() {
            match self.session.send(socket, outgoing.unsent())? {
                0 => break,
                count => outgoing.advance(count),
            }
        }
        self.session.flush(socket)
    }

    fn receive_head(&mut self, bytes: &[u8], outgoing: &mut Outgoing, now: MonotonicTime) {
        outgoing.keep_nothing();
        self.incoming.received.extend(bytes);
        match take_response(&mut self.incoming.received, self.asks) {
            Ok(None) => {}
            Ok(Some((head, decoder))) => {
                self.incoming.decoder = Some(decoder);
                self.incoming.decode();
                self.stage = Stage::Body(Some(head));
                self.due = Some(self.timeouts.between_bytes(now));
            }
            Err(failure) => self.fail(failure, outgoing),
        }
    }

    /// Receives until there is something of the body to read, as far as that needs no waiting.
    pub(crate) fn fill(
        &mut self,
        socket: &mut Socket,
        outgoing: &mut Outgoing,
        now: MonotonicTime,
    ) {
        while matches!(self.stage, Stage::Body(_)) {
            self.incoming.decode();
            if self.incoming.has_something() {
                return;
            }
            let mut buffer = Incoming::buffer();
            match self.session.receive(socket, &mut buffer) {
                Ok(0) => {
                    self.incoming.close();
                    outgoing.close();
                }
                Ok(count) => {
                    self.incoming.received.extend(&buffer[..count]);
                    self.due = Some(self.timeouts.between_bytes(now));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.is_late(now) {
                        return;
                    }
                    self.fail(Failure::ReadTimeout, outgoing);
                }
                Err(error) => self.fail(stream_failure(&error), outgoing),
            }
        }
    }

    /// What it waits for by itself, whatever the guest waits for.
    pub(crate) fn awaited(&self, outgoing: &Outgoing) -> Awaited {
        let sends = !outgoing.unsent().is_empty() || self.session.wants_to_send();
        let (read, write, due) = match self.stage {
            Stage::Connecting(_) => (false, true, self.due),
            Stage::Head => (true, sends, self.due),
            Stage::Body(_) => (false, sends, None),
            Stage::Start | Stage::Failed(_) => (false, false, None),
        };
        Awaited { read, write, due }
    }

    /// When the next bytes of the body must have come.
    pub(crate) fn due(&self) -> Option<MonotonicTime> {
        self.due
    }

    /// Whether the guest can be told of the response, or that none comes.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Body(_) | Stage::Failed(_))
    }

    /// Whether a read of the body would give something.
    pub(crate) fn is_readable(&self) -> bool {
        self.incoming.has_something()
    }

    /// Whether nothing more is received or sent.
    pub(crate) fn is_over(&self, outgoing: &Outgoing) -> bool {
        match self.stage {
            Stage::Failed(_) => true,
            Stage::Body(_) => {
                self.incoming.is_at_end() && (outgoing.is_sent() || outgoing.room().is_none())
            }
            _ => false,
        }
    }

    /// Takes the head of the response.
    pub(crate) fn take_head(&mut self) -> Option<Result<ResponseHead, Failure>> {
        match &mut self.stage {
            Stage::Body(head) => head.take().map(Ok),
            Stage::Failed(failure) => Some(Err(*failure)),
            _ => None,
        }
    }

    /// Takes bytes of the body that are there; none, if there are none yet.
    ///
    /// # Errors
    /// The body is at its end, which a failure may have caused.
    pub(crate) fn read(&mut self, length: u64) -> Result<Vec<u8>, Option<Failure>> {
        self.incoming.read(length)
    }

    /// Takes the trailers, behind a body whose rest nobody reads. `None` if the body is not whole
    /// yet.
    pub(crate) fn take_trailers(&mut self) -> Option<Result<Option<Fields>, Failure>> {
        self.incoming.discard();
        self.incoming.take_end()
    }

    /// Throws away what has come of the body.
    pub(crate) fn discard(&mut self) {
        self.incoming.discard();
    }

    /// Whether the body is at its end.
    pub(crate) fn is_at_end(&self) -> bool {
        self.incoming.is_at_end()
    }
}
