//! Where an open file is now.
//!
//! A snapshot names a file by its place in one of the guest's directories. The system is asked for
//! it at the suspend, so that a file which was renamed while it was open is found.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs as os;

use super::identity::proc_path;
use super::preopen::Preopen;

/// How many directory entries are looked at to find another name of a file.
const MAX_SEARCHED_ENTRIES: usize = 100_000;

/// Where an open file is now.
pub(super) enum Location {
    /// In one of the guest's directories.
    Inside { preopen: String, path: String },
    /// Deleted, or at least no longer in any place that the guest has a name for.
    Nameless,
    /// Moved out of the guest's directories.
    Outside(PathBuf),
}

/// Finds an open file. `preopen` and `path` say how the guest has opened it.
pub(super) fn locate(
    preopens: &[Preopen],
    fd: BorrowedFd<'_>,
    preopen: &str,
    path: &str,
) -> Location {
    let links = os::fstat(fd).map_or(1, |stat| stat.st_nlink);
    let Ok(now) = std::fs::read_link(proc_path(fd)) else {
        // Without /proc nothing is known but the path by which the file was opened.
        return match links {
            0 => Location::Nameless,
            _ => Location::Inside {
                preopen: preopen.into(),
                path: path.into(),
            },
        };
    };
    if links == 0 {
        return Location::Nameless;
    }
    // The directory by which the file was opened comes first, since it may lie inside another one.
    let by_name = preopens.iter().filter(|given| given.guest == preopen);
    let has_this_name = is_file(&now, fd);
    let found = by_name.chain(preopens).find_map(|candidate| {
        // The host may have renamed the directory itself.
        let root = std::fs::read_link(proc_path(candidate.dir.as_fd()));
        let root = root.as_ref().unwrap_or(&candidate.root);
        // The name may be gone while the file has another one.
        let now = match has_this_name {
            true => now.clone(),
            false => other_name(root, fd)?,
        };
        let below = now.strip_prefix(root).ok()?;
        let below = match below.as_os_str().is_empty() {
            true => ".",
            false => below.to_str()?,
        };
        Some(Location::Inside {
            preopen: candidate.guest.clone(),
            path: below.to_string(),
        })
    });
    found.unwrap_or_else(|| {
        let is_deleted = now.as_os_str().as_bytes().ends_with(b" (deleted)");
        match is_deleted && !has_this_name {
            true => Location::Nameless,
            false => Location::Outside(now),
        }
    })
}

/// Whether a path names an open file.
fn is_file(path: &Path, fd: BorrowedFd<'_>) -> bool {
    match (std::fs::symlink_metadata(path), os::fstat(fd)) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.st_dev, open.st_ino),
        _ => false,
    }
}

/// Another name of an open file below a directory, for a file that has lost one of several names.
fn other_name(root: &Path, fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let mut dirs = vec![root.to_path_buf()];
    let mut searched = 0;
    while let Some(dir) = dirs.pop() {
        // A directory that cannot be listed cannot be searched.
        let Ok(entries) = std::fs::read_dir(dir) else {
            continue;
        };
        for entry in entries.flatten() {
            searched += 1;
            if searched > MAX_SEARCHED_ENTRIES {
                return None;
            }
            let path = entry.path();
            if is_file(&path, fd) {
                return Some(path);
            }
            if entry.file_type().is_ok_and(|ty| ty.is_dir()) {
                dirs.push(path);
            }
        }
    }
    None
}
