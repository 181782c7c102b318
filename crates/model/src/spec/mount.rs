//! Directories: of the host's, and in memory.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{parse_bytes, show_bytes};

/// A directory of the host's that a task may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Its path on the host: in a task file from the file's own folder, for a daemon its whole
    /// path.
    pub host: String,
    /// Its name for the guest.
    pub guest: String,
    /// Whether the guest may only read there. Left out, it may write; of a snapshot, as it could
    /// before.
    #[serde(
        default,
        rename = "read_only",
        alias = "read-only",
        skip_serializing_if = "Access::is_kept"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>))]
    pub access: Access,
}

/// Whether a guest may write to a directory of the host's, and to what lies in it. Written, it says
/// whether that may only be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// As it was when the guest was suspended. A new guest may write.
    #[default]
    Kept,
    /// It may only read.
    ReadOnly,
    /// It may write.
    ReadWrite,
}

impl Access {
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }

    /// Whether it may only read, where it was so or not before.
    pub fn is_read_only(self, before: bool) -> bool {
        match self {
            Self::Kept => before,
            Self::ReadOnly => true,
            Self::ReadWrite => false,
        }
    }
}

impl Serialize for Access {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Kept => serializer.serialize_none(),
            Self::ReadOnly => serializer.serialize_bool(true),
            Self::ReadWrite => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<bool>::deserialize(deserializer)? {
            None => Self::Kept,
            Some(true) => Self::ReadOnly,
            Some(false) => Self::ReadWrite,
        })
    }
}

/// A directory in memory, which travels in the task's snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    /// Its name for the guest.
    pub guest: String,
    /// How many bytes it may hold, names and nodes counted in: a number, or a text such as `16M`.
    /// Left out, as many as the limit `tmpfs` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Size>))]
    pub size: Option<ByteSize>,
}

/// A number of bytes: as a number, which answers always have, or as a text such as `16M`.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema, Serialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its description is used")]
pub enum Size {
    /// As a number.
    Bytes(u64),
    /// As a text.
    Text(String),
}

/// A number of bytes, which is read from a number or from a text such as `16M`, and written as a
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let start: String = text.chars().take(60).collect();
            format!("{start:?}: this is no size; write 512K, 256M or 1G")
        };
        parse_bytes(text).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_bytes(self.0))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteCount)
    }
}

struct ByteCount;

impl Visitor<'_> for ByteCount {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or a text such as \"16M\"")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<ByteSize, E> {
        let wrong = |_| E::invalid_value(Unexpected::Signed(bytes), &self);
        u64::try_from(bytes).map(ByteSize).map_err(wrong)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }
}
