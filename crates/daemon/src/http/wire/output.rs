//! A task's output.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::daemon::info::Piece;
use crate::http::wire::time;
use crate::store::Stream;

/// A piece of output: `text` where it is UTF-8, else `base64`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// Counts the task's stored pieces from 0; omitted while the piece is not stored yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// `stdout` or `stderr`.
    #[schema(value_type = String)]
    pub stream: Stream,
    /// When it was written.
    pub time: String,
    /// What was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was written, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl From<Piece> for Output {
    fn from(piece: Piece) -> Self {
        let (text, base64) = match String::from_utf8(piece.entry.bytes) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
        };
        Self {
            sequence: piece.sequence,
            stream: piece.entry.stream,
            time: time(piece.entry.time),
            text,
            base64,
        }
    }
}

impl Output {
    /// What was written. Empty where the base64 is none.
    pub fn bytes(&self) -> Vec<u8> {
        match (&self.text, &self.base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).unwrap_or_default(),
            (None, None) => Vec::new(),
        }
    }
}
