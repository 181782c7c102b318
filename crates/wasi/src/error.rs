//! What can go wrong outside of a guest's own calls: when it is started, suspended or resumed.

use std::io;
use std::path::PathBuf;

use dormouse_model::error::ErrorKind;
use dormouse_model::{Reached, Unfit};

/// What can go wrong when a guest is started, suspended or resumed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory to be given to the guest cannot be opened.
    #[error("cannot open the directory {path} for the guest: {source}")]
    OpenDir {
        /// The host's path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Arguments or environment that no guest can be given.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// On resume, preopened directories of the snapshot were not given again.
    #[error(
        "the task needs the director{} {} again; give each with --dir HOST::GUEST",
        if .guests.len() == 1 { "y" } else { "ies" },
        .guests.join(", ")
    )]
    MissingPreopen {
        /// The guest's names for them.
        guests: Vec<String>,
    },
    /// On resume, listening sockets of the snapshot were not given again.
    #[error(
        "the task listens on {}; give each again with --tcplisten ADDRESS",
        .addresses.join(", ")
    )]
    MissingListener {
        /// Their addresses, as the user wrote them.
        addresses: Vec<String>,
    },
    /// The host does not grant an address that a socket of the task's is bound or connected to.
    #[error("a socket of the task's {what} {address}; allow it again with {flag} {address}")]
    MissingGrant {
        /// What the socket does with it.
        what: &'static str,
        /// The flag that grants it.
        flag: &'static str,
        /// The address.
        address: std::net::SocketAddr,
    },
    /// A socket of the task's cannot be bound to its address again.
    #[error("a socket of the task's cannot be bound to {address} again: {source}")]
    BindAgain {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that the task has open for writing lies in a directory that may only be read now.
    #[error(
        "the task has {path} open for writing, and its directory is given to be read only; give it \
         with --dir HOST::{guest}:rw"
    )]
    ReadOnly {
        /// The guest's path.
        path: String,
        /// The guest's name for the directory.
        guest: String,
    },
    /// A file that the task has open cannot be opened again.
    #[error("the task has {path} open, which cannot be opened again: {source}")]
    FileMissing {
        /// The guest's path.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that the task has open was changed while the task slept.
    #[error(
        "the task has {path} open, which was changed while the task slept ({how}); \
         resume with --accept-changed-files if that is meant"
    )]
    FileChanged {
        /// The guest's path.
        path: String,
        /// What differs.
        how: String,
    },
    /// A deleted file that the task has open is too large to be put into a snapshot.
    #[error(
        "the task has {path} open, which was deleted and has {size} bytes, \
         more than the limit of {limit}"
    )]
    DeletedFileTooLarge {
        /// The guest's path for it.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The task has more than the limits of this host allow.
    #[error("{0}")]
    Limit(Reached),
    /// A directory or a pipe that the task has open was deleted, so that it could not be found
    /// again.
    #[error("the task has {0} open, which was deleted and is no file; close it before a suspend")]
    DeletedNotFile(String),
    /// A file that the task has open was moved out of the task's directories.
    #[error("the task has a file open that was moved out of its directories, to {0}")]
    MovedOut(PathBuf),
    /// A system call failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The state in the snapshot contradicts itself.
    #[error("the task's WASI state is not valid: {0}")]
    Malformed(&'static str),
    /// The snapshot has arguments or an environment that no guest can have been given.
    #[error("the task's WASI state is not valid: {0}")]
    SavedEnvironment(#[source] Unfit),
}

impl From<Error> for dormouse_model::error::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::MissingPreopen { .. }
            | Error::MissingListener { .. }
            | Error::MissingGrant { .. }
            | Error::BindAgain { .. }
            | Error::ReadOnly { .. }
            | Error::OpenDir { .. } => ErrorKind::Missing,
            Error::FileMissing { .. } | Error::FileChanged { .. } => ErrorKind::File,
            Error::Limit(_) => ErrorKind::Limit,
            Error::DeletedFileTooLarge { .. } | Error::DeletedNotFile(_) | Error::MovedOut(_) => {
                ErrorKind::Suspend
            }
            Error::Malformed(_) | Error::SavedEnvironment(_) => ErrorKind::Snapshot,
            Error::Unfit(unfit) if unfit.is_size() => ErrorKind::Limit,
            Error::Unfit(_) => ErrorKind::Request,
            Error::Io { .. } => ErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}
