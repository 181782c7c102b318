//! The chunks of a body, as data: a state for each byte of the lines between them.
//!
//! What it takes and what it refuses is what hyper's decoder does.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::fields::Fields;
use super::lines::{MAX_FIELDS, parse_fields};

/// How many bytes the extensions of all chunks may have.
const MAX_EXTENSIONS: u64 = 16 << 10;

/// How many bytes the trailers may have.
const MAX_TRAILERS: usize = 16 << 10;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Next {
    /// The first digit of a chunk's size.
    Size,
    /// More digits of it.
    SizeRest,
    /// Blanks behind it.
    SizeBlank,
    /// An extension behind it.
    Extension,
    /// The line feed behind it.
    SizeFeed,
    /// Bytes of the body.
    Data,
    /// The carriage return behind a chunk.
    DataReturn,
    /// The line feed behind a chunk.
    DataFeed,
    /// A trailer.
    Trailer,
    /// The line feed behind a trailer.
    TrailerFeed,
    /// A trailer, or the carriage return of the last line.
    EndReturn,
    /// The line feed of the last line.
    EndFeed,
    /// Nothing: the body is whole.
    Nothing,
}

/// How far the chunks of a body have been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunks {
    next: Next,
    /// How many bytes of the chunk are still to come.
    left: u64,
    /// Bytes of extensions.
    extensions: u64,
    /// Trailers as they were received.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "serde_bytes")]
    trailers: Vec<u8>,
    /// How many trailers there are.
    trailer_count: usize,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            next: Next::Size,
            left: 0,
            extensions: 0,
            trailers: Vec::new(),
            trailer_count: 0,
        }
    }

    /// Whether the body is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.next == Next::Nothing
    }

    /// The trailers of a body that is whole.
    pub(super) fn trailers(&self) -> Result<Option<Fields>, Failure> {
        if self.trailers.is_empty() {
            return Ok(None);
        }
        let mut fields = vec![httparse::EMPTY_HEADER; self.trailer_count.min(MAX_FIELDS)];
        match httparse::parse_headers(&self.trailers, &mut fields) {
            Ok(httparse::Status::Complete((_, found))) => {
                Ok(Some(Fields::received(parse_fields(found)?)))
            }
            Ok(httparse::Status::Partial) | Err(_) => Err(Failure::Protocol),
        }
    }

    /// Decodes received bytes, and adds those of the body to `data`, up to `max` bytes in it. Gives
    /// how many were taken.
    pub(super) fn decode(
        &mut self,
        received: &[u8],
        data: &mut Vec<u8>,
        max: usize,
    ) -> Result<usize, Failure> {
        let mut taken = 0;
        while !self.is_whole() {
            let rest = received.get(taken..).unwrap_or_default();
            let Some(byte) = rest.first() else {
                break;
            };
            if self.next != Next::Data {
                self.next = self.step(*byte)?;
                taken += 1;
                continue;
            }
            let count = max.saturating_sub(data.len()).min(rest.len());
            let count = (count as u64).min(self.left) as usize;
            if count == 0 && self.left > 0 {
                break;
            }
            data.extend(rest.get(..count).unwrap_or_default());
            taken += count;
            self.left -= count as u64;
            if self.left == 0 {
                self.next = Next::DataReturn;
            }
        }
        Ok(taken)
    }

    /// Takes a byte between the chunks.
    fn step(&mut self, byte: u8) -> Result<Next, Failure> {
        Ok(match (self.next, byte) {
            (Next::Size, _) => {
                self.left = 0;
                self.digit(byte)?
            }
            (Next::SizeRest | Next::SizeBlank, b'\t' | b' ') => Next::SizeBlank,
            (Next::SizeRest | Next::SizeBlank, b';') => Next::Extension,
            (Next::SizeRest | Next::SizeBlank | Next::Extension, b'\r') => Next::SizeFeed,
            (Next::SizeRest, _) => self.digit(byte)?,
            // An extension with a bare line feed could hide the end of a line.
            (Next::Extension, b'\n') => return Err(Failure::Protocol),
            (Next::Extension, _) => {
                self.extensions = self.extensions.saturating_add(1);
                match self.extensions < MAX_EXTENSIONS {
                    true => Next::Extension,
                    false => return Err(Failure::Protocol),
                }
            }
            (Next::SizeFeed, b'\n') if self.left == 0 => Next::EndReturn,
            (Next::SizeFeed, b'\n') => Next::Data,
            (Next::DataReturn, b'\r') => Next::DataFeed,
            (Next::DataFeed, b'\n') => Next::Size,
            (Next::EndReturn, b'\r') => {
                if !self.trailers.is_empty() {
                    self.trailer_byte(byte)?;
                }
                Next::EndFeed
            }
            (Next::EndFeed, b'\n') => {
                if !self.trailers.is_empty() {
                    self.trailer_byte(byte)?;
                }
                Next::Nothing
            }
            (Next::EndReturn | Next::Trailer, _) => {
                self.trailer_byte(byte)?;
                match (self.next, byte) {
                    (Next::Trailer, b'\r') => Next::TrailerFeed,
                    _ => Next::Trailer,
                }
            }
            (Next::TrailerFeed, b'\n') if self.trailer_count < MAX_FIELDS => {
                self.trailer_byte(byte)?;
                self.trailer_count += 1;
                Next::EndReturn
            }
            _ => return Err(Failure::Protocol),
        })
    }

    fn digit(&mut self, byte: u8) -> Result<Next, Failure> {
        let digit = char::from(byte).to_digit(16).ok_or(Failure::Protocol)?;
        let size = self.left.checked_mul(16);
        let size = size.and_then(|size| size.checked_add(digit.into()));
        self.left = size.ok_or(Failure::Protocol)?;
        Ok(Next::SizeRest)
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<(), Failure> {
        self.trailers.push(byte);
        match self.trailers.len() < MAX_TRAILERS {
            true => Ok(()),
            false => Err(Failure::Protocol),
        }
    }
}
