//! Why a module was refused, or could not be rewritten.

use std::fmt;
use std::io;

use dormouse_model::error::ErrorKind;

mod component;

pub use component::{ComponentError, List};

/// Why a module cannot be made resumable, or why a resumable module is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no WebAssembly at all.
    #[error("this is not a WebAssembly module: {0}")]
    NotWasm(String),
    /// The component cannot become a core module.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// WebAssembly, but it does not validate.
    #[error("the module is not valid: {message} (at byte {offset})")]
    Invalid {
        /// What the validator said.
        message: String,
        /// Where in the module, in bytes from its start.
        offset: u64,
    },
    /// The module has already been through dormouse.
    #[error("the module has been made resumable before; give the module as your compiler wrote it")]
    AlreadyResumable,
    /// The module carries no manifest.
    #[error("the module has not been made resumable")]
    NotResumable,
    /// The module has a section with a manifest's name and other content.
    #[error(
        "the module's manifest cannot be read ({0}); it was made by another version of dormouse: \
         make the module resumable again"
    )]
    UnreadableManifest(#[from] rmp_serde::decode::Error),
    /// The imports of a resumable module are not those that its manifest lists.
    #[error("the module has other imports than its manifest says")]
    OtherImports,
    /// The module has nothing to run.
    #[error("the module exports no `_start` function, so there is nothing to run")]
    NoEntry,
    /// An import that the host does not provide.
    #[error("the module imports {kind} `{module}.{name}`, which dormouse does not provide")]
    UnknownImport {
        /// What the module wants to import.
        kind: ImportKind,
        /// The import's module name.
        module: String,
        /// The import's own name.
        name: String,
    },
    /// An import that the host provides with another type.
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
        /// The type that the host provides.
        expected: String,
    },
    /// Something that cannot be part of a snapshot.
    #[error("{what} cannot be suspended: {why}")]
    Unsupported {
        /// The thing, with its position.
        what: String,
        /// The reason, and the way out where there is one.
        why: &'static str,
    },
    /// Binaryen did not rewrite the module, although it is valid.
    #[error(transparent)]
    Binaryen(#[from] PassFailure),
    /// This crate was built without Binaryen, and the transform needs it.
    #[error(
        "this build of dormouse lacks Binaryen (the feature `binaryen`), which this transform needs; \
         take the transform `native`, which needs none, or a build that has it, and run the result \
         here"
    )]
    WithoutBinaryen,
    /// A step of the rewriting found something that the steps before it exclude.
    #[error("the rewriting contradicts itself: {0}; this is a bug worth reporting")]
    Internal(&'static str),
}

impl Error {
    /// The error of a reader, behind the validation. A module that has passed it can be read.
    pub(crate) fn malformed(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid {
            message: error.message().to_string(),
            offset: error.offset(),
        }
    }

    /// The error of an encoder. Whatever was valid can be encoded again.
    pub(crate) fn encoding<E>(_: E) -> Self {
        Self::Internal("an item of a valid module could not be encoded again")
    }
}

impl From<Error> for dormouse_model::error::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Internal(_) | Error::Component(ComponentError::Internal(_)) => {
                ErrorKind::Internal
            }
            _ => ErrorKind::Module,
        };
        Self::new(kind, error)
    }
}

