//! The custom section in which a resumable module says where it comes from.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

use super::Error;
use crate::model::{Digest, Shape};

/// Name of the custom section; its content is a MessagePack map.
const SECTION: &str = "dormouse.manifest";

/// Which rewriting made a module resumable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transform {
    /// Two versions of every function that may be suspended: a fast one to run, a slow one to
    /// resume.
    #[default]
    TwoVersion,
    /// Binaryen's asyncify as it is.
    Plain,
    /// The module as it is: it runs, waits in place, and cannot be suspended.
    None,
    /// Binaryen's asyncify as others use it, with no list of functions and optimised before and
    /// after: what benchmarks compare with.
    #[doc(hidden)]
    Reference,
}

impl std::fmt::Display for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TwoVersion => "two-version",
            Self::Plain => "plain",
            Self::None => "none",
            Self::Reference => "reference",
        })
    }
}

impl std::str::FromStr for Transform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::TwoVersion, Self::Plain, Self::None]
            .into_iter()
            .find(|transform| transform.to_string() == text)
            .ok_or_else(|| {
                format!("no transform is called {text:?}; there are two-version, plain and none")
            })
    }
}

/// Where a resumable module comes from and how its state is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of dormouse that made it.
    pub tool: String,
    /// Digest of the module it was made from.
    pub source: Digest,
    /// How it was made.
    pub transform: Transform,
    /// Whether it has checks by which a guest that computes can be suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preempt: bool,
    /// The names under which its state is exported.
    pub shape: Shape,
}

impl Manifest {
    /// The content of the custom section.
    pub(super) fn section(&self) -> (&'static str, Vec<u8>) {
        // Writing plain data into memory fails only where memory does.
        (SECTION, rmp_serde::to_vec_named(self).unwrap_or_default())
    }

    /// Reads the manifest of a resumable module.
    pub fn of(wasm: &[u8]) -> Result<Self, Error> {
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::CustomSection(section) = payload.map_err(Error::malformed)?
                && section.name() == SECTION
            {
                return rmp_serde::from_slice(section.data()).map_err(|error| Error::Unsupported {
                    what: format!("a module whose manifest cannot be read ({error})"),
                    why: "it was made by another version of dormouse",
                });
            }
        }
        Err(Error::NotResumable)
    }
}
