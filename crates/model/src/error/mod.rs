//! The one error of the public interface. Every module says itself which kind its errors are of,
//! and which of them pass by themselves; for what the system answers, `errnos` has the two lists.

mod errnos;

use std::fmt;

pub use errnos::names_passing;

/// What went wrong: [`Error::kind`] tells the sort; the text tells what, where and what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    passes: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// The sorts of error, as a program can tell them apart.
///
/// The enum is exhaustive: each kind has an exit code and an HTTP status, and the compiler holds
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The guest's state cannot be serialized.
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

/// All sorts, with the words by which the HTTP API names them.
const NAMES: [(ErrorKind, &str); 18] = [
    (ErrorKind::Module, "module"),
    (ErrorKind::Snapshot, "snapshot"),
    (ErrorKind::Version, "version"),
    (ErrorKind::Missing, "missing"),
    (ErrorKind::File, "file"),
    (ErrorKind::Mismatch, "mismatch"),
    (ErrorKind::Write, "write"),
    (ErrorKind::Suspend, "suspend"),
    (ErrorKind::Trap, "trap"),
    (ErrorKind::Read, "read"),
    (ErrorKind::Store, "store"),
    (ErrorKind::Busy, "busy"),
    (ErrorKind::Task, "task"),
    (ErrorKind::Request, "request"),
    (ErrorKind::Peer, "peer"),
    (ErrorKind::Trust, "trust"),
    (ErrorKind::Limit, "limit"),
    (ErrorKind::Internal, "internal"),
];

impl ErrorKind {
    /// The sort as one word.
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(kind, _)| *kind == self);
        // A test holds that every sort has a name.
        found.map_or("internal", |(_, name)| name)
    }
}

impl std::str::FromStr for ErrorKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        let kind = found.map(|(kind, _)| *kind);
        kind.ok_or_else(|| format!("no sort of error is called {text:?}"))
    }
}

impl Error {
    /// An error of this kind. It passes if it was caused by an answer of the system's that passes;
    /// any other error lasts.
    pub fn new(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        Self {
            kind,
            passes: errnos::passes(&*source),
            source,
        }
    }

    /// What a module has said of it, where it is an error of that module's.
    pub fn cause<T: std::error::Error + 'static>(&self) -> Option<&T> {
        self.source.downcast_ref()
    }

    /// An error of this kind that passes, whatever lies below it.
    pub fn passing(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            passes: true,
            ..Self::new(kind, source)
        }
    }

    /// Whether the same may work later without anybody mending anything: memory, descriptors or
    /// room on a disk were short, or a mount could not be reached.
    pub fn passes(&self) -> bool {
        self.passes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_has_a_name_of_its_own() {
        // Debug's names are the compiler's own list of the sorts: none can be forgotten unseen.
        for (kind, name) in NAMES {
            assert_eq!(format!("{kind:?}").to_lowercase(), name);
            assert_eq!(kind.name(), name);
            assert_eq!(name.parse(), Ok(kind));
        }
        let last = ErrorKind::Internal as usize;
        assert_eq!(NAMES.len(), last + 1);
    }
}
