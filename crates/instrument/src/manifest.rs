//! The custom section in which a resumable module says where it comes from.

use dormouse_model::{Digest, Shape};
use serde::{Deserialize, Serialize};
use wasmparser::Parser;

use crate::error::Error;
use crate::module::sections::sections;

/// Name of the custom section. Its content is a MessagePack map.
const SECTION: &str = "dormouse.manifest";

/// How a module is made resumable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transform {
    /// [`TwoVersion`](Self::TwoVersion), or [`Native`](Self::Native) for a module of which more
    /// than 512 KiB of code may be on the stack at a suspend: Binaryen would take long for it. Which
    /// one is taken depends on the module, its checks and the host's functions only. A manifest
    /// names that one, and never this.
    #[default]
    Auto,
    /// Two versions of every function that may be on the stack at a suspend: a fast one that runs,
    /// and a slow one that restores its frame.
    TwoVersion,
    /// One version of every such function, as Binaryen's asyncify makes it.
    Plain,
    /// Two versions of every such function, made without Binaryen, in a time that grows with the
    /// module's size alone.
    Native,
    /// No rewriting: the guest runs, waits inside its host calls, and cannot be suspended.
    None,
    /// Binaryen's asyncify as others use it, which is what benchmarks compare with: the pass finds
    /// the functions itself, and the module is optimized before it and after it.
    #[doc(hidden)]
    Reference,
}

impl std::fmt::Display for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::TwoVersion => "two-version",
            Self::Plain => "plain",
            Self::Native => "native",
            Self::None => "none",
            Self::Reference => "reference",
        })
    }
}

/// The text names no transform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no transform is called {0:?}; there are auto, two-version, plain, native and none")]
pub struct UnknownTransform(String);

impl std::str::FromStr for Transform {
    type Err = UnknownTransform;

    fn from_str(text: &str) -> Result<Self, UnknownTransform> {
        let mut named = [
            Self::Auto,
            Self::TwoVersion,
            Self::Plain,
            Self::Native,
            Self::None,
        ]
        .into_iter();
        let found = named.find(|transform| transform.to_string() == text);
        found.ok_or_else(|| UnknownTransform(text.to_owned()))
    }
}

/// Where a resumable module comes from, and how its state is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of dormouse that made it.
    pub tool: String,
    /// Digest of the module it was made from.
    pub source: Digest,
    /// How it was made; not [`Transform::Auto`].
    pub transform: Transform,
    /// Whether it has checks, at which a guest that computes can be suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preempt: bool,
    /// Whether it was made from a component.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub component: bool,
    /// The names under which its state is exported.
    pub shape: Shape,
}

impl Manifest {
    /// The name and the content of the custom section.
    pub(crate) fn section(&self) -> (&'static str, Vec<u8>) {
        // Writing plain data into memory fails only where memory does.
        (SECTION, rmp_serde::to_vec_named(self).unwrap_or_default())
    }

    /// Reads the manifest of a resumable module.
    ///
    /// # Errors
    /// [`Error::NotResumable`] if the module has none, [`Error::UnreadableManifest`] if it
    /// was written by another version, and [`Error::Invalid`] if the module cannot be read.
    pub fn of(wasm: &[u8]) -> Result<Self, Error> {
        // The modules within a component say nothing of the component.
        if Parser::is_component(wasm) {
            return Err(Error::NotResumable);
        }
        for section in sections(wasm)? {
            if let Some((SECTION, content)) = section?.custom() {
                return Ok(rmp_serde::from_slice(content)?);
            }
        }
        Err(Error::NotResumable)
    }
}
