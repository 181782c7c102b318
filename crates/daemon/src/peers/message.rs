//! The requests and answers of two daemons. A message is its length, the length of its body,
//! MessagePack, and the body as it is. Numbers are little-endian.
//!
//! ```text
//!   4 bytes  length of the message      8 bytes  length of the body
//!   the message, one of Request or Answer        the body
//! ```

use std::io::{Error, ErrorKind};
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::frame;
use crate::model::{Digest, MoveId};
use crate::moving::decision::{MoveQuestion, MoveState};
use crate::moving::offer::{Formats, MoveInquiry};
use crate::moving::target::{BlobKind, InquiryAnswer};
use crate::task::EngineKind;

/// The lowest and the highest version of this protocol that this build speaks. Two daemons need a
/// version in common.
const VERSIONS: (u32, u32) = (1, 1);

/// The largest message, without its body.
const LARGEST_MESSAGE_BYTES: u32 = 1 << 20;

/// The largest body: a module, or a snapshot.
const LARGEST_BODY_BYTES: u64 = 8 << 30;

/// A body is read and written in pieces of this size, each within [`PIECE_TIMEOUT`].
const PIECE_BYTES: usize = 64 << 10;

/// A piece of a message may take this long: a network that is cut reports nothing.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// Who a daemon is, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The lowest and the highest version of this protocol.
    pub versions: (u32, u32),
    /// Which daemon.
    pub daemon: String,
    /// Its version of dormouse.
    pub tool: String,
    /// Where it can be reached, if it can.
    pub address: String,
    /// The forms in which it keeps tasks and snapshots.
    pub formats: Formats,
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first request of every link: who asks.
    Hello(Hello),
    /// Whether a task may come.
    Inquire(MoveInquiry),
    /// Whether a blob is there.
    Has(Digest),
    /// A blob, which is the body.
    Put {
        /// What the blob is.
        kind: BlobKind,
        /// Its digest.
        digest: Digest,
        /// The engine to compile a module for.
        engine: Option<EngineKind>,
    },
    /// A task to store as prepared; the body is a `TaskOffer`.
    Offer,
    /// The source has committed the move: the prepared task is the target's.
    Accept(MoveId),
    /// The source has aborted the move: the prepared task stays at the source.
    Abort(MoveId),
    /// The source knows that the task is the target's, which may forget the move.
    Forget(MoveId),
    /// What is the state of the move by which the asking daemon has prepared a task?
    MoveState(MoveQuestion),
    /// From now on this link carries a connection of a task that moved.
    Carry {
        /// The move.
        move_id: MoveId,
        /// The snapshot names the connection by this.
        key: u64,
    },
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Who answers, and what it can do.
    Hello(Hello),
    /// Whether the task may come, and which blobs are lacking.
    Considered(InquiryAnswer),
    /// Whether the blob is there.
    Has(bool),
    /// It is done, durably.
    Done,
    /// The task is stored as prepared, under this ID.
    Prepared(u64),
    /// The task is the answering daemon's, under this ID.
    Accepted(u64),
    /// The task is not prepared, and this move cannot bring it any longer.
    Unknown,
    /// The state of the move.
    MoveState(MoveState),
    /// The request is refused, and why.
    Refused(String),
}

impl Hello {
    pub(super) fn new(daemon: &str, address: &str) -> Self {
        Self {
            versions: VERSIONS,
            daemon: daemon.into(),
            tool: env!("CARGO_PKG_VERSION").into(),
            address: address.into(),
            formats: Formats::ours(),
        }
    }

    /// Why two daemons cannot work together, if they cannot.
    pub(super) fn misfit(&self, other: &Self) -> Option<String> {
        let common = self.versions.1.min(other.versions.1);
        if common < self.versions.0.max(other.versions.0) {
            return Some(format!(
                "is dormouse {}, which speaks versions {} to {} of the peers' protocol, and this is \
                 dormouse {}, with {} to {}",
                other.tool,
                other.versions.0,
                other.versions.1,
                self.tool,
                self.versions.0,
                self.versions.1
            ));
        }
        (self.formats != other.formats).then(|| {
            format!(
                "is dormouse {} and keeps tasks in {}, and this is dormouse {}, with {}",
                other.tool, other.formats, self.tool, self.formats
            )
        })
    }
}

