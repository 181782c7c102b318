//! Why a module was refused.

/// Why a module cannot be made resumable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no WebAssembly at all.
    #[error("this is not a WebAssembly module: {0}")]
    NotWasm(String),
    /// A component, not a core module.
    #[error(
        "this is a WebAssembly component; dormouse runs core modules that import WASI preview1 \
         (for Rust, build with `--target wasm32-wasip1`)"
    )]
    Component,
    /// WebAssembly, but it does not validate.
    #[error("the module is not valid: {message} (at byte {offset})")]
    Invalid {
        /// What the validator said.
        message: String,
        /// Offset in the module, in bytes.
        offset: u64,
    },
    /// The module has already been through dormouse.
    #[error("the module has been made resumable before; give the module as your compiler wrote it")]
    AlreadyResumable,
    /// The module carries no manifest.
    #[error("the module has not been made resumable")]
    NotResumable,
    /// A resumable module whose manifest lies.
    #[error("the module has other imports than its manifest says")]
    OtherImports,
    /// The module has nothing to run.
    #[error("the module exports no `_start` function, so there is nothing to run")]
    NoEntry,
    /// An import that nothing here provides.
    #[error("the module imports {kind} `{module}.{name}`, which dormouse does not provide")]
    UnknownImport {
        /// `function`, `memory`, `table`, `global` or `tag`.
        kind: &'static str,
        /// The import's module name.
        module: String,
        /// The import's own name.
        name: String,
    },
    /// An import that exists, but with another type.
    #[error(
        "the module imports `{module}.{name}` with the type {found}, which should be {expected}"
    )]
    ImportType {
        /// The import's module name.
        module: String,
        /// The import's own name.
        name: String,
        /// The type that the module asks for.
        found: String,
        /// The type that there is.
        expected: String,
    },
    /// Something that cannot be part of a snapshot.
    #[error("{what} cannot be suspended: {why}")]
    Unsupported {
        /// The thing, with its place.
        what: String,
        /// The reason, and the way out where there is one.
        why: &'static str,
    },
    /// Binaryen would not take the module although it is valid.
    #[error(
        "Binaryen could not read the module, although it is valid WebAssembly; this is a bug worth reporting"
    )]
    Binaryen,
    /// Binaryen did not come to an end with the module.
    #[error("Binaryen, which rewrites the module, {how}")]
    Ended {
        /// What it did instead.
        how: String,
    },
}

impl Error {
    /// For decoding steps after validation, where the module is known to be well formed.
    pub(super) fn malformed(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid {
            message: error.message().to_string(),
            offset: error.offset(),
        }
    }
}

impl From<Error> for crate::model::error::Error {
    fn from(error: Error) -> Self {
        Self::new(crate::model::error::ErrorKind::Module, error)
    }
}
