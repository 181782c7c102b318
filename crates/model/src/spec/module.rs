//! How a module is named.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// Which module to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// The one in this file.
    Path(String),
    /// One that has been run or submitted before.
    Digest(Digest),
}

impl Module {
    /// What a module begins with that is named by its digest.
    pub const BY_DIGEST: &str = "blake3:";

    /// Its digest, where it is named by it. A daemon has no files of its clients', so that the
    /// digits alone will do there.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Digest(digest) => Some(*digest),
            Self::Path(text) => Digest::from_hex(text),
        }
    }

    /// The last part of its path; a digest is the whole name.
    pub fn file_name(&self) -> String {
        let text = self.to_string();
        let name = Path::new(&text).file_name();
        name.map(|name| name.to_string_lossy().into_owned())
            .unwrap_or(text)
    }
}

impl From<Digest> for Module {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Digest(digest) => write!(f, "{}{digest}", Self::BY_DIGEST),
        }
    }
}

impl FromStr for Module {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(digits) = text.strip_prefix(Self::BY_DIGEST) else {
            return Ok(Self::Path(text.into()));
        };
        let digest: Result<Digest, String> = digits.parse();
        digest
            .map(Self::Digest)
            .map_err(|error| format!("{}{error}", Self::BY_DIGEST))
    }
}

// A path may be longer than other texts.
impl Serialize for Module {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Module {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
