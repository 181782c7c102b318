//! The fields of a head or of trailers, with the rules by which a guest may change them.
//!
//! Names, values, their order and the limits are those of `wasmtime-wasi-http`.

use std::mem::size_of;

use http::header::{CONTENT_LENGTH, Entry, HeaderMap, HeaderName, HeaderValue};
use http::header::{InvalidHeaderName, InvalidHeaderValue, MaxSizeReached};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// How many bytes all names and values may have, each counted with what the map takes for it.
const MAX_BYTES: usize = 128 << 10;

/// Fields that are about a connection and not about a message. A guest neither sets nor sees them.
const FORBIDDEN: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "host",
    "http2-settings",
];

/// Fields by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FieldsV1", into = "FieldsV1")]
pub(crate) struct Fields {
    map: Box<HeaderMap>,
    /// Bytes of all names and values, as they count against [`MAX_BYTES`].
    bytes: usize,
    mutable: bool,
}

/// Fields in a snapshot.
#[derive(Serialize, Deserialize)]
struct FieldsV1 {
    entries: Vec<(String, ByteBuf)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    mutable: bool,
}

/// Why fields do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldsError {
    /// A name or a value is not one.
    InvalidSyntax,
    /// The field is none that a guest may set.
    Forbidden,
    /// These fields are not to be changed.
    Immutable,
    /// They would be too many.
    TooMany,
    /// They would be too large.
    TooLarge,
}

impl From<InvalidHeaderName> for FieldsError {
    fn from(_: InvalidHeaderName) -> Self {
        Self::InvalidSyntax
    }
}

impl From<InvalidHeaderValue> for FieldsError {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::InvalidSyntax
    }
}

impl From<MaxSizeReached> for FieldsError {
    fn from(_: MaxSizeReached) -> Self {
        Self::TooMany
    }
}

impl Fields {
    /// No fields yet.
    pub(crate) fn new() -> Self {
        Self {
            map: Box::default(),
            bytes: 0,
            mutable: true,
        }
    }

    /// Fields that a peer has sent, without those that are about the connection.
    pub(crate) fn received(mut map: HeaderMap) -> Self {
        for name in FORBIDDEN {
            map.remove(name);
        }
        Self {
            bytes: counted(&map),
            map: map.into(),
            mutable: false,
        }
    }

    /// The same fields, which the guest may change or not.
    pub(crate) fn with_mutable(mut self, mutable: bool) -> Self {
        self.mutable = mutable;
        self
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }

