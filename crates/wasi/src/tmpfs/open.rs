//! Directories in memory as a guest has them open.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;

use dormouse_model::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::tree::{Body, NODE_COST, Node, ROOT, TimesV1, Tmpfs};
use crate::errno::{ESCAPE, Errno, Result};
use crate::fs::{EntryV1, FileType, NewTimes, OpenRequest, Stat};

/// What a directory in memory is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpDir {
    /// Its name for the guest.
    pub guest: String,
    /// How many bytes it may take. Content counts, and so do names and nodes.
    pub limit: u64,
}

/// A directory in memory, shared by the open nodes in it.
#[derive(Clone)]
pub(crate) struct SharedTmpfs(Arc<Mutex<Tmpfs>>);

impl SharedTmpfs {
    /// An empty directory, the guest's directory in memory of this number.
    pub(crate) fn new(number: u32, dir: TmpDir, now: Timestamp) -> Self {
        let root = Node {
            body: Body::Dir {
                entries: BTreeMap::new(),
                parent: ROOT,
            },
            links: 1,
            open: 0,
            times: TimesV1::new(now),
        };
        Self::of(Tmpfs {
            guest: dir.guest,
            number,
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            limit: dir.limit,
            used: NODE_COST,
        })
    }

    pub(super) fn of(tmpfs: Tmpfs) -> Self {
        Self(Arc::new(Mutex::new(tmpfs)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tmpfs> {
        self.0.lock()
    }

    /// How many bytes are left, and how many it may take.
    pub(crate) fn room(&self) -> (u64, u64) {
        let fs = self.lock();
        (fs.limit.saturating_sub(fs.used), fs.limit)
    }

    /// The directory itself, as the guest finds it.
    pub(crate) fn root(&self) -> OpenNode {
        OpenNode::new(self, ROOT, true)
    }
}

/// An open file or directory in memory.
pub(crate) struct OpenNode {
    pub(super) fs: SharedTmpfs,
    pub(super) inode: u64,
    /// It is the directory that the guest was given.
    pub(super) is_preopen: bool,
    /// Where the next read or write happens, in bytes.
    pub(crate) offset: u64,
    /// The listing that the guest is in the middle of.
    pub(super) listing: Option<Vec<EntryV1>>,
}

impl OpenNode {
    pub(super) fn new(fs: &SharedTmpfs, inode: u64, is_preopen: bool) -> Self {
        if let Some(node) = fs.lock().nodes.get_mut(&inode) {
            node.open += 1;
        }
        Self {
            fs: fs.clone(),
            inode,
            is_preopen,
            offset: 0,
            listing: None,
        }
    }

    /// The guest's name for the directory, if it is the one that the guest was given.
    pub(crate) fn preopen_name(&self) -> Option<String> {
        self.is_preopen.then(|| self.fs.lock().guest.clone())
    }

    pub(crate) fn filetype(&self) -> FileType {
        let fs = self.fs.lock();
        let node = fs.nodes.get(&self.inode);
        node.map_or(FileType::Unknown, Node::filetype)
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        self.fs.lock().stat(self.inode)
    }

    pub(crate) fn size(&self) -> Result<u64> {
        Ok(self.fs.lock().node(self.inode)?.size())
    }

    /// How many bytes there are from the offset to the end.
    pub(crate) fn available(&self) -> u64 {
        self.size().unwrap_or(0).saturating_sub(self.offset)
    }

    /// Whether another open node is in the same directory in memory.
    pub(crate) fn shares_tmpfs_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.fs.0, &other.fs.0)
    }

    /// Reads from an offset, and gives how many bytes there were.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64, now: Timestamp) -> Result<u32> {
        self.fs.lock().read(self.inode, offset, buffer, now)
    }