/// Sends a message with its body; returns how many bytes were sent.
pub(super) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
    body: &[u8],
) -> std::io::Result<u64> {
    let (length, bytes) = frame::encode(message)?;
    let mut head = length.to_vec();
    head.extend_from_slice(&(body.len() as u64).to_le_bytes());
    head.extend_from_slice(&bytes);
    // A small message is written at once, so that it is one packet.
    let short = body.len() <= PIECE_BYTES;
    if short {
        head.extend_from_slice(body);
    }
    let mut pieces = vec![head.as_slice()];
    if !short {
        pieces.extend(body.chunks(PIECE_BYTES));
    }
    for piece in pieces {
        in_time(stream.write_all(piece)).await?;
    }
    in_time(stream.flush()).await?;
    Ok(12 + bytes.len() as u64 + body.len() as u64)
}

/// Receives a message with its body; returns how many bytes were received too. `patience` is how
/// long to wait for its beginning.
pub(super) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> std::io::Result<(T, Vec<u8>, u64)> {
    let mut head = [0; 12];
    let begun = tokio::time::timeout(patience, stream.read_exact(&mut head));
    begun.await.map_err(|_| late(patience))??;
    let [a, b, c, d, size @ ..] = head;
    let length = frame::length([a, b, c, d], LARGEST_MESSAGE_BYTES)?;
    let size = u64::from_le_bytes(size);
    if size > LARGEST_BODY_BYTES {
        return Err(frame::too_long());
    }
    let mut message = vec![0; length];
    in_time(stream.read_exact(&mut message)).await?;
    // Memory is taken as bytes arrive, not for the length that was announced.
    let mut body = Vec::new();
    while (body.len() as u64) < size {
        let left = (size - body.len() as u64).min(PIECE_BYTES as u64);
        let start = body.len();
        body.resize(start + left as usize, 0);
        in_time(stream.read_exact(&mut body[start..])).await?;
    }
    Ok((frame::decode(&message)?, body, 12 + length as u64 + size))
}

async fn in_time<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    let done = tokio::time::timeout(PIECE_TIMEOUT, work).await;
    done.map_err(|_| late(PIECE_TIMEOUT))?
}

fn late(patience: Duration) -> Error {
    let text = format!("nothing came or went for {patience:?}");
    Error::new(ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_as_they_were_sent() {
        let (mut a, mut b) = tokio::io::duplex(1000);
        let body = vec![7; 300_000];
        let sent = body.clone();
        let sending =
            tokio::spawn(async move { send(&mut a, &Request::Has(Digest::of(b"x")), &sent).await });
        let patience = Duration::from_secs(5);
        let (message, got, count) = receive::<Request>(&mut b, patience)
            .await
            .expect("it comes");
        assert!(matches!(message, Request::Has(digest) if digest == Digest::of(b"x")));
        assert_eq!(got, body);
        assert_eq!(sending.await.expect("it ends").expect("it is sent"), count);
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_or_no_message_is_refused() {
        let patience = Duration::from_secs(5);
        for head in [
            [0xff; 12],
            [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            [0; 12],
        ] {
            let mut bytes: &[u8] = &head;
            assert!(receive::<Request>(&mut bytes, patience).await.is_err());
        }
    }

    #[test]
    fn versions_and_forms_must_fit() {
        let ours = Hello::new("a", "");
        assert_eq!(ours.misfit(&Hello::new("b", "")), None);
        let mut newer = Hello::new("b", "");
        newer.versions = (2, 3);
        let text = ours.misfit(&newer).expect("they do not fit");
        assert!(text.contains("versions 2 to 3"), "{text}");
        newer.versions = (1, 2);
        assert_eq!(ours.misfit(&newer), None);
        let mut other = Hello::new("b", "");
        other.formats.snapshot += 1;
        assert!(ours.misfit(&other).is_some());
    }
}
