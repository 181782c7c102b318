//! The head of a response, as a server sends it. It is what hyper's server sends for the same
//! response.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use dormouse_model::Timestamp;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, DATE, HeaderMap, TRAILER};

use super::fields::Fields;
use super::head::{content_length, trailer_names};
use super::lines::write_fields;
use super::outgoing::Framing;
use super::request::Asked;

/// A response that can be sent.
pub(crate) struct AnswerHead {
    pub(super) bytes: Vec<u8>,
    pub(super) framing: Framing,
    /// The connection may be used again.
    pub(super) keeps: bool,
}

/// A response as a guest has put it together.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) fields: &'a Fields,
    /// The guest writes a body, which may be empty.
    pub(crate) has_body: bool,
    pub(crate) date: Date,
}

/// The date in a head. It is written as HTTP writes it only where a head is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date(pub(crate) Timestamp);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_secs(self.0.as_nanos() / 1_000_000_000);
        httpdate::HttpDate::from(UNIX_EPOCH + seconds).fmt(f)
    }
}

impl Answer<'_> {
    /// The response to a request as it goes over a connection.
    pub(super) fn head(&self, asked: Asked) -> AnswerHead {
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        // There is only one response to a request, and this would not be it.
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return refusal(500, asked, self.date);
        }
        let is_tunnel = asked.connect && status.is_success();
        let may_have_length = !status.is_informational()
            && !is_tunnel
            && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let may_have_body = may_have_length && !asked.head;
        let may_be_chunked = may_have_body && !asked.is_1_0;
        let declared = content_length(self.fields.map());

        let mut fields = self.fields.map().clone();
        if !may_be_chunked {
            fields.remove(TRAILER);
        }
        // A body that is not there has no bytes, whatever the guest says.
        if !self.has_body && !asked.head {
            fields.remove(CONTENT_LENGTH);
        }
        let mut added: Vec<u8> = Vec::new();
        let framing = match (declared, self.has_body) {
            (Some(_), _) if asked.head => Framing::Empty,
            (Some(length), true) => Framing::Length(length),
            (None, true) if may_be_chunked => {
                added.extend(b"transfer-encoding: chunked\r\n");
                let names = match asked.takes_trailers {
                    true => trailer_names(self.fields.map()),
                    false => Vec::new(),
                };
                Framing::Chunked(names)
            }
            (None, true) if may_have_body => Framing::UntilClose,
            (None, true) => Framing::Empty,
            (_, false) => {
                if may_have_body {
                    added.extend(b"content-length: 0\r\n");
                }
                Framing::Empty
            }
        };
        let framing = match may_have_body {
            true => framing,
            false => Framing::Empty,
        };
        let keeps = asked.keeps
            && !is_tunnel
            && status != StatusCode::SWITCHING_PROTOCOLS
            && framing != Framing::UntilClose;
        let mut bytes = status_line(status, asked);
        write_fields(&fields, &mut bytes);
        bytes.extend(added);
        end(&fields, asked, keeps, self.date, &mut bytes);
        AnswerHead {
            bytes,
            framing,
            keeps,
        }
    }
}

/// An answer of the server's own, without a body. The connection is closed behind it.
pub(super) fn refusal(status: u16, asked: Asked, date: Date) -> AnswerHead {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let mut bytes = status_line(status, asked);
    if !asked.head {
        bytes.extend(b"content-length: 0\r\n");
    }
    end(&HeaderMap::new(), asked, false, date, &mut bytes);
    AnswerHead {
        bytes,
        framing: Framing::Empty,
        keeps: false,
    }
}

fn status_line(status: StatusCode, asked: Asked) -> Vec<u8> {
    let version = match asked.is_1_0 {
        true => "HTTP/1.0",
        false => "HTTP/1.1",
    };
    let reason = status.canonical_reason().unwrap_or("<none>");
    format!("{version} {} {reason}\r\n", status.as_str()).into_bytes()
}

/// Ends a head: what becomes of the connection, and the date.
fn end(fields: &HeaderMap, asked: Asked, keeps: bool, date: Date, bytes: &mut Vec<u8>) {
    match (asked.is_1_0, keeps) {
        (true, true) => bytes.extend(b"connection: keep-alive\r\n"),
        (false, false) => bytes.extend(b"connection: close\r\n"),
        (true, false) | (false, true) => {}
    }
    if !fields.contains_key(DATE) {
        bytes.extend(format!("date: {date}\r\n").bytes());
    }
    bytes.extend(b"\r\n");
}
