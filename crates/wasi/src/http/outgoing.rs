//! A message on its way out: its head and its body, framed as they go over the connection.
//!
//! A body may be written before the head is known. What is written is framed at once, one chunk for
//! each write. Bytes that are sent are forgotten, unless the message may have to be sent again.

use http::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::failure::Failure;
use super::fields::Fields;
use super::lines::write_fields;

/// How many bytes one write takes at most, as with Wasmtime.
pub(crate) const MAX_WRITE: u64 = 1 << 20;

/// How many bytes may wait to be sent before a write has to wait.
const MAX_UNSENT: usize = 64 << 10;

/// How many bytes of a message are kept to be sent again.
const MAX_KEPT: usize = 64 << 10;

/// Fields that trailers cannot have, since they are about the framing or the whole message.
const NO_TRAILERS: [&str; 12] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "host",
    "max-forwards",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "te",
];

/// How the end of a body is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Framing {
    /// There is no body.
    Empty,
    /// The head says how many bytes it has; so many are still to come.
    Length(u64),
    /// It goes in chunks. The trailers may be those of these names.
    Chunked(Vec<String>),
    /// It ends with the connection.
    UntilClose,
}

/// How far a body has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    /// More may be written.
    Open,
    /// It is whole, with these trailers.
    Finished(Option<Fields>),
    /// The guest has given it up.
    Aborted,
}

/// Which of the two messages of an exchange it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MessageKind {
    Request,
    Response,
}

impl MessageKind {
    /// The failure of a body that has so many bytes, and not as many as its head says.
    fn wrong_size(self, size: u64) -> Failure {
        match self {
            Self::Request => Failure::RequestBodySize(size),
            Self::Response => Failure::ResponseBodySize(size),
        }
    }
}

/// Why a write is in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// Nobody takes the body any more.
    Closed,
    /// The body has become longer than its head says.
    Failed(Failure),
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    kind: MessageKind,
    /// How many bytes the body has by its head.
    declared: Option<u64>,
    /// How many bytes of it the guest has written.
    written: u64,
    /// What was written before the head was known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    early: Vec<ByteBuf>,
    /// `None` as long as the head is not known.
    framing: Option<Framing>,
    /// Framed bytes.
    #[serde(with = "serde_bytes")]
    wire: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    /// Bytes that are sent stay, so that they can be sent again.
    keeps: bool,
    /// A byte was sent that can be sent no more.
    forgot: bool,
    end: End,
    /// Nobody takes the body any more.
    closed: bool,
}

impl Outgoing {
    /// A message whose head is not known yet. `declared` is how many bytes its body has, if the
    /// guest has said so.
    pub(crate) fn new(kind: MessageKind, declared: Option<u64>) -> Self {
        Self {
            kind,
            declared,
            written: 0,
            early: Vec::new(),
            framing: None,
            wire: Vec::new(),
            sent: 0,
            keeps: false,
            forgot: false,
            end: End::Open,
            closed: false,
        }
    }

    /// A message without a body.
    pub(crate) fn without_body(kind: MessageKind) -> Self {
        Self {
            end: End::Finished(None),
            ..Self::new(kind, None)
        }
    }

    /// Gives the message its head. `keeps` says whether it may have to be sent again.
    pub(crate) fn begin(&mut self, head: Vec<u8>, framing: Framing, keeps: bool) {
        self.wire = head;
        self.keeps = keeps;
        self.framing = Some(framing);
        for bytes in std::mem::take(&mut self.early) {
            self.frame(&bytes);
        }
        if let End::Finished(trailers) = &self.end {
            let trailers = trailers.clone();
            self.frame_end(trailers.as_ref().map(Fields::map));
        }
        self.limit_kept();
    }

    /// How many bytes may be written now; `None` if nobody takes them.
    pub(crate) fn room(&self) -> Option<u64> {
        let is_full = match &self.framing {
            _ if self.closed => return None,
            // What is written is thrown away.
            Some(Framing::Empty) => false,
            Some(_) => self.unsent().len() >= MAX_UNSENT,
            None => {
                self.early
                    .iter()
                    .map(|bytes| bytes.len() as u64)
                    .sum::<u64>()
                    >= MAX_WRITE
            }
        };
        Some(if is_full { 0 } else { MAX_WRITE })
    }

