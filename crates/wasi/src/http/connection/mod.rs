//! A connection that a server has accepted, with the request that is being answered on it.
//!
//! ```text
//!   Receiving --head received--> Requested --taken--> Handling --answered and sent--> Receiving
//!       |                                                |
//!       `-- refused ----> Closing <----------------------'
//!                            `-- sent: Lingering -- the peer has ended it
//! ```
//!
//! One request is handled at a time; what a peer has sent behind it waits. All of it is data. The
//! connection is one of the guest's descriptors; whoever drives it lends it.

mod body;

use std::io::{ErrorKind, Read, Result as IoResult, Write};

use dormouse_model::MonotonicTime;
use rustix::net::Shutdown;
use serde::{Deserialize, Serialize};

use crate::http::answer::{Answer, AnswerHead, Date, refusal};
use crate::http::failure::Failure;
use crate::http::incoming::Incoming;
use crate::http::outgoing::Outgoing;
use crate::http::request::{Asked, ReceivedRequest, Refusal, take_request};
use crate::http::stream::Stream;
use crate::http::timeouts::{HEAD, IDLE, LINGER, TRANSFER};
use crate::sock::Socket;

/// Where a connection stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The head of the next request is received.
    Receiving,
    /// A request has come. It waits for the guest.
    Requested(Box<ReceivedRequest>),
    /// The guest handles a request.
    Handling(Handling),
    /// What is still to be sent is sent, and that is all.
    Closing,
    /// All is sent. What the peer still sends is thrown away: it would lose the answer if the
    /// connection was closed before it has read that.
    Lingering,
}

/// A request that the guest has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Handling {
    /// Its number, by which the guest's resources name it.
    number: u64,
    asked: Asked,
    answer: Progress,
    /// The guest has returned.
    has_returned: bool,
    /// The connection may be used again.
    keeps: bool,
}

/// How far the answer to a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Progress {
    /// The guest has not answered.
    None,
    /// The message of this number is sent.
    Message(u64),
    /// It was answered without the guest, or the answer is sent.
    Done,
}

/// A connection that a server has accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// The guest's descriptor of it.
    pub(crate) fd: u32,
    /// When its request had come, counted in requests.
    pub(crate) turn: u64,
    stage: Stage,
    incoming: Incoming,
    /// What the server says itself, in front of the guest's message.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "serde_bytes")]
    own: Vec<u8>,
    /// The answer to the next request ends it, and says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_last: bool,
    /// When the next bytes must have come.
    receive_due: Option<MonotonicTime>,
    /// When the next bytes must have been taken by the peer.
    send_due: Option<MonotonicTime>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AwaitedByServer {
    /// Its peer has sent something.
    pub(crate) read: bool,
    /// There is room for more.
    pub(crate) write: bool,
    /// When it is given up.
    pub(crate) due: Option<MonotonicTime>,
}

impl Connection {
    /// A connection that has just been accepted.
    pub(crate) fn new(fd: u32, now: MonotonicTime) -> Self {
        Self {
            fd,
            turn: 0,
            stage: Stage::Receiving,
            incoming: Incoming::default(),
            own: Vec::new(),
            is_last: false,
            receive_due: Some(now.saturating_add(HEAD)),
            send_due: None,
        }
    }

    /// A connection that waits for a next request, which another guest answers: its descriptor and
    /// its time are that guest's.
    pub(crate) fn given_on(self, fd: u32, now: MonotonicTime) -> Self {
        let patience = match self.is_idle() {
            true => IDLE,
            false => HEAD,
        };
        Self {
            fd,
            receive_due: Some(now.saturating_add(patience)),
            ..self
        }
    }

    /// Whether the answer to the next request ends it.
    pub(crate) fn with_last(self, is_last: bool) -> Self {
        Self { is_last, ..self }
    }

    /// The number of the request that the guest handles.
    pub(crate) fn number(&self) -> Option<u64> {
        match &self.stage {
            Stage::Handling(handling) => Some(handling.number),
            _ => None,
        }
    }

    /// The message that is sent, by its number.
    pub(crate) fn message(&self) -> Option<u64> {
        match &self.stage {
            Stage::Handling(Handling {
                answer: Progress::Message(message),
                ..
            }) => Some(*message),
            _ => None,
        }
    }

    /// Whether a request has come that the guest has not taken.
    pub(crate) fn has_request(&self) -> bool {
        matches!(self.stage, Stage::Requested(_))
    }

    /// Whether nothing has come of a next request, so that the connection can be closed.
    pub(crate) fn is_idle(&self) -> bool {
        self.stage == Stage::Receiving && self.incoming.received.is_empty()
    }

