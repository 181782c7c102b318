//! Calls on names below a directory of the host's, as Linux makes them.
//!
//! cap-std finds the directory that holds the last name of a path: nothing leads out. The name itself goes to the
//! kernel as the guest wrote it, with the slashes at its end, so that what these mean is the kernel's answer. None
//! of these calls follows a link in the last name.

use cap_fs_ext::OpenOptionsFollowExt;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::{self as os, AtFlags, Mode, OFlags, Timestamps};

use super::abi::Result;
use super::errno::{ESCAPE, Errno};
use super::identity::proc_path;

/// The longest path, in bytes with its zero byte, as on Linux.
const LONGEST_PATH: usize = 4096;

/// What new directories are made with, less the process's mask.
const DIRECTORY_MODE: Mode = Mode::from_bits_retain(0o777);

/// The directory that holds the last name of a path.
enum Parent<'a> {
    Given(&'a Dir),
    Below(Dir),
}

impl Parent<'_> {
    fn dir(&self) -> &Dir {
        match self {
            Self::Given(dir) => dir,
            Self::Below(dir) => dir,
        }
    }
}

/// Where the last name of a path begins, and the name without the slashes behind it.
fn last_name(path: &str) -> (usize, &str) {
    let end = path.trim_end_matches('/').len();
    let start = path[..end].rfind('/').map_or(0, |slash| slash + 1);
    (start, &path[start..end])
}

/// Whether a path names a directory by its end alone, which also makes the last link be followed.
pub(super) fn names_directory(path: &str) -> bool {
    path.ends_with('/') || matches!(last_name(path).1, "." | "..")
}

/// The directory that holds the last name, and that name with the slashes behind it.
fn find<'a>(dir: &'a Dir, path: &'a str) -> Result<(Parent<'a>, &'a str)> {
    if path.len() >= LONGEST_PATH {
        return Err(Errno::Nametoolong);
    }
    let (start, name) = last_name(path);
    if name.is_empty() {
        // The root.
        return Err(ESCAPE);
    }
    if name == ".." {
        // It must not lead out, though no call below goes there.
        dir.open_dir(path)?;
    }
    let (parent, name) = path.split_at(start);
    match parent.is_empty() {
        true => Ok((Parent::Given(dir), name)),
        false => Ok((Parent::Below(dir.open_dir(parent)?), name)),
    }
}

pub(super) fn create_dir(dir: &Dir, path: &str) -> Result<()> {
    let (parent, name) = find(dir, path)?;
    Ok(os::mkdirat(parent.dir(), name, DIRECTORY_MODE)?)
}

pub(super) fn remove_dir(dir: &Dir, path: &str) -> Result<()> {
    let (parent, name) = find(dir, path)?;
    Ok(os::unlinkat(parent.dir(), name, AtFlags::REMOVEDIR)?)
}

pub(super) fn unlink(dir: &Dir, path: &str) -> Result<()> {
    let (parent, name) = find(dir, path)?;
    Ok(os::unlinkat(parent.dir(), name, AtFlags::empty())?)
}

pub(super) fn rename(from: &Dir, old: &str, to: &Dir, new: &str) -> Result<()> {
    let (from, old) = find(from, old)?;
    let (to, new) = find(to, new)?;
    Ok(os::renameat(from.dir(), old, to.dir(), new)?)
}

pub(super) fn symlink(target: &str, dir: &Dir, path: &str) -> Result<()> {
    // It would lead out.
    if target.starts_with('/') {
        return Err(ESCAPE);
    }
    let (parent, name) = find(dir, path)?;
    Ok(os::symlinkat(target, parent.dir(), name)?)
}

pub(super) fn link(from: &Dir, old: &str, to: &Dir, new: &str) -> Result<()> {
    // With such an end the kernel would follow a link, which might lead out.
    if names_directory(old) {
        let found = Parent::Below(from.open_dir(old)?);
        let (to, new) = find(to, new)?;
        return Ok(os::linkat(
            found.dir(),
            ".",
            to.dir(),
            new,
            AtFlags::empty(),
        )?);
    }
    let (from, old) = find(from, old)?;
    // As on Linux, what is wrong with the old name comes first.
    os::statat(from.dir(), old, AtFlags::SYMLINK_NOFOLLOW)?;
    let (to, new) = find(to, new)?;
    Ok(os::linkat(
        from.dir(),
        old,
        to.dir(),
        new,
        AtFlags::empty(),
    )?)
}

/// Sets times without opening what the path names: a named pipe would wait for its other end, and a program that
/// runs cannot be opened for writing.
pub(super) fn set_times(dir: &Dir, path: &str, follow: bool, times: &Timestamps) -> Result<()> {
    if !follow && !names_directory(path) {
        let (parent, name) = find(dir, path)?;
        return Ok(os::utimensat(
            parent.dir(),
            name,
            times,
            AtFlags::SYMLINK_NOFOLLOW,
        )?);
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::PATH.bits() as i32)
        .follow(cap_fs_ext::FollowSymlinks::Yes);
    let found = dir.open_with(path, &options)?;
    match os::utimensat(&found, "", times, AtFlags::EMPTY_PATH) {
        // Before Linux 5.8.
        Err(rustix::io::Errno::INVAL) => {
            use std::os::fd::AsFd;
            let path = proc_path(found.as_fd());
            Ok(os::utimensat(os::CWD, path, times, AtFlags::empty())?)
        }
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::{last_name, names_directory};

    #[test]
    fn the_last_name_is_found() {
        for (path, start, name) in [
            ("a", 0, "a"),
            ("a/", 0, "a"),
            ("a//", 0, "a"),
            ("a/b", 2, "b"),
            ("a//b//", 3, "b"),
            ("a/.", 2, "."),
            ("a/..", 2, ".."),
            ("/a", 1, "a"),
            ("/", 0, ""),
            ("//", 0, ""),
        ] {
            assert_eq!(last_name(path), (start, name), "{path}");
        }
        for path in ["a/", ".", "..", "a/.", "a/..", "a//", "./", "/"] {
            assert!(names_directory(path), "{path}");
        }
        for path in ["a", "a/b", "a/..b", "/a", "...", "a/.b"] {
            assert!(!names_directory(path), "{path}");
        }
    }
}
