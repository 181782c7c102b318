//! Heads: a request's as it is sent, a response's as it is received.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, TRAILER, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{Method, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use dormouse_model::TraceContext;

use super::failure::Failure;
use super::fields::{Fields, digits};
use super::incoming::Decoder;
use super::lines::{MAX_FIELDS, parse_fields, write_fields};
use super::outgoing::Framing;

/// How many bytes a head may have, as with hyper.
pub(super) const MAX_HEAD: usize = 8192 + 4096 * 100;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The host's name or address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// By TLS.
    pub(crate) is_secure: bool,
}

/// What a request says of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Asks {
    /// It may have a body.
    Any,
    /// It has none: `HEAD`.
    Head,
    /// If it succeeds, it has none: `CONNECT`.
    Connect,
}

/// A request as a guest has put it together.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) scheme: Scheme,
    pub(crate) authority: &'a str,
    pub(crate) path_with_query: Option<&'a str>,
    pub(crate) fields: &'a Fields,
    pub(crate) has_body: bool,
    /// The span that it belongs to, where its fields name none.
    pub(crate) traceparent: Option<TraceContext>,
}

/// A request that can be sent.
pub(crate) struct RequestHead {
    pub(crate) origin: Origin,
    pub(crate) asks: Asks,
    /// To make it twice is as good as to make it once.
    pub(crate) is_idempotent: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) framing: Framing,
}

/// Why a request cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// Its address is none.
    Uri,
    /// It lacks a part.
    Protocol,
}

/// A path that a request may have: it is empty, or begins with a slash or a question mark.
pub(crate) fn is_path_with_query(path: &str) -> bool {
    let begins = path.is_empty() || path.starts_with('/') || path.starts_with('?');
    begins && Uri::builder().path_and_query(path).build().is_ok()
}

impl Request<'_> {
    /// The request as it goes over a connection.
    pub(crate) fn head(&self) -> Result<RequestHead, RequestError> {
        let mut uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority);
        if let Some(path) = self.path_with_query {
            uri = uri.path_and_query(path);
        }
        let uri = uri.build().map_err(request_error)?;
        let (Some(authority), Some(path)) = (uri.authority(), uri.path_and_query()) else {
            return Err(RequestError::Protocol);
        };
        let is_secure = self.scheme == Scheme::HTTPS;
        let origin = Origin {
            host: match authority.as_str().contains('@') {
                // No host has such a name.
                true => authority.as_str().into(),
                false => authority.host().into(),
            },
            port: match authority.port_u16() {
                Some(port) => port,
                None if is_secure => 443,
                None => 80,
            },
            is_secure,
        };
        let framing = self.framing();
        let mut bytes = format!("{} {path} HTTP/1.1\r\nhost: ", self.method).into_bytes();
        bytes.extend(self.authority.bytes());
        bytes.extend(b"\r\n");
        write_fields(self.fields.map(), &mut bytes);
        if let Some(context) = self.traceparent
            && !self.fields.map().contains_key("traceparent")
        {
            bytes.extend(format!("traceparent: {context}\r\n").into_bytes());
        }
        if let Framing::Chunked(_) = framing {
            bytes.extend(b"transfer-encoding: chunked\r\n");
        }
        bytes.extend(b"\r\n");
        Ok(RequestHead {
            origin,
            asks: match self.method {
                Method::HEAD => Asks::Head,
                Method::CONNECT => Asks::Connect,
                _ => Asks::Any,
            },
            is_idempotent: self.method.is_idempotent(),
            bytes,
            framing,
        })
    }

    fn framing(&self) -> Framing {
        if !self.has_body {
            return Framing::Empty;
        }
        if let Some(length) = content_length(self.fields.map()) {
            return Framing::Length(length);
        }
        match self.method {
            // As with hyper: these have a body only if their head says how long it is.
            Method::GET | Method::HEAD | Method::CONNECT => Framing::Empty,
            _ => Framing::Chunked(trailer_names(self.fields.map())),
        }
    }
}

fn request_error(error: http::Error) -> RequestError {
    match error.is::<http::uri::InvalidUri>() {
        true => RequestError::Uri,
        false => RequestError::Protocol,
    }
}

/// The names of the trailers that a head announces.
pub(super) fn trailer_names(fields: &HeaderMap) -> Vec<String> {
    let values = fields.get_all(TRAILER).into_iter();
    let names = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok());
    names.map(|name| name.as_str().to_owned()).collect()
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
}

/// Takes the head of a response from the front of what has been received, if it is there. What is
/// only informational is passed over.
pub(super) fn take_response(
    received: &mut Vec<u8>,
    asks: Asks,
) -> Result<Option<(ResponseHead, Decoder)>, Failure> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(received) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if received.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(Failure::Protocol),
        };
        let status = response.code.unwrap_or_default();
        let status = StatusCode::from_u16(status).map_err(|_| Failure::Protocol)?;
        let is_1_0 = response.version == Some(0);
        let fields = parse_fields(response.headers)?;
        received.drain(..length);
        let status = status.as_u16();
        if matches!(status, 100 | 102..=199) {
            continue;
        }
        let decoder = response_decoder(status, is_1_0, asks, &fields)?;
        let head = ResponseHead {
            status,
            fields: Fields::received(fields),
        };
        return Ok(Some((head, decoder)));
    }
}

/// How the body of a response ends, by RFC 9112, section 6.3.
fn response_decoder(
    status: u16,
    is_1_0: bool,
    asks: Asks,
    fields: &HeaderMap,
) -> Result<Decoder, Failure> {
    let is_empty = match asks {
        Asks::Any => false,
        Asks::Head => true,
        Asks::Connect => (200..300).contains(&status),
    };
    if is_empty || matches!(status, 101 | 204 | 304) {
        return Ok(Decoder::Length(0));
    }
    if fields.contains_key(TRANSFER_ENCODING) {
        return match is_chunked(fields) {
            _ if is_1_0 => Err(Failure::Protocol),
            true => Ok(Decoder::chunked()),
            false => Ok(Decoder::UntilClose),
        };
    }
    match content_length(fields) {
        Some(length) => Ok(Decoder::Length(length)),
        None if fields.contains_key(CONTENT_LENGTH) => Err(Failure::Protocol),
        None => Ok(Decoder::UntilClose),
    }
}

/// Whether the last of the transfer codings is `chunked`.
pub(super) fn is_chunked(fields: &HeaderMap) -> bool {
    let last = fields.get_all(TRANSFER_ENCODING).into_iter().next_back();
    let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
}

/// The length that all of the values agree on.
pub(super) fn content_length(fields: &HeaderMap) -> Option<u64> {
    let mut length = None;
    for value in fields.get_all(CONTENT_LENGTH) {
        for number in value.to_str().ok()?.split(',') {
            let number = digits(number.trim().as_bytes())?;
            if length.is_some_and(|length| length != number) {
                return None;
            }
            length = Some(number);
        }
    }
    length
}
