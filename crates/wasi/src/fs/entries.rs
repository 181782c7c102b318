//! Calls on the names in a directory of the host's, as Linux makes them.
//!
//! cap-std finds the directory that holds the last name of a path, so that nothing leads out. The
//! name itself goes to the kernel as the guest wrote it, with the slashes at its end, so that the
//! kernel says what they mean. None of these calls follows a symbolic link in the last name.

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::{self as os, AtFlags, Mode, OFlags, Timestamps};

use super::dir::OpenDir;
use super::identity::proc_path;
use super::read_only;
use super::stat::{NewTimes, Stat};
use crate::errno::{ESCAPE, Errno, Result, errno};

/// The longest path in bytes, its zero byte counted in, as on Linux.
pub(crate) const MAX_PATH_BYTES: usize = 4096;

/// The mode of new directories, less the process's mask.
const DIRECTORY_MODE: Mode = Mode::from_bits_retain(0o777);

impl OpenDir {
    pub(crate) fn create_dir(&self, path: &str) -> Result<()> {
        if self.read_only {
            return Err(read_only::create_dir(&self.dir, path));
        }
        let (parent, name) = parent(&self.dir, path)?;
        os::mkdirat(parent.dir(), name, DIRECTORY_MODE)
    }

    pub(crate) fn remove_dir(&self, path: &str) -> Result<()> {
        if self.read_only {
            return Err(read_only::remove_dir(&self.dir, path));
        }
        let (parent, name) = parent(&self.dir, path)?;
        os::unlinkat(parent.dir(), name, AtFlags::REMOVEDIR)
    }

    pub(crate) fn unlink(&self, path: &str) -> Result<()> {
        if self.read_only {
            return Err(read_only::unlink(&self.dir, path));
        }
        let (parent, name) = parent(&self.dir, path)?;
        os::unlinkat(parent.dir(), name, AtFlags::empty())
    }

    pub(crate) fn rename(&self, old: &str, to: &Self, new: &str) -> Result<()> {
        if self.read_only || to.read_only {
            return Err(read_only::rename(self, old, to, new));
        }
        let (from, old) = parent(&self.dir, old)?;
        let (to, new) = parent(&to.dir, new)?;
        os::renameat(from.dir(), old, to.dir(), new)
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) -> Result<()> {
        // It would lead out.
        if target.starts_with('/') {
            return Err(ESCAPE);
        }
        if self.read_only {
            return Err(read_only::symlink(&self.dir, path));
        }
        let (parent, name) = parent(&self.dir, path)?;
        os::symlinkat(target, parent.dir(), name)
    }

    pub(crate) fn link(&self, old: &str, to: &Self, new: &str) -> Result<()> {
        if self.read_only || to.read_only {
            return Err(read_only::link(self, old, to, new));
        }
        let none = AtFlags::empty();
        // With such an end the kernel would follow a symbolic link, which might lead out.
        if names_directory(old) {
            let found = Parent::Below(self.dir.open_dir(old).map_err(errno)?);
            let (to, new) = parent(&to.dir, new)?;
            return os::linkat(found.dir(), ".", to.dir(), new, none);
        }
        let (from, old) = parent(&self.dir, old)?;
        // As on Linux, an error of the old name comes before one of the new name.
        os::statat(from.dir(), old, AtFlags::SYMLINK_NOFOLLOW)?;
        let (to, new) = parent(&to.dir, new)?;
        os::linkat(from.dir(), old, to.dir(), new, none)
    }

    /// Metadata of the file with this path.
    pub(crate) fn stat_at(&self, path: &str, follow: bool) -> Result<Stat> {
        let metadata = match follow || names_directory(path) {
            true => self.dir.metadata(path),
            false => self.dir.symlink_metadata(path),
        };
        Ok(Stat::of(&metadata.map_err(errno)?))
    }

    /// Sets the times of the file with this path.
    pub(crate) fn set_times_at(&self, path: &str, follow: bool, times: NewTimes) -> Result<()> {
        match self.read_only {
            true => Err(read_only::set_times(&self.dir, path, follow)),
            false => set_times(&self.dir, path, follow, &times.timestamps()),
        }
    }

    /// The target of a symbolic link.
    pub(crate) fn read_link(&self, path: &str) -> Result<String> {
        let target = self.dir.read_link(path).map_err(errno)?;
        target
            .into_os_string()
            .into_string()
            .map_err(|_| Errno::ILSEQ)
    }
}

/// Sets times without opening what the path names: a named pipe would wait for its other end, and a
/// running program's file cannot be opened for writing.
fn set_times(dir: &Dir, path: &str, follow: bool, times: &Timestamps) -> Result<()> {
    if !follow && !names_directory(path) {
        let (parent, name) = parent(dir, path)?;
        return os::utimensat(parent.dir(), name, times, AtFlags::SYMLINK_NOFOLLOW);
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::PATH.bits() as i32)
        .follow(FollowSymlinks::Yes);
    let found = dir.open_with(path, &options).map_err(errno)?;
    match os::utimensat(&found, "", times, AtFlags::EMPTY_PATH) {
        // Before Linux 5.8.
        Err(Errno::INVAL) => {
            use std::os::fd::AsFd;
            let path = proc_path(found.as_fd());
            os::utimensat(os::CWD, path, times, AtFlags::empty())
        }
        result => result,
    }
}

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

/// Whether a path ends with a slash or with dots, so that it can only name a directory. Then a
/// symbolic link at its end is followed.
pub(super) fn names_directory(path: &str) -> bool {
    path.ends_with('/') || matches!(last_name(path).1, "." | "..")
}

/// The directory that holds the last name of a path, and that name with the slashes behind it.
fn parent<'a>(dir: &'a Dir, path: &'a str) -> Result<(Parent<'a>, &'a str)> {
    if path.len() >= MAX_PATH_BYTES {
        return Err(Errno::NAMETOOLONG);
    }
    let (start, name) = last_name(path);
    if name.is_empty() {
        // The root.
        return Err(ESCAPE);
    }
    if name == ".." {
        // This fails if the path leads out. None of the calls goes there itself.
        dir.open_dir(path).map_err(errno)?;
    }
    let (parent, name) = path.split_at(start);
    match parent.is_empty() {
        true => Ok((Parent::Given(dir), name)),
        false => Ok((Parent::Below(dir.open_dir(parent).map_err(errno)?), name)),
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
