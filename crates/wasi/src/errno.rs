//! The operating system's error numbers, with which everything but `p1` answers.
//!
//! A version of WASI maps them to its own error codes: for preview1 see `guest/errno.rs`.

use std::io;

pub(crate) use rustix::io::Errno;

/// A value, or the operating system's error number.
pub(crate) type Result<T> = rustix::io::Result<T>;

/// The answer to a path that leads out of its directory, as Wasmtime gives it.
pub(crate) const ESCAPE: Errno = Errno::PERM;

/// The error number of an error of the standard library's or of cap-std's.
pub(crate) fn errno(error: io::Error) -> Errno {
    if let Some(errno) = Errno::from_io_error(&error) {
        return errno;
    }
    match error.kind() {
        // What cap-std says of a path that leads out of its directory: it has no number.
        io::ErrorKind::PermissionDenied => ESCAPE,
        io::ErrorKind::NotFound => Errno::NOENT,
        io::ErrorKind::AlreadyExists => Errno::EXIST,
        io::ErrorKind::InvalidInput => Errno::INVAL,
        io::ErrorKind::WriteZero => Errno::NOSPC,
        _ => Errno::IO,
    }
}
