//! Rights of file descriptors.
//!
//! They are kept, reported and narrowed as the specification says. A call that lacks a right gives
//! `ENOTCAPABLE` if the guest has given the right up, here or in the directory from which it opened
//! the descriptor. If a descriptor of this kind never has the right, the call gives the error of
//! Wasmtime, which leaves the refusal to the operating system.

use crate::guest::errno::Errno;

pub(crate) const FD_DATASYNC: u64 = 1 << 0;
pub(crate) const FD_READ: u64 = 1 << 1;
pub(crate) const FD_SEEK: u64 = 1 << 2;
pub(crate) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
pub(crate) const FD_SYNC: u64 = 1 << 4;
pub(crate) const FD_TELL: u64 = 1 << 5;
pub(crate) const FD_WRITE: u64 = 1 << 6;
pub(crate) const FD_ADVISE: u64 = 1 << 7;
pub(crate) const FD_ALLOCATE: u64 = 1 << 8;
pub(crate) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
pub(crate) const PATH_CREATE_FILE: u64 = 1 << 10;
pub(crate) const PATH_LINK_SOURCE: u64 = 1 << 11;
pub(crate) const PATH_LINK_TARGET: u64 = 1 << 12;
pub(crate) const PATH_OPEN: u64 = 1 << 13;
pub(crate) const FD_READDIR: u64 = 1 << 14;
pub(crate) const PATH_READLINK: u64 = 1 << 15;
pub(crate) const PATH_RENAME_SOURCE: u64 = 1 << 16;
pub(crate) const PATH_RENAME_TARGET: u64 = 1 << 17;
pub(crate) const PATH_FILESTAT_GET: u64 = 1 << 18;
pub(crate) const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
pub(crate) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
pub(crate) const FD_FILESTAT_GET: u64 = 1 << 21;
pub(crate) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
pub(crate) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
pub(crate) const PATH_SYMLINK: u64 = 1 << 24;
pub(crate) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
pub(crate) const PATH_UNLINK_FILE: u64 = 1 << 26;
pub(crate) const POLL_FD_READWRITE: u64 = 1 << 27;

/// Every right there is.
pub(crate) const ALL: u64 = (1 << 30) - 1;

/// The rights of a stream.
pub(crate) const STREAM: u64 =
    FD_READ | FD_WRITE | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

/// The rights of a file.
const FILE: u64 = FD_DATASYNC
    | FD_READ
    | FD_SEEK
    | FD_FDSTAT_SET_FLAGS
    | FD_SYNC
    | FD_TELL
    | FD_WRITE
    | FD_ADVISE
    | FD_ALLOCATE
    | FD_FILESTAT_GET
    | FD_FILESTAT_SET_SIZE
    | FD_FILESTAT_SET_TIMES
    | POLL_FD_READWRITE;

/// The rights of a directory.
pub(crate) const DIRECTORY: u64 = ALL
    & !(FD_READ
        | FD_SEEK
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_SET_SIZE
        | ONLY_SOCKETS);

/// The rights that only sockets have.
const ONLY_SOCKETS: u64 = SOCK_SHUTDOWN | SOCK_ACCEPT;
pub(crate) const SOCK_SHUTDOWN: u64 = 1 << 28;
pub(crate) const SOCK_ACCEPT: u64 = 1 << 29;

/// The rights of a listening socket. A poll for it needs `FD_READ`.
pub(crate) const LISTENER: u64 =
    SOCK_ACCEPT | FD_READ | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

/// The rights of a connection.
pub(crate) const CONNECTION: u64 = STREAM | SOCK_SHUTDOWN;

/// The rights of a socket that may still become a listener or a connection.
pub(crate) const SOCKET: u64 = CONNECTION | SOCK_ACCEPT;

/// The rights that a directory which the guest may only read does not have, and that nothing in it
/// has. The guest may still ask to open files for writing, and then gets `EROFS`.
pub(crate) const CHANGES: u64 = PATH_CREATE_DIRECTORY
    | PATH_CREATE_FILE
    | PATH_LINK_SOURCE
    | PATH_LINK_TARGET
    | PATH_RENAME_SOURCE
    | PATH_RENAME_TARGET
    | PATH_FILESTAT_SET_SIZE
    | PATH_FILESTAT_SET_TIMES
    | FD_FILESTAT_SET_TIMES
    | PATH_SYMLINK
    | PATH_REMOVE_DIRECTORY
    | PATH_UNLINK_FILE;

/// What is left of rights in a directory that the guest may only read, or all of them elsewhere.
pub(crate) fn allowed(rights: u64, read_only: bool) -> u64 {
    match read_only {
        true => rights & !CHANGES,
        false => rights,
    }
}

/// The rights that only a file which is open for writing has.
const WRITING: u64 = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;

/// The rights of a file that is open for reading, for writing, or for both.
pub(crate) fn file(reads: bool, writes: bool) -> u64 {
    let unreadable = if reads { 0 } else { FD_READ };
    let unwritable = if writes { 0 } else { WRITING };
    FILE & !(unreadable | unwritable)
}

/// The error of a call on a descriptor that never has this right.
pub(crate) fn missing(right: u64) -> Errno {
    match right {
        FD_READ | FD_WRITE | FD_READDIR => Errno::Badf,
        FD_FILESTAT_SET_SIZE | FD_ALLOCATE | FD_DATASYNC => Errno::Inval,
        _ => Errno::Notcapable,
    }
}