    /// Writes a part of the body.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.room().is_none() {
            return Err(WriteError::Closed);
        }
        self.written = self.written.saturating_add(bytes.len() as u64);
        match self.framing {
            // An empty chunk would be the end.
            _ if bytes.is_empty() => {}
            Some(_) => self.frame(bytes),
            None => self.early.push(bytes.to_vec().into()),
        }
        match self.declared {
            Some(declared) if self.written > declared => {
                Err(WriteError::Failed(self.kind.wrong_size(self.written)))
            }
            _ => Ok(()),
        }
    }

    /// Ends the body.
    ///
    /// # Errors
    /// It has not as many bytes as its head says. Then it is given up.
    pub(crate) fn finish(&mut self, trailers: Option<Fields>) -> Result<(), Failure> {
        if self
            .declared
            .is_some_and(|declared| declared != self.written)
        {
            self.end = End::Aborted;
            return Err(self.kind.wrong_size(self.written));
        }
        if self.framing.is_some() {
            self.frame_end(trailers.as_ref().map(Fields::map));
        }
        self.end = End::Finished(trailers);
        Ok(())
    }

    /// The guest gives the body up.
    pub(crate) fn abort(&mut self) {
        if self.end == End::Open {
            self.end = End::Aborted;
        }
    }

    /// Whether the message can never become whole.
    pub(crate) fn is_aborted(&self) -> bool {
        self.end == End::Aborted && self.is_framing_open()
    }

    /// Whether the framed body is still without its end.
    fn is_framing_open(&self) -> bool {
        match self.framing {
            Some(Framing::Length(left)) => left > 0,
            Some(Framing::Empty) => false,
            Some(Framing::Chunked(_) | Framing::UntilClose) | None => true,
        }
    }

    /// Whether all of the message is sent.
    pub(crate) fn is_sent(&self) -> bool {
        let is_whole = matches!(self.end, End::Finished(_)) || !self.is_framing_open();
        self.framing.is_some() && is_whole && self.unsent().is_empty()
    }

    /// What is still to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.wire.get(self.sent..).unwrap_or_default()
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        self.wire.len() + self.early.iter().map(|bytes| bytes.len()).sum::<usize>()
    }

    /// So many bytes more have been sent.
    pub(crate) fn advance(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.wire.len());
        if !self.keeps {
            self.forget();
        }
    }

    /// Whether the message can be sent from its beginning, as far as it has been written.
    pub(crate) fn can_be_sent_again(&self) -> bool {
        !self.forgot
    }

    /// Sends the message from its beginning.
    pub(crate) fn send_again(&mut self) {
        self.sent = 0;
    }

    /// The message is not going to be sent again.
    pub(crate) fn keep_nothing(&mut self) {
        self.keeps = false;
        self.forget();
    }

    /// Nobody takes the body any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.forgot = true;
        self.wire = Vec::new();
        self.early = Vec::new();
        self.sent = 0;
    }

    fn forget(&mut self) {
        self.forgot |= self.sent > 0;
        self.wire.drain(..self.sent.min(self.wire.len()));
        self.sent = 0;
    }

    fn limit_kept(&mut self) {
        if self.keeps && self.wire.len() > MAX_KEPT {
            self.keep_nothing();
        }
    }

    /// Frames a part of the body, which is not empty.
    fn frame(&mut self, bytes: &[u8]) {
        match &mut self.framing {
            Some(Framing::Chunked(_)) => {
                self.wire.extend(format!("{:X}\r\n", bytes.len()).bytes());
                self.wire.extend(bytes);
                self.wire.extend(b"\r\n");
            }
            Some(Framing::Length(left)) => {
                // What is beyond the length is told as an error, and not sent.
                let count = (bytes.len() as u64).min(*left);
                *left -= count;
                self.wire
                    .extend(bytes.get(..count as usize).unwrap_or_default());
            }
            Some(Framing::UntilClose) => self.wire.extend(bytes),
            Some(Framing::Empty) | None => {}
        }
        self.limit_kept();
    }

    fn frame_end(&mut self, trailers: Option<&HeaderMap>) {
        let Some(Framing::Chunked(names)) = &self.framing else {
            return;
        };
        self.wire.extend(b"0\r\n");
        if let Some(trailers) = trailers {
            let allowed = trailers.iter().filter(|(name, _)| {
                let name = name.as_str();
                names.iter().any(|allowed| allowed == name) && !NO_TRAILERS.contains(&name)
            });
            write_fields(allowed, &mut self.wire);
        }
        self.wire.extend(b"\r\n");
    }
}