/// Why components cannot be composed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// One of them cannot be read.
    #[error("{component} is not a component that can be read: {why}")]
    Unreadable {
        /// The component's name.
        component: String,
        /// What the reader said.
        why: String,
    },
    /// Nobody exports what one of them imports.
    #[error(
        "{component} imports `{import}`, which none of the components exports; give one that does"
    )]
    Missing {
        /// The name of the component that imports.
        component: String,
        /// The import's name.
        import: String,
    },
    /// An export has the name of an import, and another type.
    #[error("{component} imports `{import}`, which {exporter} exports with another type: {why}")]
    Mismatch {
        /// The name of the component that imports.
        component: String,
        /// The import's name.
        import: String,
        /// The name of the component that exports.
        exporter: String,
        /// Where the types differ.
        why: String,
    },
    /// Several export what one of them imports.
    #[error(
        "{component} imports `{import}`, which several export: {}; leave all but one of them out",
        exporters.join(", ")
    )]
    Ambiguous {
        /// The name of the component that imports.
        component: String,
        /// The import's name.
        import: String,
        /// The names of the components that export it.
        exporters: Vec<String>,
    },
    /// A link is for an import that a component does not have.
    #[error(
        "{component} has no import `{import}` to link; it imports {}",
        listed(imports)
    )]
    NoImport {
        /// The name of the component.
        component: String,
        /// The import's name, as the link has it.
        import: String,
        /// What the component imports that is not the host's.
        imports: Vec<String>,
    },
    /// A link leads to an export that a component does not have.
    #[error(
        "the import `{import}` of {component} is linked to `{export}` of {exporter}, which exports \
         {}",
        listed(exports)
    )]
    NoExport {
        /// The name of the component that imports.
        component: String,
        /// The import's name.
        import: String,
        /// The name of the component that is to export.
        exporter: String,
        /// The export's name, as the link has it.
        export: String,
        /// What that component exports.
        exports: Vec<String>,
    },
    /// Components need each other.
    #[error("components need each other in a circle: {}", .0.join(" needs "))]
    Circle(Vec<String>),
    /// None of the others imports what it exports.
    #[error("nothing of {0} is imported by the other components; leave it out")]
    Unused(String),
    /// The composition could not be encoded.
    #[error("the components cannot be composed: {0}")]
    Encoding(String),
}

/// Names in a message.
fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing else".into(),
        _ => format!("`{}`", names.join("`, `")),
    }
}

impl ComposeError {
    /// The name of the component that it is about, and of its import if it is about one.
    pub fn place(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::Unreadable { component, .. } | Self::Unused(component) => Some((component, None)),
            Self::Missing { component, import }
            | Self::Mismatch {
                component, import, ..
            }
            | Self::Ambiguous {
                component, import, ..
            }
            | Self::NoImport {
                component, import, ..
            }
            | Self::NoExport {
                component, import, ..
            } => Some((component, Some(import))),
            Self::Circle(components) => components.first().map(|first| (first.as_str(), None)),
            Self::Encoding(_) => None,
        }
    }
}

impl From<ComposeError> for dormouse_model::error::Error {
    fn from(error: ComposeError) -> Self {
        Self::new(ErrorKind::Module, error)
    }
}

/// What a module can import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// A function.
    Function,
    /// A memory.
    Memory,
    /// A table.
    Table,
    /// A global.
    Global,
    /// A tag of exceptions.
    Tag,
}

impl fmt::Display for ImportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Function => "function",
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Global => "global",
            Self::Tag => "tag",
        })
    }
}

/// How a run of Binaryen's passes failed. Each run has a process of its own, so that its end is an
/// answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassFailure {
    /// It does not know something that the module uses.
    #[error(
        "Binaryen could not read the module, although it is valid WebAssembly; this is a bug worth \
         reporting"
    )]
    Unreadable,
    /// It ended itself, as it does where one of its assertions fails.
    #[error("Binaryen, which rewrites the module, gave up")]
    GaveUp,
    /// It was killed, which the system does at the limit of processor time.
    #[error(
        "Binaryen, which rewrites the module, took more than {limit_seconds} s, or the system \
         ended it"
    )]
    OutOfTime {
        /// The processor time that it may take for this module, in seconds.
        limit_seconds: u64,
    },
    /// It went down a tree of code that was too deep.
    #[error("Binaryen, which rewrites the module, went out of stack; split large functions")]
    OutOfStack,
    /// It aborted, which it does at the limit of memory.
    #[error("Binaryen, which rewrites the module, gave up, or took more than {limit_mib} MiB")]
    OutOfMemory {
        /// The memory that it may take for this module, in MiB.
        limit_mib: u64,
    },
    /// Another signal ended it.
    #[error("Binaryen, which rewrites the module, crashed (signal {signal})")]
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// The system did not give it a process.
    #[error("Binaryen, which rewrites the module, has no process to work in: {0}")]
    NoProcess(#[source] io::Error),
}
