//! What can be wrong with a snapshot.

use std::io;
use std::path::PathBuf;

/// What can be wrong with a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are something else.
    #[error("this is not a dormouse snapshot: {0}")]
    NotASnapshot(String),
    /// The file is shorter than it says.
    #[error("the snapshot is cut off: it should have {expected} bytes and has {found}")]
    Truncated {
        /// The length that the header gives.
        expected: u64,
        /// The length that there is.
        found: u64,
    },
    /// There is more than the snapshot.
    #[error("there are {0} bytes after the end of the snapshot")]
    Trailing(u64),
    /// The digest does not match.
    #[error("the snapshot is damaged: its content does not match its digest")]
    Damaged,
    /// The first format has version 1.
    #[error("the snapshot is damaged: there never was a format version 0")]
    VersionZero,
    /// A format that this build does not know.
    #[error(
        "the snapshot has format version {found}, and this dormouse reads version {known}; \
         resume it with a newer dormouse"
    )]
    Version {
        /// The version in the file.
        found: u32,
        /// The version that this build reads.
        known: u32,
    },
    /// Signed or encrypted, where a bare snapshot was wanted.
    #[error(
        "the snapshot is signed or encrypted; `dormouse resume`, `inspect` and `import` open it"
    )]
    Sealed,
    /// An envelope that this build does not know.
    #[error(
        "the snapshot's envelope has version {found}, and this dormouse reads version {known}; \
         resume it with a newer dormouse"
    )]
    EnvelopeVersion {
        /// The version in the file.
        found: u32,
        /// The version that this build reads.
        known: u32,
    },
    /// No signature by a key that is trusted, for whatever reason.
    #[error("it is not signed by a key given with --verify-key, or was changed since")]
    Untrusted,
    /// A signature that is not right, where any would have done.
    #[error("it was changed after it was signed")]
    BadSignature,
    /// Not encrypted to a key that is here, or changed.
    #[error(
        "the snapshot cannot be decrypted with a key given with --decrypt-key, or was changed since"
    )]
    CannotDecrypt,
    /// Encrypted, and there is no key.
    #[error("the snapshot is encrypted; give the secret key with --decrypt-key")]
    Encrypted,
    /// Not encrypted, where it should be.
    #[error(
        "the snapshot is not encrypted, although --decrypt-key was given; leave that out if you trust \
         where it comes from"
    )]
    NotEncrypted,
    /// A file of keys that holds none.
    #[error("{path} holds no {what}; `dormouse keygen` makes keys")]
    Key {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Larger than the reader allows.
    #[error(
        "the snapshot's {what} has {size} bytes, more than the limit of {limit}; raise it with --limit snapshot=SIZE"
    )]
    TooLarge {
        /// The part of the snapshot.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The digest matches, but what is inside makes no sense.
    #[error("the snapshot's content is not valid: {0}")]
    Malformed(String),
    /// There is no memory to compress or to unpack it.
    #[error("memory is too short for a snapshot: {0}")]
    Memory(String),
    /// The pages cannot be had, though what names them is whole.
    #[error("cannot read the snapshot's pages: {0}")]
    Pages(#[source] io::Error),
    /// Reading failed.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Writing failed; a file that was there before is as it was.
    #[error("cannot write {path}: {source}; nothing there was changed")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl From<Error> for crate::model::error::Error {
    fn from(error: Error) -> Self {
        use crate::model::error::ErrorKind;
        if let Error::Pages(pages) = error {
            // Where they come from a store, its own error says it best.
            return match pages.downcast::<Self>() {
                Ok(error) => error,
                Err(pages) => Self::new(ErrorKind::Read, Error::Pages(pages)),
            };
        }
        let kind = match &error {
            Error::Version { .. } | Error::EnvelopeVersion { .. } => ErrorKind::Version,
            Error::Untrusted
            | Error::BadSignature
            | Error::CannotDecrypt
            | Error::Encrypted
            | Error::NotEncrypted => ErrorKind::Trust,
            Error::Key { .. } => ErrorKind::Request,
            Error::Read { .. } => ErrorKind::Read,
            Error::Write { .. } => ErrorKind::Write,
            Error::Memory(_) => return Self::passing(ErrorKind::Internal, error),
            _ => ErrorKind::Snapshot,
        };
        Self::new(kind, error)
    }
}
