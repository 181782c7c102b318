//! The one error of the public interface. Every module says itself which kind its errors are of.

use std::fmt;

/// What went wrong: [`Error::kind`] tells the sort; the text tells what, where and what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// The sorts of error, as a program can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The module cannot be made resumable.
    Module,
    /// The file is no snapshot, or it is damaged.
    Snapshot,
    /// The snapshot has a format of another version.
    Version,
    /// The host lacks what the task needs: a directory, an engine, a module.
    Missing,
    /// A file that the task has open has changed or is gone.
    File,
    /// The snapshot belongs to another module or to another transform.
    Mismatch,
    /// A file could not be written.
    Write,
    /// The guest's state cannot be written down.
    Suspend,
    /// The guest trapped.
    Trap,
    /// A file could not be read.
    Read,
    /// The store failed.
    Store,
    /// Somebody else has it.
    Busy,
    /// There is no such task, or its state does not allow what was asked.
    Task,
    /// What was asked for is not well-formed.
    Request,
    /// Another daemon cannot be reached, or does not take a task.
    Peer,
    /// A snapshot is not signed as asked, or cannot be decrypted.
    Trust,
    /// A limit was reached.
    Limit,
    /// Anything else.
    Internal,
}

impl Error {
    /// An error of this kind.
    pub(crate) fn new(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// What a module has said of it, where it is an error of that module's.
    #[cfg(feature = "server")]
    pub(crate) fn cause<T: std::error::Error + 'static>(&self) -> Option<&T> {
        self.source.downcast_ref()
    }

    /// The sort of error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
