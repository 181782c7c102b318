//! The answers to calls that would change something in a directory that the guest may only read.
//!
//! The answers are those of Linux for a file system that is mounted read-only, in the order in
//! which Linux looks: that a name exists, or that a part of the path does not, comes before
//! `EROFS`. None of these functions tries to write.

use std::io;
use std::path::Path;

use cap_std::fs::Dir;

use super::dir::OpenDir;
use crate::errno::{ESCAPE, Errno, Result, errno};

/// The answer to making a directory.
pub(super) fn create_dir(dir: &Dir, path: &str) -> Errno {
    creating(dir, path.trim_end_matches('/'))
}

/// The answer to making a symbolic link.
pub(super) fn symlink(dir: &Dir, path: &str) -> Errno {
    creating(dir, path)
}

/// The answer to removing a directory.
pub(super) fn remove_dir(dir: &Dir, path: &str) -> Errno {
    let path = path.trim_end_matches('/');
    answer(last_part(dir, path).and_then(|last| match last {
        Last::Name => check_parent(dir, path).map(|()| Errno::ROFS),
        Last::Dot => Ok(Errno::INVAL),
        Last::DotDot => Ok(Errno::NOTEMPTY),
    }))
}

/// The answer to removing a name.
pub(super) fn unlink(dir: &Dir, path: &str) -> Errno {
    let path = path.trim_end_matches('/');
    answer(last_part(dir, path).and_then(|last| match last {
        Last::Name => check_parent(dir, path).map(|()| Errno::ROFS),
        Last::Dot | Last::DotDot => Ok(Errno::ISDIR),
    }))
}

/// The answer to setting a file's times.
pub(super) fn set_times(dir: &Dir, path: &str, follow: bool) -> Errno {
    let found = match follow {
        true => dir.metadata(path),
        false => dir.symlink_metadata(path),
    };
    found.map_or_else(errno, |_| Errno::ROFS)
}

/// The answer to linking, where one of the two directories is read-only.
pub(super) fn link(from: &OpenDir, old: &str, to: &OpenDir, new: &str) -> Errno {
    if let Err(error) = from.dir.symlink_metadata(old) {
        return errno(error);
    }
    match creating(&to.dir, new) {
        // It would be another name for a file that the guest may only read.
        Errno::ROFS if !to.read_only => Errno::XDEV,
        errno => errno,
    }
}

/// The answer to renaming, where one of the two directories is read-only.
pub(super) fn rename(from: &OpenDir, old: &str, to: &OpenDir, new: &str) -> Errno {
    let mut dots = false;
    for (open, path) in [(from, old), (to, new)] {
        let path = path.trim_end_matches('/');
        let last = match last_part(&open.dir, path) {
            Ok(last) => last,
            Err(errno) => return errno,
        };
        dots |= last != Last::Name;
        if let Err(errno) = check_parent(&open.dir, path) {
            return errno;
        }
    }
    match from.preopen == to.preopen {
        // Two mounts are two file systems.
        false => Errno::XDEV,
        true if dots => Errno::BUSY,
        true => Errno::ROFS,
    }
}

/// The answer to creating an entry. A slash at the end of its path is for directories that exist,
/// so that the answer is `ENOENT` there.
fn creating(dir: &Dir, path: &str) -> Errno {
    match dir.symlink_metadata(path) {
        Ok(_) => Errno::EXIST,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            answer(check_parent(dir, path).map(|()| match path.ends_with('/') {
                true => Errno::NOENT,
                false => Errno::ROFS,
            }))
        }
        Err(error) => errno(error),
    }
}

/// What the guest gets: the answer of the call, or an error on the way to it.
fn answer(result: Result<Errno>) -> Errno {
    result.unwrap_or_else(|errno| errno)
}

/// What a path ends with.
#[derive(PartialEq, Eq)]
enum Last {
    Name,
    Dot,
    DotDot,
}

/// What a path without a slash at its end ends with; fails where that leads out.
fn last_part(dir: &Dir, path: &str) -> Result<Last> {
    let last = match path.rsplit('/').next().unwrap_or_default() {
        "" => return Err(ESCAPE),
        "." => Last::Dot,
        ".." => Last::DotDot,
        _ => return Ok(Last::Name),
    };
    match dir.metadata(path).map_err(errno)?.is_dir() {
        true => Ok(last),
        false => Err(Errno::NOTDIR),
    }
}

/// Fails where the directory that holds the last name of a path does not exist.
pub(super) fn check_parent(dir: &Dir, path: &str) -> Result<()> {
    let parent = match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        // The directory itself.
        Some(_) => return Ok(()),
        // The root, at which no path may begin.
        None => return Err(ESCAPE),
    };
    match dir.metadata(parent).map_err(errno)?.is_dir() {
        true => Ok(()),
        false => Err(Errno::NOTDIR),
    }
}
