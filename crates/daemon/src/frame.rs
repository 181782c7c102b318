//! A message between two daemons as bytes: its length, little-endian in 4 bytes, and MessagePack.
//!
//! `takeover` sends such messages over a local socket with descriptors beside them, `peers` over
//! TLS with bodies behind them.

use std::io::{Error, ErrorKind};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message, with its length before it.
pub(crate) fn encode(message: &impl Serialize) -> std::io::Result<([u8; 4], Vec<u8>)> {
    let bytes = rmp_serde::to_vec_named(message).map_err(Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(Error::other)?;
    Ok((length.to_le_bytes(), bytes))
}

/// The length of the message that follows; refuses one of more than `largest` bytes.
pub(crate) fn length(bytes: [u8; 4], largest: u32) -> std::io::Result<usize> {
    match u32::from_le_bytes(bytes) {
        length if length <= largest => Ok(length as usize),
        _ => Err(too_long()),
    }
}

/// The error for a message that is too long.
pub(crate) fn too_long() -> Error {
    Error::new(ErrorKind::InvalidData, "a message is too long")
}

/// Reads a message.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> std::io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}
