//! What can go wrong in a store.

use std::path::{Path, PathBuf};

use crate::model::error::{Error as Public, ErrorKind};

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon works on it.
    #[error("the store in {} is in use{}; one daemon at a time can have it", path.display(), by(holder))]
    Leased {
        /// Where the store is.
        path: PathBuf,
        /// Who has it, where that is known.
        holder: String,
    },
    /// Another daemon has taken it over.
    #[error(
        "the store has been taken over by another daemon; this one can change nothing any more"
    )]
    Lost,
    /// No room.
    #[error("the disk of the store is full")]
    Full,
    /// The disk fails, or a quota is used up.
    #[error("the disk of the store cannot be used ({0}): it fails, or a quota is used up")]
    Disk(String),
    /// Something else is in the way, which may pass.
    #[error("the store cannot be used for now: {0}")]
    Unusable(String),
    /// The server of the store does not answer.
    #[error("the server of the store cannot be reached: {0}")]
    Unreachable(String),
    /// The server's answer was lost, and it cannot be asked for what became of the change.
    #[error("it is not known whether a change was stored: {0}")]
    InDoubt(String),
    /// The server has taken the change back for the sake of another one.
    #[error("the server of the store has taken a change back: {0}")]
    Retry(String),
    /// What is on the disk is no store any more, or not a whole one.
    #[error(
        "the store in {} is damaged: {reason}. Stop the daemon, and restore a backup (`dormouse store backup` \
         makes them); `dormouse store check --data {}` says what is damaged", path.display(), path.display()
    )]
    Damaged {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// This build does not read the database's format.
    #[error("{}", format_refused(path, *found, *is_store, *known))]
    Format {
        /// The data directory.
        path: PathBuf,
        /// The format that the database names.
        found: u64,
        /// Whether it is a store of dormouse's at all.
        is_store: bool,
        /// The format that this build reads and writes.
        known: u32,
    },
    /// Only later builds can use the database.
    #[error(
        "the store in {server} has schema {found}, and this build knows schema {known}: use the \
         dormouse that made it, or a later one"
    )]
    Schema {
        /// Host and database.
        server: String,
        /// The schema that the database names.
        found: i32,
        /// The schema that this build knows.
        known: i32,
    },
    /// The directory cannot be used.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Directory {
        /// Where the store is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else that the database says.
    #[error("the store failed: {0}")]
    Database(String),
}

impl Error {
    /// Whether the same may work later without anybody mending anything.
    pub fn passes(&self) -> bool {
        match self {
            Self::Full
            | Self::Disk(_)
            | Self::Unusable(_)
            | Self::Unreachable(_)
            | Self::InDoubt(_)
            | Self::Retry(_) => true,
            Self::Leased { .. }
            | Self::Lost
            | Self::Damaged { .. }
            | Self::Format { .. }
            | Self::Schema { .. }
            | Self::Directory { .. }
            | Self::Database(_) => false,
        }
    }

    /// A copy of the error, for another change that waited for the same commit.
    pub fn again(&self) -> Self {
        match self {
            Self::Lost => Self::Lost,
            Self::Full => Self::Full,
            Self::Disk(text) => Self::Disk(text.clone()),
            Self::Unusable(text) => Self::Unusable(text.clone()),
            Self::Unreachable(text) => Self::Unreachable(text.clone()),
            Self::InDoubt(text) => Self::InDoubt(text.clone()),
            Self::Retry(text) => Self::Retry(text.clone()),
            Self::Database(text) => Self::Database(text.clone()),
            Self::Damaged { path, reason } => Self::Damaged {
                path: path.clone(),
                reason: reason.clone(),
            },
            Self::Leased { .. }
            | Self::Format { .. }
            | Self::Schema { .. }
            | Self::Directory { .. } => Self::Database(self.to_string()),
        }
    }
}

fn format_refused(path: &Path, found: u64, is_store: bool, known: u32) -> String {
    let path = path.display();
    match is_store {
        true => format!(
            "the store in {path} has format {found}, and this build knows format {known} only; use the \
             dormouse that wrote it, or give this one another directory (--data)"
        ),
        false => format!(
            "the database in {path} is no store of this dormouse's; give it another directory (--data)"
        ),
    }
}

fn by(holder: &str) -> String {
    match holder.is_empty() {
        true => String::new(),
        false => format!(" by {holder}"),
    }
}

impl From<Error> for Public {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Leased { .. } | Error::Lost => ErrorKind::Busy,
            Error::Full
            | Error::Disk(_)
            | Error::Unusable(_)
            | Error::Unreachable(_)
            | Error::InDoubt(_)
            | Error::Retry(_) => ErrorKind::Write,
            Error::Format { .. } | Error::Schema { .. } => ErrorKind::Version,
            Error::Directory { .. } | Error::Database(_) | Error::Damaged { .. } => {
                ErrorKind::Store
            }
        };
        match error.passes() {
            true => Public::passing(kind, error),
            false => Public::new(kind, error),
        }
    }
}
