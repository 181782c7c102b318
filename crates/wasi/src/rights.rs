//! Rights of file descriptors.
//!
//! They are kept, reported and narrowed as the specification says. A right that a descriptor never
//! had gives the errno that Wasmtime gives, which leaves the refusal to the operating system; one that the guest has
//! given up, or that what it opened from does not pass on, gives `ENOTCAPABLE`.

use super::errno::Errno;

pub(super) const FD_DATASYNC: u64 = 1 << 0;
pub(super) const FD_READ: u64 = 1 << 1;
pub(super) const FD_SEEK: u64 = 1 << 2;
pub(super) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
pub(super) const FD_SYNC: u64 = 1 << 4;
pub(super) const FD_TELL: u64 = 1 << 5;
pub(super) const FD_WRITE: u64 = 1 << 6;
pub(super) const FD_ADVISE: u64 = 1 << 7;
pub(super) const FD_ALLOCATE: u64 = 1 << 8;
pub(super) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
pub(super) const PATH_CREATE_FILE: u64 = 1 << 10;
pub(super) const PATH_LINK_SOURCE: u64 = 1 << 11;
pub(super) const PATH_LINK_TARGET: u64 = 1 << 12;
pub(super) const PATH_OPEN: u64 = 1 << 13;
pub(super) const FD_READDIR: u64 = 1 << 14;
pub(super) const PATH_READLINK: u64 = 1 << 15;
pub(super) const PATH_RENAME_SOURCE: u64 = 1 << 16;
pub(super) const PATH_RENAME_TARGET: u64 = 1 << 17;
pub(super) const PATH_FILESTAT_GET: u64 = 1 << 18;
pub(super) const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
pub(super) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
pub(super) const FD_FILESTAT_GET: u64 = 1 << 21;
pub(super) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
pub(super) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
pub(super) const PATH_SYMLINK: u64 = 1 << 24;
pub(super) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
pub(super) const PATH_UNLINK_FILE: u64 = 1 << 26;
pub(super) const POLL_FD_READWRITE: u64 = 1 << 27;

/// Every right there is.
pub(super) const ALL: u64 = (1 << 30) - 1;

/// What a stream can be asked for.
pub(super) const STREAM: u64 =
    FD_READ | FD_WRITE | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

/// What a file can be asked for.
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

/// What a directory itself can be asked for.
pub(super) const DIRECTORY: u64 = ALL
    & !(FD_READ
        | FD_SEEK
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_SET_SIZE
        | ONLY_SOCKETS);

/// What only a socket can be asked for: `sock_shutdown` and `sock_accept`.
const ONLY_SOCKETS: u64 = SOCK_SHUTDOWN | SOCK_ACCEPT;
pub(super) const SOCK_SHUTDOWN: u64 = 1 << 28;
pub(super) const SOCK_ACCEPT: u64 = 1 << 29;

/// What a listening socket can be asked for. `FD_READ` is what a poll for it asks.
pub(super) const LISTENER: u64 =
    SOCK_ACCEPT | FD_READ | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

/// What a connection can be asked for.
pub(super) const CONNECTION: u64 = STREAM | SOCK_SHUTDOWN;

/// What a socket can be asked for that may become anything.
pub(super) const SOCKET: u64 = CONNECTION | SOCK_ACCEPT;

/// What a directory that may only be read, and what lies in it, cannot be asked for. A guest may still ask to open
/// files for writing, to be told that the file system is read-only.
pub(super) const CHANGES: u64 = PATH_CREATE_DIRECTORY
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

/// What there is of some rights where nothing may be written.
pub(super) fn as_allowed(rights: u64, read_only: bool) -> u64 {
    match read_only {
        true => rights & !CHANGES,
        false => rights,
    }
}

/// What a file that is not open for writing cannot be asked for.
const WRITING: u64 = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;

/// What a file can be asked for that is open for reading, for writing.
pub(super) fn file(reads: bool, writes: bool) -> u64 {
    let unreadable = if reads { 0 } else { FD_READ };
    let unwritable = if writes { 0 } else { WRITING };
    FILE & !(unreadable | unwritable)
}

/// What a call without the right gives.
pub(super) fn missing(right: u64) -> Errno {
    match right {
        FD_READ | FD_WRITE | FD_READDIR => Errno::Badf,
        FD_FILESTAT_SET_SIZE | FD_ALLOCATE | FD_DATASYNC => Errno::Inval,
        _ => Errno::Notcapable,
    }
}