    /// Whether it waits for a next request, of which something may have come.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.stage, Stage::Receiving | Stage::Requested(_))
    }

    /// When the connection is given up that waits for a request.
    pub(crate) fn receive_due(&self) -> Option<MonotonicTime> {
        self.receive_due
    }

    /// Whether the guest has still to answer.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(&self.stage, Stage::Handling(handling) if handling.answer == Progress::None)
    }

    /// Receives the head of the next request, as far as that needs no waiting. Gives whether the
    /// connection goes on.
    pub(crate) fn receive(&mut self, socket: &mut Socket, now: MonotonicTime, date: Date) -> bool {
        while self.stage == Stage::Receiving {
            match take_request(&mut self.incoming.received) {
                Ok(Some(request)) => {
                    self.stage = Stage::Requested(request.into());
                    self.receive_due = None;
                    return true;
                }
                Ok(None) => {}
                Err(Refusal::Silent) => return false,
                Err(Refusal::Status(status)) => {
                    self.close_with(refusal(status, Asked::default(), date));
                    return true;
                }
            }
            let mut buffer = Incoming::buffer();
            match Stream(socket).read(&mut buffer) {
                // There is nobody who would want an answer.
                Ok(0) => return false,
                Ok(count) => {
                    if self.incoming.received.is_empty() {
                        self.receive_due = Some(now.saturating_add(HEAD));
                    }
                    self.incoming.received.extend(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.receive_due.is_none_or(|due| due > now);
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// The guest takes the request, which gets this number.
    pub(crate) fn take(&mut self, number: u64, now: MonotonicTime) -> Option<ReceivedRequest> {
        let Stage::Requested(request) = std::mem::replace(&mut self.stage, Stage::Closing) else {
            return None;
        };
        let mut request = *request;
        self.incoming.begin(request.decoder.clone());
        self.receive_due = Some(now.saturating_add(TRANSFER));
        self.stage = Stage::Handling(Handling {
            number,
            asked: request.asked,
            answer: Progress::None,
            has_returned: false,
            keeps: request.asked.keeps && !self.is_last,
        });
        request.asked = Asked::default();
        Some(request)
    }

    /// The guest answers with a message, by its number.
    pub(crate) fn answer(&mut self, answer: &Answer<'_>, (number, message): (u64, &mut Outgoing)) {
        if let Stage::Handling(handling) = &mut self.stage {
            handling.asked.keeps &= handling.keeps;
            let head = answer.head(handling.asked);
            message.begin(head.bytes, head.framing, false);
            handling.keeps = head.keeps;
            handling.answer = Progress::Message(number);
        }
    }

    /// The request is answered without the guest, which has failed.
    pub(crate) fn fail(&mut self, date: Date) {
        if let Stage::Handling(handling) = &mut self.stage
            && handling.answer == Progress::None
        {
            let head = refusal(500, handling.asked, date);
            handling.answer = Progress::Done;
            handling.keeps = false;
            self.own.extend(head.bytes);
        }
    }

    /// The guest has returned. Gives whether it had answered.
    pub(crate) fn returned(&mut self, date: Date) -> bool {
        let was_answered = !self.is_unanswered();
        self.fail(date);
        if let Stage::Handling(handling) = &mut self.stage {
            handling.has_returned = true;
        }
        was_answered
    }

    /// Sends an answer of the server's own, and then closes the connection.
    fn close_with(&mut self, head: AnswerHead) {
        self.own.extend(head.bytes);
        self.stage = Stage::Closing;
        self.receive_due = None;
    }

    /// Sends what there is to send, as far as that needs no waiting. Gives whether the connection
    /// goes on.
    pub(crate) fn drive(
        &mut self,
        socket: &mut Socket,
        mut message: Option<&mut Outgoing>,
        now: MonotonicTime,
    ) -> bool {
        let before = self.unsent(message.as_deref());
        let sent = self.send(socket, message.as_deref_mut());
        if sent.is_err() {
            // Nobody is there to read it. The guest may go on, and is told.
            if let Some(message) = message {
                message.close();
            }
            return false;
        }
        match self.unsent(message.as_deref()) {
            0 => self.send_due = None,
            left if left < before || self.send_due.is_none() => {
                self.send_due = Some(now.saturating_add(TRANSFER));
            }
            _ => {}
        }
        if self.send_due.is_some_and(|due| due <= now) {
            return false;
        }
        let is_sent = self.own.is_empty() && message.as_ref().is_none_or(|found| found.is_sent());
        let is_given_up =
            message.is_some_and(|found| found.is_aborted()) && self.send_due.is_none();
        match &self.stage {
            Stage::Closing if is_sent => self.linger(socket, now),
            Stage::Lingering => self.linger(socket, now),
            Stage::Handling(handling) if handling.has_returned && is_sent => self.next(socket, now),
            // A body that the guest has not finished ends with the connection.
            Stage::Handling(handling) if is_given_up => {
                let _ = socket.shutdown(Shutdown::Write);
                !handling.has_returned
            }
            Stage::Receiving | Stage::Requested(_) | Stage::Handling(_) | Stage::Closing => true,
        }
    }

    /// Ends a connection on which all was answered. Gives whether it goes on, because its peer has
    /// sent more.
    fn end(&mut self, socket: &mut Socket, now: MonotonicTime) -> bool {
        let mut buffer = Incoming::buffer();
        let has_more = !self.incoming.received.is_empty()
            || matches!(Stream(socket).read(&mut buffer), Ok(1..));
        has_more && self.linger(socket, now)
    }

    /// Waits until the peer has ended the connection, for a while. Gives whether it goes on.
    fn linger(&mut self, socket: &mut Socket, now: MonotonicTime) -> bool {
        if self.stage != Stage::Lingering {
            self.stage = Stage::Lingering;
            self.receive_due = Some(now.saturating_add(LINGER));
            if socket.shutdown(Shutdown::Write).is_err() {
                return false;
            }
        }
        let mut buffer = Incoming::buffer();
        loop {
            match Stream(socket).read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.receive_due.is_none_or(|due| due > now);
                }
                Ok(0) | Err(_) => return false,
            }
        }
    }

    /// How many bytes are still to be sent.
    fn unsent(&self, message: Option<&Outgoing>) -> usize {
        self.own.len() + message.map_or(0, |message| message.unsent().len())
    }

    fn send(&mut self, socket: &mut Socket, message: Option<&mut Outgoing>) -> IoResult<()> {
        let would_block = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        while !self.own.is_empty() {
            match Stream(socket).write(&self.own) {
                Ok(count) => drop(self.own.drain(..count.min(self.own.len()))),
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let Some(message) = message else {
            return Ok(());
        };
        while !message.unsent().is_empty() {
            match Stream(socket).write(message.unsent()) {
                Ok(0) => break,
                Ok(count) => message.advance(count),
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The answer is sent. Gives whether the connection goes on. To be used again it needs the rest
    /// of the request, which is read once, and not waited for.
    fn next(&mut self, socket: &mut Socket, now: MonotonicTime) -> bool {
        self.incoming.discard();
        self.incoming.decode();
        if !self.incoming.is_at_end() && !self.expects_continue() {
            self.incoming.discard();
            let mut buffer = Incoming::buffer();
            if let Ok(count) = Stream(socket).read(&mut buffer) {
                self.incoming.received.extend(&buffer[..count]);
                self.incoming.decode();
            }
        }
        self.note_failure();
        let keeps = matches!(&self.stage, Stage::Handling(handling) if handling.keeps);
        match (self.incoming.is_at_end(), keeps) {
            (true, true) => {}
            (true, false) => return self.end(socket, now),
            (false, _) => return self.linger(socket, now),
        }
        let received = std::mem::take(&mut self.incoming.received);
        self.receive_due = Some(now.saturating_add(match received.is_empty() {
            true => IDLE,
            false => HEAD,
        }));
        self.incoming = Incoming {
            received,
            ..Incoming::default()
        };
        self.stage = Stage::Receiving;
        true
    }

    /// The connection was lost while the guest slept.
    pub(crate) fn lost(&mut self, message: Option<&mut Outgoing>) {
        if let Some(message) = message {
            message.close();
        }
        self.own.clear();
        self.send_due = None;
        self.incoming.decode();
        if !self.incoming.is_at_end() {
            self.incoming.fail(Failure::ConnectionLost);
        }
        if let Stage::Handling(handling) = &mut self.stage {
            handling.keeps = false;
        }
    }

    /// Whether the guest is in the middle of a request.
    pub(crate) fn is_handled(&self) -> bool {
        matches!(&self.stage, Stage::Handling(handling) if !handling.has_returned)
    }

    /// What it waits for by itself. Something is received for the server only where the guest waits
    /// for a request.
    pub(crate) fn awaited(
        &self,
        message: Option<&Outgoing>,
        wants_requests: bool,
    ) -> AwaitedByServer {
        let read = wants_requests && matches!(self.stage, Stage::Receiving | Stage::Lingering);
        let receive_due = self.receive_due.filter(|_| read);
        AwaitedByServer {
            read,
            write: self.unsent(message) > 0,
            due: receive_due.into_iter().chain(self.send_due).min(),
        }
    }
}