    /// All values of a name.
    pub(crate) fn get(&self, name: &str) -> Vec<Vec<u8>> {
        // A name that is none has no values.
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Vec::new();
        };
        let values = self.map.get_all(name).into_iter();
        values.map(|value| value.as_bytes().to_vec()).collect()
    }

    /// Whether there is a field of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| self.map.contains_key(name))
    }

    /// Names and values, one pair for each value.
    pub(crate) fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let entries = self.map.iter();
        entries
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    /// Sets all values of a name. Without values the field goes.
    pub(crate) fn set(&mut self, name: &str, values: Vec<Vec<u8>>) -> Result<(), FieldsError> {
        let name = allowed_name(name)?;
        self.check_mutable()?;
        if name == CONTENT_LENGTH && values.len() > 1 {
            return Err(FieldsError::InvalidSyntax);
        }
        let values = values.into_iter().map(|value| parse_value(&name, value));
        let values: Vec<HeaderValue> = values.collect::<Result<_, _>>()?;
        let added: usize = values.iter().map(value_bytes).sum();
        let name_bytes = name_bytes(&name);
        let mut values = values.into_iter();
        let mut entry = match self.map.try_entry(name)? {
            Entry::Vacant(vacant) => {
                let Some(first) = values.next() else {
                    return Ok(());
                };
                self.bytes = limited(self.bytes + added + name_bytes)?;
                vacant.try_insert_entry(first)?
            }
            Entry::Occupied(mut occupied) => {
                let removed: usize = occupied.iter().map(value_bytes).sum();
                let Some(first) = values.next() else {
                    occupied.remove();
                    self.bytes = self.bytes.saturating_sub(removed + name_bytes);
                    return Ok(());
                };
                self.bytes = limited(self.bytes.saturating_sub(removed) + added)?;
                occupied.insert(first);
                occupied
            }
        };
        for value in values {
            entry.append(value);
        }
        Ok(())
    }

    /// Removes a field.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), FieldsError> {
        let name = allowed_name(name)?;
        self.check_mutable()?;
        if let Entry::Occupied(occupied) = self.map.try_entry(name)? {
            let (name, values) = occupied.remove_entry_mult();
            let removed: usize = values.map(|value| value_bytes(&value)).sum();
            self.bytes = self.bytes.saturating_sub(removed + name_bytes(&name));
        }
        Ok(())
    }

    /// Adds a value.
    pub(crate) fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), FieldsError> {
        let name = allowed_name(name)?;
        let value = parse_value(&name, value)?;
        // Two lengths would let two readers see two ends.
        if name == CONTENT_LENGTH && self.map.contains_key(&name) {
            return Err(FieldsError::InvalidSyntax);
        }
        self.check_mutable()?;
        let added = match self.map.contains_key(&name) {
            true => value_bytes(&value),
            false => value_bytes(&value) + name_bytes(&name),
        };
        let bytes = limited(self.bytes + added)?;
        self.map.try_append(name, value)?;
        self.bytes = bytes;
        Ok(())
    }

    /// How many bytes the body has, if the head says so.
    ///
    /// # Errors
    /// What the head says is not one number.
    pub(crate) fn content_length(&self) -> Result<Option<u64>, FieldsError> {
        let mut values = self.map.get_all(CONTENT_LENGTH).into_iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => digits(value.as_bytes())
                .map(Some)
                .ok_or(FieldsError::InvalidSyntax),
            (Some(_), Some(_)) => Err(FieldsError::InvalidSyntax),
        }
    }

    fn check_mutable(&self) -> Result<(), FieldsError> {
        match self.mutable {
            true => Ok(()),
            false => Err(FieldsError::Immutable),
        }
    }
}

fn allowed_name(name: &str) -> Result<HeaderName, FieldsError> {
    let name: HeaderName = name.parse()?;
    match FORBIDDEN.contains(&name.as_str()) {
        true => Err(FieldsError::Forbidden),
        false => Ok(name),
    }
}

fn parse_value(name: &HeaderName, value: Vec<u8>) -> Result<HeaderValue, FieldsError> {
    if *name == CONTENT_LENGTH {
        let length = digits(&value).ok_or(FieldsError::InvalidSyntax)?;
        return Ok(length.into());
    }
    Ok(HeaderValue::try_from(value)?)
}

/// A number that is nothing but digits.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
}

/// Bytes of a name as they count.
fn name_bytes(name: &HeaderName) -> usize {
    name.as_str().len() + size_of::<HeaderName>()
}

/// Bytes of a value as they count. Also what is empty counts, or there could be any number of it.
fn value_bytes(value: &HeaderValue) -> usize {
    value.len() + size_of::<HeaderValue>()
}

fn counted(map: &HeaderMap) -> usize {
    let names: usize = map.keys().map(name_bytes).sum();
    let values: usize = map.values().map(value_bytes).sum();
    names + values
}

fn limited(bytes: usize) -> Result<usize, FieldsError> {
    match bytes <= MAX_BYTES {
        true => Ok(bytes),
        false => Err(FieldsError::TooLarge),
    }
}

impl From<Fields> for FieldsV1 {
    fn from(fields: Fields) -> Self {
        let entries = fields.entries().into_iter();
        Self {
            entries: entries.map(|(name, value)| (name, value.into())).collect(),
            mutable: fields.mutable,
        }
    }
}

impl TryFrom<FieldsV1> for Fields {
    type Error = &'static str;

    fn try_from(saved: FieldsV1) -> Result<Self, Self::Error> {
        let mut map = HeaderMap::new();
        for (name, value) in saved.entries {
            let name: HeaderName = name.parse().map_err(|_| "a field's name is none")?;
            let value = HeaderValue::try_from(value.into_vec());
            let value = value.map_err(|_| "a field's value is none")?;
            map.try_append(name, value)
                .map_err(|_| "there are too many fields")?;
        }
        Ok(Self {
            bytes: counted(&map),
            map: map.into(),
            mutable: saved.mutable,
        })
    }
}
