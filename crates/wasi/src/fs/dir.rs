//! An open directory, and listings of directories.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::{self as os, OFlags};
use serde::{Deserialize, Serialize};

use super::stat::{FileType, Stat};
use crate::errno::{Result, errno};

/// An open directory.
pub(crate) struct OpenDir {
    pub(crate) dir: Dir,
    /// The directory given by the host in which it lies, by its guest name.
    pub(crate) preopen: String,
    /// Its path in there.
    pub(crate) path: String,
    /// It is that directory itself.
    pub(crate) is_preopen: bool,
    /// The guest may change neither the directory nor what lies in it.
    pub(crate) read_only: bool,
    /// The listing that the guest is in the middle of.
    pub(crate) listing: Option<Vec<EntryV1>>,
}

/// An entry of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryV1 {
    /// The name.
    pub name: String,
    /// The inode number.
    pub inode: u64,
    /// The type of the file with this name.
    pub filetype: FileType,
}

impl OpenDir {
    /// The host's descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Metadata of the directory itself.
    pub(crate) fn stat(&self) -> Result<Stat> {
        Ok(Stat::of(&self.dir.dir_metadata().map_err(errno)?))
    }

    /// The entries, sorted by name. The list is kept, so that an entry keeps its place in it, until
    /// `restart` asks for a new one.
    pub(crate) fn entries(&mut self, restart: bool) -> Result<&[EntryV1]> {
        if restart || self.listing.is_none() {
            self.listing = Some(self.read_entries()?);
        }
        Ok(self.listing.as_deref().unwrap_or_default())
    }

    fn read_entries(&self) -> Result<Vec<EntryV1>> {
        let mut entries = Vec::new();
        // This opens the directory once more, with a read position of its own.
        for entry in os::Dir::read_from(self.dir.as_fd())? {
            let entry = entry?;
            // WASI has no names that are not UTF-8.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            entries.push(EntryV1 {
                name: name.to_string(),
                inode: entry.ino(),
                filetype: entry.file_type().into(),
            });
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }
}

/// Opens a directory below another. `Dir::open_dir` would open it for paths only (`O_PATH`), so
/// that it could neither be flushed nor given times.
pub(super) fn open_below(dir: &Dir, path: &str) -> io::Result<Dir> {
    let mut options = OpenOptions::new();
    let flags = OFlags::DIRECTORY.bits() as i32;
    let opened = dir.open_with(path, options.read(true).custom_flags(flags))?;
    Ok(Dir::from_std_file(opened.into_std()))
}