    /// Writes as much as there is room for, at an offset or, if it appends, at the end. Gives how
    /// many bytes that is, and the offset behind them. The caller has checked that the sum of the
    /// buffers fits a `u32`.
    pub(crate) fn write_at(
        &self,
        buffers: &[IoSlice<'_>],
        offset: u64,
        appends: bool,
        now: Timestamp,
    ) -> Result<(u32, u64)> {
        let mut fs = self.fs.lock();
        let mut at = match appends {
            true => fs.node(self.inode)?.size(),
            false => offset,
        };
        let mut done = 0u32;
        for buffer in buffers.iter().filter(|buffer| !buffer.is_empty()) {
            match fs.write(self.inode, at, buffer, now) {
                Ok(count) => {
                    done += count as u32;
                    at += count as u64;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(errno) if done == 0 => return Err(errno),
                // It is left to the next call.
                Err(_) => break,
            }
        }
        Ok((done, at))
    }

    pub(crate) fn set_size(&self, size: u64, now: Timestamp) -> Result<()> {
        self.fs.lock().set_size(self.inode, size, now)
    }

    pub(crate) fn set_times(&self, times: NewTimes, now: Timestamp) -> Result<()> {
        self.fs.lock().set_times(self.inode, times, now)
    }

    /// The entries of a directory. The list is kept, so that an entry keeps its place in it, until
    /// `restart` asks for a new one.
    pub(crate) fn entries(&mut self, restart: bool) -> Result<&[EntryV1]> {
        if restart || self.listing.is_none() {
            self.listing = Some(self.fs.lock().list(self.inode)?);
        }
        Ok(self.listing.as_deref().unwrap_or_default())
    }

    /// Opens what a path names, seen from this directory.
    pub(crate) fn open(&self, path: &str, request: &OpenRequest, now: Timestamp) -> Result<Self> {
        if request.directory && request.excludes_directories() {
            return Err(Errno::INVAL);
        }
        let inode = self.fs.lock().open(self.inode, path, request, now)?;
        Ok(Self::new(&self.fs, inode, false))
    }

    pub(crate) fn create_dir(&self, path: &str, now: Timestamp) -> Result<()> {
        self.fs.lock().create_dir(self.inode, path, now)
    }

    pub(crate) fn remove_dir(&self, path: &str, now: Timestamp) -> Result<()> {
        self.fs.lock().remove_dir(self.inode, path, now)
    }

    pub(crate) fn unlink(&self, path: &str, now: Timestamp) -> Result<()> {
        self.fs.lock().unlink(self.inode, path, now)
    }

    pub(crate) fn symlink(&self, target: &str, path: &str, now: Timestamp) -> Result<()> {
        // It would lead out.
        if target.starts_with('/') {
            return Err(ESCAPE);
        }
        self.fs.lock().symlink(target, self.inode, path, now)
    }

    /// Gives a file another name. Both directories are in the same directory in memory.
    pub(crate) fn link(&self, old: &str, to: &Self, new: &str, now: Timestamp) -> Result<()> {
        let mut fs = self.fs.lock();
        fs.link((self.inode, old), (to.inode, new), now)
    }

    /// Renames a file or a directory. Both directories are in the same directory in memory.
    pub(crate) fn rename(&self, old: &str, to: &Self, new: &str, now: Timestamp) -> Result<()> {
        let mut fs = self.fs.lock();
        fs.rename((self.inode, old), (to.inode, new), now)
    }

    /// The target of a symbolic link.
    pub(crate) fn read_link(&self, path: &str) -> Result<String> {
        let fs = self.fs.lock();
        fs.read_link(self.inode, path).map(String::from)
    }

    /// Metadata of the file with this path.
    pub(crate) fn stat_at(&self, path: &str, follow: bool) -> Result<Stat> {
        let fs = self.fs.lock();
        let inode = fs.resolve(self.inode, path, follow)?.existing()?;
        fs.stat(inode)
    }

    /// Sets the times of the file with this path.
    pub(crate) fn set_times_at(
        &self,
        path: &str,
        follow: bool,
        times: NewTimes,
        now: Timestamp,
    ) -> Result<()> {
        let mut fs = self.fs.lock();
        let inode = fs.resolve(self.inode, path, follow)?.existing()?;
        fs.set_times(inode, times, now)
    }
}

impl Drop for OpenNode {
    fn drop(&mut self) {
        let mut fs = self.fs.lock();
        if let Some(node) = fs.nodes.get_mut(&self.inode) {
            node.open = node.open.saturating_sub(1);
        }
        fs.release(self.inode);
    }
}
