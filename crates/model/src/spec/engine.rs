//! The engines, by name.

use std::fmt;
use std::str::FromStr;

use crate::text::as_text;

/// The engines that dormouse can run guests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Wasmtime with Cranelift; part of the binary.
    Wasmtime,
    /// WasmEdge with its LLVM compiler; needs the system's libwasmedge.
    WasmEdge,
}

as_text!(EngineKind);

impl EngineKind {
    /// All engines, built in or not.
    pub const ALL: [Self; 2] = [Self::Wasmtime, Self::WasmEdge];

    /// The engines that this build contains.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_available())
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wasmtime => "wasmtime",
            Self::WasmEdge => "wasmedge",
        }
    }

    /// Whether this build contains the engine. The features of this crate are set by those of the
    /// crate `dormouse-engine`.
    pub fn is_available(self) -> bool {
        match self {
            Self::Wasmtime => cfg!(feature = "wasmtime"),
            Self::WasmEdge => cfg!(feature = "wasmedge"),
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| format!("no engine is called {text:?}; there are wasmtime and wasmedge"))
    }
}
