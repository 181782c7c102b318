//! The data that a guest's WASI state is written down as. `save` makes it, `restore` reads it.

use serde::{Deserialize, Serialize};

use super::clock::{ClockV1, OwnTimeV1};
use super::identity::IdentityV1;
use super::random::SeededV1;
use super::sock::SocketV1;
use super::streams::Stream;
use super::tmpfs::TmpfsV1;
use crate::model::Deadline;

/// A guest's WASI state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateV1 {
    /// Arguments.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// The clocks.
    pub clock: ClockV1,
    /// Open descriptors.
    pub fds: Vec<FdV1>,
    /// Contents of deleted files that are still open.
    pub deleted: Vec<serde_bytes::ByteBuf>,
    /// Deadlines of the poll that the guest is in, by subscription.
    pub poll: Option<Vec<Option<Deadline>>>,
    /// Bytes that the receive that the guest is in has got already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub received: u32,
    /// Directories in memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<TmpfsV1>,
    /// Guest names of directories that may only be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<String>,
    /// The clock of a guest that does not see the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_time: Option<OwnTimeV1>,
    /// The random numbers of a guest that does not get the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeded: Option<SeededV1>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn no_rights(rights: &u64) -> bool {
    *rights == 0
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdV1 {
    /// Its number.
    pub fd: u32,
    /// What it stands for.
    pub kind: FdKindV1,
    /// Rights.
    pub rights: u64,
    /// Rights that descriptors opened from it can have.
    pub inheriting: u64,
    /// Rights that the guest has given up. They do not come back with a directory's leave to write.
    #[serde(default, skip_serializing_if = "no_rights")]
    pub given_up: u64,
    /// `fdflags` of the specification.
    pub flags: u16,
    /// The listing that the guest is in the middle of, where it is a directory.
    pub listing: Option<Vec<EntryV1>>,
}

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FdKindV1 {
    /// A standard stream.
    Stream(Stream),
    /// A directory given by the host, by its guest name.
    Preopen(String),
    /// A directory below one.
    Dir {
        /// The guest name of the directory given by the host.
        preopen: String,
        /// The path in there.
        path: String,
    },
    /// A file.
    File {
        /// The guest name of the directory given by the host.
        preopen: String,
        /// The path in there.
        path: String,
        /// Where the next read or write happens, in bytes.
        offset: u64,
        /// Opened for reading, for writing.
        access: (bool, bool),
        /// What the file was like.
        identity: IdentityV1,
    },
    /// A listening socket given by the host, by its address.
    Listener(String),
    /// A connection, as versions wrote it that had no other sockets: it does not survive.
    Connection,
    /// A socket that the guest has opened or accepted.
    Socket(SocketV1),
    /// A file or a directory in memory.
    Memory {
        /// Which of [`StateV1::tmpfs`].
        tmpfs: u32,
        /// Which of what is in it.
        inode: u64,
        /// Where the next read or write happens, in bytes.
        offset: u64,
        /// It is the directory that the guest was given.
        preopen: bool,
    },
    /// A file without a name.
    Deleted {
        /// Which of [`StateV1::deleted`].
        content: u32,
        /// Where the next read or write happens, in bytes.
        offset: u64,
        /// Opened for reading, for writing.
        access: (bool, bool),
    },
}

/// An entry of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryV1 {
    /// The name.
    pub name: String,
    /// The inode number.
    pub inode: u64,
    /// `filetype` of the specification.
    pub filetype: u8,
}
