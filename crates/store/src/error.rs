//! What can go wrong in a store.

use std::path::PathBuf;

use crate::model::error::{Error as Public, ErrorKind};

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another scheduler works on it.
    #[error("the store in {} is in use{}; one daemon at a time can have it", path.display(), by(holder))]
    Leased {
        /// Where the store is.
        path: PathBuf,
        /// Who has it, where that is known.
        holder: String,
    },
    /// Another scheduler has taken it over.
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
    /// Written by a newer dormouse.
    #[error(
        "the store in {} has format {found}, and this build knows formats up to {known}; \
         use the dormouse that wrote it, or a newer one", path.display()
    )]
    Version {
        /// Where the store is.
        path: PathBuf,
        /// The format that it has.
        found: u32,
        /// The newest format that this build reads.
        known: u32,
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
        matches!(self, Self::Full | Self::Disk(_) | Self::Unusable(_))
    }

    /// The same for another who waits for it.
    pub fn again(&self) -> Self {
        match self {
            Self::Lost => Self::Lost,
            Self::Full => Self::Full,
            Self::Disk(text) => Self::Disk(text.clone()),
            Self::Unusable(text) => Self::Unusable(text.clone()),
            Self::Database(text) => Self::Database(text.clone()),
            Self::Damaged { path, reason } => Self::Damaged {
                path: path.clone(),
                reason: reason.clone(),
            },
            Self::Leased { .. } | Self::Version { .. } | Self::Directory { .. } => {
                Self::Database(self.to_string())
            }
        }
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
            Error::Full | Error::Disk(_) | Error::Unusable(_) => ErrorKind::Write,
            Error::Version { .. } => ErrorKind::Version,
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
