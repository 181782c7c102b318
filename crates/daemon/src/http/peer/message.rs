//! What two daemons say to each other. A message is a length, the length of its body, MessagePack, and the
//! body as it is; numbers are little-endian.
//!
//! ```text
//!   4 bytes  length of the message      8 bytes  length of the body
//!   the message, one of Request or Answer        the body
//! ```

use std::io::{Error, ErrorKind};
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::model::{Digest, TransferId};
use crate::{Blob, Claim, Considered, Formats, Inquiry, Standing};

/// The version of what is said here. Both sides say which they know, and take the highest of both.
///
/// 1: the first. 2: [`Request::Stands`].
pub(super) const VERSIONS: (u32, u32) = (1, 2);

/// The first version that knows [`Request::Stands`].
pub(super) const STANDS: u32 = 2;

/// The largest message, without its body.
const MESSAGE: usize = 1 << 20;

/// The largest body: a module, or a snapshot.
const BODY: u64 = 8 << 30;

/// A body is read and written in pieces of this size, each within [`PIECE_PATIENCE`].
const PIECE: usize = 64 << 10;

/// A piece of a message takes at most so long on its way; a network that is cut does not say so.
const PIECE_PATIENCE: Duration = Duration::from_secs(10);

/// Who somebody is and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
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

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// The first words.
    Hello(Hello),
    /// Whether a task may come.
    Inquire(Inquiry),
    /// Whether a blob is there.
    Has(Digest),
    /// A blob, which is the body.
    Put {
        /// What it is.
        kind: Blob,
        /// Its digest.
        digest: Digest,
        /// The engine to compile a module for.
        engine: Option<String>,
    },
    /// A task to hold: the body is an `Offer`.
    Offer,
    /// What is held is the other side's now.
    Take(TransferId),
    /// What is held stays here.
    Drop(TransferId),
    /// We know that it is the other side's.
    Settled(TransferId),
    /// How a move stands that we were offered.
    Standing(TransferId),
    /// The same, with what is needed where the other side remembers nothing of it. Since version 2.
    Stands(Claim),
    /// This link carries a connection of a task that moved, from now on.
    Carry {
        /// The move.
        transfer: TransferId,
        /// The snapshot names the connection by this.
        key: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Who answers.
    Hello(Hello),
    /// Whether the task may come, and what is lacking.
    Considered(Considered),
    /// Yes, or no.
    Has(bool),
    /// It is done, durably.
    Done,
    /// It is held durably, as this task.
    Held(u64),
    /// It is ours, as this task.
    Taken(u64),
    /// It is not here, and will not be by this move.
    Unknown,
    /// How it stands.
    Standing(Standing),
    /// It cannot be done.
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

    /// Why the two cannot work together, if they cannot.
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

/// Sends a message with its body; gives how many bytes that were.
pub(super) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
    body: &[u8],
) -> std::io::Result<u64> {
    let bytes = rmp_serde::to_vec_named(message).map_err(Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(Error::other)?;
    let mut head = length.to_le_bytes().to_vec();
    head.extend_from_slice(&(body.len() as u64).to_le_bytes());
    head.extend_from_slice(&bytes);
    // One write for what is small, so that it is one packet.
    let short = body.len() <= PIECE;
    if short {
        head.extend_from_slice(body);
    }
    let mut pieces = vec![head.as_slice()];
    if !short {
        pieces.extend(body.chunks(PIECE));
    }
    for piece in pieces {
        in_time(stream.write_all(piece)).await?;
    }
    in_time(stream.flush()).await?;
    Ok(12 + bytes.len() as u64 + body.len() as u64)
}

/// Receives a message with its body, and how many bytes that were. `patience` is for its beginning.
pub(super) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> std::io::Result<(T, Vec<u8>, u64)> {
    let mut head = [0; 12];
    let begun = tokio::time::timeout(patience, stream.read_exact(&mut head));
    begun.await.map_err(|_| late(patience))??;
    let [a, b, c, d, size @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let size = u64::from_le_bytes(size);
    if length > MESSAGE || size > BODY {
        return Err(Error::new(ErrorKind::InvalidData, "a message is too long"));
    }
    let mut message = vec![0; length];
    in_time(stream.read_exact(&mut message)).await?;
    // Memory is taken as bytes come, not as they are promised.
    let mut body = Vec::new();
    while (body.len() as u64) < size {
        let left = (size - body.len() as u64).min(PIECE as u64);
        let start = body.len();
        body.resize(start + left as usize, 0);
        in_time(stream.read_exact(&mut body[start..])).await?;
    }
    let message = rmp_serde::from_slice(&message)
        .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
    Ok((message, body, 12 + length as u64 + size))
}

async fn in_time<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    let done = tokio::time::timeout(PIECE_PATIENCE, work).await;
    done.map_err(|_| late(PIECE_PATIENCE))?
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
        newer.versions = (3, 4);
        let text = ours.misfit(&newer).expect("they do not fit");
        assert!(text.contains("versions 3 to 4"), "{text}");
        newer.versions = (2, 3);
        assert_eq!(ours.misfit(&newer), None);
        let mut other = Hello::new("b", "");
        other.formats.snapshot += 1;
        assert!(ours.misfit(&other).is_some());
    }
}
