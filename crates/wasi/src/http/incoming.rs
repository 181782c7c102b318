//! A message on its way in: what has been received of it, and how far it has been read.

use serde::{Deserialize, Serialize};

use super::chunked::Chunks;
use super::failure::Failure;
use super::fields::Fields;

/// How many bytes of a body are decoded ahead, and how many are received at a time.
const MAX_AHEAD: usize = 64 << 10;

/// How the end of a body is found, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Decoder {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClose,
}

impl Decoder {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks::new())
    }
}

/// A message on its way in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incoming {
    /// What has been received and not been decoded.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "serde_bytes")]
    pub(super) received: Vec<u8>,
    /// How the body is decoded, once the head is known.
    pub(super) decoder: Option<Decoder>,
    /// What has been decoded and not been read.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "serde_bytes")]
    pub(super) data: Vec<u8>,
    /// The trailers, or why the body ended early; once it is at its end.
    pub(super) end: Option<Result<Option<Fields>, Failure>>,
}

impl Incoming {
    /// Room for what is received next.
    pub(super) fn buffer() -> Vec<u8> {
        vec![0; MAX_AHEAD]
    }

    /// Whether the body is at its end, well or not. Bytes that were decoded may still be read.
    pub(super) fn is_at_end(&self) -> bool {
        self.end.is_some()
    }

    /// Whether a read would give something, if only the end.
    pub(super) fn has_something(&self) -> bool {
        !self.data.is_empty() || self.is_at_end()
    }

    /// Whether the body is at its end and all of it was read.
    fn is_drained(&self) -> bool {
        self.data.is_empty() && self.is_at_end()
    }

    /// Takes decoded bytes, as many as there are up to `length`.
    pub(super) fn take(&mut self, length: u64) -> Vec<u8> {
        let count = length.min(self.data.len() as u64) as usize;
        let rest = self.data.split_off(count);
        std::mem::replace(&mut self.data, rest)
    }

    /// A message begins whose body is decoded so. What has been received behind its head stays.
    pub(super) fn begin(&mut self, decoder: Decoder) {
        self.decoder = Some(decoder);
        self.data = Vec::new();
        self.end = None;
        self.decode();
    }

    /// Takes bytes of the body that are there; none, if there are none yet.
    ///
    /// # Errors
    /// The body is at its end, which a failure may have caused.
    pub(super) fn read(&mut self, length: u64) -> Result<Vec<u8>, Option<Failure>> {
        match self.is_drained() {
            true => Err(self.take_failure()),
            false => Ok(self.take(length)),
        }
    }

    /// How the body has ended: the trailers or a failure. A failure is told once.
    pub(super) fn take_end(&mut self) -> Option<Result<Option<Fields>, Failure>> {
        match &mut self.end {
            Some(Ok(trailers)) => Some(Ok(trailers.take())),
            Some(Err(failure)) => {
                let failure = *failure;
                self.end = Some(Ok(None));
                Some(Err(failure))
            }
            None => None,
        }
    }

    /// The failure with which the body has ended, told once.
    fn take_failure(&mut self) -> Option<Failure> {
        match self.end {
            Some(Err(_)) => self.take_end()?.err(),
            _ => None,
        }
    }

    /// Throws away what has been decoded.
    pub(super) fn discard(&mut self) {
        self.data.clear();
    }

    /// The body ends here, because of this.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.end.get_or_insert(Err(failure));
        self.received = Vec::new();
    }

    /// The peer has ended the connection.
    pub(super) fn close(&mut self) {
        match self.decoder {
            Some(Decoder::UntilClose) => {
                self.end.get_or_insert(Ok(None));
            }
            _ => self.fail(Failure::Protocol),
        }
    }

    /// Decodes what has been received, up to some bytes ahead.
    pub(super) fn decode(&mut self) {
        if self.is_at_end() {
            return;
        }
        let room = MAX_AHEAD.saturating_sub(self.data.len());
        match &mut self.decoder {
            None => {}
            Some(Decoder::UntilClose) => {
                let count = room.min(self.received.len());
                self.data.extend(self.received.drain(..count));
            }
            Some(Decoder::Length(left)) => {
                let count = (room.min(self.received.len()) as u64).min(*left);
                self.data.extend(self.received.drain(..count as usize));
                *left -= count;
                if *left == 0 {
                    self.end = Some(Ok(None));
                }
            }
            Some(Decoder::Chunked(chunks)) => {
                match chunks.decode(&self.received, &mut self.data, MAX_AHEAD) {
                    Ok(taken) => {
                        self.received.drain(..taken);
                        if chunks.is_whole() {
                            self.end = Some(chunks.trailers());
                        }
                    }
                    Err(failure) => self.fail(failure),
                }
            }
        }
    }
}
