//! What can go wrong in a store.

use std::path::PathBuf;

use crate::error::{Error as Public, ErrorKind};

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
    #[error("the disk of the store is full: {0}")]
    Full(String),
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
            Error::Full(_) => ErrorKind::Write,
            Error::Version { .. } => ErrorKind::Version,
            Error::Directory { .. } | Error::Database(_) => ErrorKind::Store,
        };
        Public::new(kind, error)
    }
}
