//! Fields as they go over a connection, a line each.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::failure::Failure;

/// How many fields a head or trailers may have, as with hyper.
pub(super) const MAX_FIELDS: usize = 100;

/// Writes fields as they go over a connection.
pub(super) fn write_fields<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    bytes: &mut Vec<u8>,
) {
    for (name, value) in fields {
        bytes.extend(name.as_str().bytes());
        bytes.extend(b": ");
        bytes.extend(value.as_bytes());
        bytes.extend(b"\r\n");
    }
}

/// Fields as the parser has found them.
pub(super) fn parse_fields(found: &[httparse::Header<'_>]) -> Result<HeaderMap, Failure> {
    let mut fields = HeaderMap::with_capacity(found.len());
    for field in found {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Failure::Protocol);
        };
        fields.append(name, value);
    }
    Ok(fields)
}
