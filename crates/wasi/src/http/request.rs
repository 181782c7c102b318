//! The head of a request, as a server receives it.
//!
//! What it takes and what it refuses is what hyper's server does.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING,
};
use http::{Method, Uri};
use serde::{Deserialize, Serialize};

use super::fields::{Fields, digits};
use super::head::{MAX_HEAD, is_chunked};
use super::incoming::Decoder;
use super::lines::{MAX_FIELDS, parse_fields};

/// How many bytes the target of a request may have, as with hyper.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// A request that a server has received, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    pub(crate) authority: Option<String>,
    pub(crate) path_with_query: Option<String>,
    pub(crate) fields: Fields,
    pub(super) decoder: Decoder,
    pub(super) asked: Asked,
}

/// What a request says of its response and of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The response has no body: `HEAD`.
    pub(super) head: bool,
    /// The response has no body if it succeeds: `CONNECT`.
    pub(super) connect: bool,
    /// By HTTP/1.0.
    pub(super) is_1_0: bool,
    /// The connection may be used again.
    pub(super) keeps: bool,
    /// The peer waits to be told that its body is wanted.
    pub(super) expects_continue: bool,
    /// The peer takes trailers.
    pub(super) takes_trailers: bool,
}

/// Why a request is refused before the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is answered with this status, and the connection is closed.
    Status(u16),
    /// It is not HTTP/1, so that no answer would be understood.
    Silent,
}

/// It breaks a rule of HTTP.
const BAD: Refusal = Refusal::Status(400);

/// What the peer sends first that talks HTTP/2.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Takes the head of a request from the front of what has been received, if it is there.
pub(super) fn take_request(received: &mut Vec<u8>) -> Result<Option<ReceivedRequest>, Refusal> {
    if received.starts_with(HTTP_2) {
        return Err(Refusal::Silent);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if received.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::Status(431));
        }
        Err(_) => return Err(BAD),
    };
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET {
        return Err(Refusal::Status(414));
    }
    let method = request.method.unwrap_or_default();
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| BAD)?;
    let uri: Uri = target.parse().map_err(|_| BAD)?;
    let is_1_0 = request.version == Some(0);
    let fields = parse_fields(request.headers).map_err(|_| BAD)?;
    received.drain(..length);
    head(&method, &uri, is_1_0, fields).map(Some)
}

fn head(
    method: &Method,
    uri: &Uri,
    is_1_0: bool,
    mut fields: HeaderMap,
) -> Result<ReceivedRequest, Refusal> {
    let (decoder, is_ambiguous) = decoder(&mut fields, is_1_0)?;
    let asked = Asked {
        head: *method == Method::HEAD,
        connect: *method == Method::CONNECT,
        is_1_0,
        keeps: keeps(&fields, is_1_0) && !is_ambiguous,
        expects_continue: !is_1_0 && has(&fields, "100-continue"),
        takes_trailers: fields.get(TE).is_some_and(|value| value == "trailers"),
    };
    Ok(ReceivedRequest {
        method: method.as_str().into(),
        authority: authority(uri, &fields, is_1_0)?,
        path_with_query: uri.path_and_query().map(|path| path.as_str().into()),
        fields: Fields::received(fields),
        decoder,
        asked,
    })
}

/// Whether the last of the fields `expect` has this value, whatever its case.
fn has(fields: &HeaderMap, expected: &str) -> bool {
    let last = fields.get_all(EXPECT).into_iter().next_back();
    last.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(expected.as_bytes()))
}

/// Whom the request asks. Unlike Wasmtime, which answers with 500 where nobody is named, this is as
/// RFC 9112, section 3.2, says: 400, but for HTTP/1.0, which need not say it.
fn authority(uri: &Uri, fields: &HeaderMap, is_1_0: bool) -> Result<Option<String>, Refusal> {
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.as_str().into()));
    }
    match fields.get(HOST) {
        Some(host) => Ok(Some(host.to_str().map_err(|_| BAD)?.into())),
        None if is_1_0 => Ok(None),
        None => Err(BAD),
    }
}

/// Whether the connection may be used again, as far as the request says.
fn keeps(fields: &HeaderMap, is_1_0: bool) -> bool {
    let says = |value: &HeaderValue, wanted: &str| {
        let options = value.to_str().unwrap_or_default().split(',');
        options
            .map(str::trim)
            .any(|option| option.eq_ignore_ascii_case(wanted))
    };
    let any = |wanted: &str| {
        let mut all = fields.get_all(CONNECTION).into_iter();
        all.any(|value| says(value, wanted))
    };
    !any("close") && (!is_1_0 || any("keep-alive"))
}

/// How the body of a request ends, by RFC 9112, section 6.3; and whether the head names its length
/// as well as a coding. Then another server may see another end, and the connection is not used
/// again.
fn decoder(fields: &mut HeaderMap, is_1_0: bool) -> Result<(Decoder, bool), Refusal> {
    if fields.contains_key(TRANSFER_ENCODING) {
        if is_1_0 || !is_chunked(fields) {
            return Err(BAD);
        }
        let is_ambiguous = fields.remove(CONTENT_LENGTH).is_some();
        return Ok((Decoder::chunked(), is_ambiguous));
    }
    let mut length = None;
    for value in fields.get_all(CONTENT_LENGTH) {
        let found = digits(value.as_bytes()).ok_or(BAD)?;
        if length.is_some_and(|length| length != found) {
            return Err(BAD);
        }
        length = Some(found);
    }
    if let Some(length) = length {
        // Where it stands several times, the guest sees it once.
        fields.insert(CONTENT_LENGTH, length.into());
    }
    Ok((Decoder::Length(length.unwrap_or(0)), false))
}
