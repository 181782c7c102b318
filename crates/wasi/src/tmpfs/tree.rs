//! The nodes of a directory in memory: their content, their metadata, and the room that they take.

use std::collections::BTreeMap;

use dormouse_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errno::{Errno, Result};
use crate::fs::{EntryV1, FileType, NewTimes, Stat};

/// The inode number of the directory itself.
pub(super) const ROOT: u64 = 1;
/// What a node takes beside its content, in bytes of the limit.
pub(super) const NODE_COST: u64 = 128;
/// What a name takes beside its characters, in bytes of the limit.
pub(super) const NAME_COST: u64 = 64;
/// The longest name in bytes, as on Linux.
pub(super) const MAX_NAME_BYTES: usize = 255;
/// Device numbers of directories in memory begin here. Linux gives no device such a number, so that
/// programs which know files by device and inode never take one file for another.
const FIRST_DEVICE: u64 = 1 << 63;

/// A directory in memory.
pub(super) struct Tmpfs {
    /// Its name for the guest.
    pub(super) guest: String,
    /// Its place among the guest's directories in memory.
    pub(super) number: u32,
    pub(super) nodes: BTreeMap<u64, Node>,
    /// The inode number of the next new node.
    pub(super) next: u64,
    /// How many bytes it may take.
    pub(super) limit: u64,
    /// How many bytes it takes.
    pub(super) used: u64,
}

/// A file, a directory or a symbolic link.
pub(super) struct Node {
    pub(super) body: Body,
    /// How many names it has.
    pub(super) links: u64,
    /// How many open nodes refer to it.
    pub(super) open: u64,
    pub(super) times: TimesV1,
}

pub(super) enum Body {
    File(Vec<u8>),
    Dir {
        entries: BTreeMap<String, u64>,
        parent: u64,
    },
    Link(String),
}

/// The times of a node. A snapshot keeps them as a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "(Timestamp, Timestamp, Timestamp)",
    into = "(Timestamp, Timestamp, Timestamp)"
)]
pub struct TimesV1 {
    /// The last access.
    pub accessed: Timestamp,
    /// The last change of the content.
    pub modified: Timestamp,
    /// The last change of the content, the names or the times.
    pub changed: Timestamp,
}

impl From<TimesV1> for (Timestamp, Timestamp, Timestamp) {
    fn from(times: TimesV1) -> Self {
        (times.accessed, times.modified, times.changed)
    }
}

impl From<(Timestamp, Timestamp, Timestamp)> for TimesV1 {
    fn from((accessed, modified, changed): (Timestamp, Timestamp, Timestamp)) -> Self {
        Self {
            accessed,
            modified,
            changed,
        }
    }
}

impl TimesV1 {
    /// The times of a new node.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            accessed: now,
            modified: now,
            changed: now,
        }
    }
}

impl Node {
    pub(super) fn filetype(&self) -> FileType {
        match self.body {
            Body::File(_) => FileType::RegularFile,
            Body::Dir { .. } => FileType::Directory,
            Body::Link(_) => FileType::SymbolicLink,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::File(bytes) => bytes.len() as u64,
            Body::Dir { .. } => 0,
            Body::Link(target) => target.len() as u64,
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        matches!(self.body, Body::Dir { .. })
    }
}

impl Tmpfs {
    pub(super) fn node(&self, inode: u64) -> Result<&Node> {
        self.nodes.get(&inode).ok_or(Errno::STALE)
    }

    pub(super) fn node_mut(&mut self, inode: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&inode).ok_or(Errno::STALE)
    }

    pub(super) fn entries(&self, inode: u64) -> Result<&BTreeMap<String, u64>> {
        match &self.node(inode)?.body {
            Body::Dir { entries, .. } => Ok(entries),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn entries_mut(&mut self, inode: u64) -> Result<&mut BTreeMap<String, u64>> {
        match &mut self.node_mut(inode)?.body {
            Body::Dir { entries, .. } => Ok(entries),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn bytes(&self, inode: u64) -> Result<&Vec<u8>> {
        match &self.node(inode)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Dir { .. } => Err(Errno::ISDIR),
            Body::Link(_) => Err(Errno::BADF),
        }
    }

    /// Takes this many bytes of the limit, if they are left.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<()> {
        match self.used.checked_add(bytes) {
            Some(used) if used <= self.limit => {
                self.used = used;
                Ok(())
            }
            _ => Err(Errno::NOSPC),
        }
    }

    /// Gives bytes of the limit back.
    pub(super) fn uncharge(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Drops a node if it has neither a name nor an open node.
    pub(super) fn release(&mut self, inode: u64) {
        let unused = |node: &Node| node.links == 0 && node.open == 0;
        if self.nodes.get(&inode).is_some_and(unused)
            && let Some(node) = self.nodes.remove(&inode)
        {
            self.uncharge(NODE_COST + node.size());
        }
    }

    /// Reads from an offset, and gives how many bytes there were.
    pub(super) fn read(
        &mut self,
        inode: u64,
        at: u64,
        buffer: &mut [u8],
        now: Timestamp,
    ) -> Result<u32> {
        let bytes = self.bytes(inode)?;
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        let node = self.node_mut(inode)?;
        // As Linux does by default (`relatime`).
        if count > 0 && node.times.accessed <= node.times.modified {
            node.times.accessed = now;
        }
        // A guest's buffer is smaller than 4 GiB.
        Ok(count as u32)
    }

    /// Writes as much as there is room for, and gives how many bytes that is.
    pub(super) fn write(
        &mut self,
        inode: u64,
        at: u64,
        content: &[u8],
        now: Timestamp,
    ) -> Result<usize> {
        if content.is_empty() {
            return Ok(0);
        }
        let size = self.bytes(inode)?.len() as u64;
        let room = self.limit.saturating_sub(self.used).saturating_add(size);
        let count = room.saturating_sub(at).min(content.len() as u64);
        if i64::try_from(at).is_err() {
            return Err(Errno::INVAL);
        }
        if count == 0 {
            return Err(Errno::NOSPC);
        }
        // Neither is beyond the limit, which is a size of memory.
        let (start, end) = (at as usize, (at + count) as usize);
        if end as u64 > size {
            self.resize(inode, end as u64)?;
        }
        let node = self.node_mut(inode)?;
        if let Body::File(bytes) = &mut node.body {
            bytes[start..end].copy_from_slice(&content[..count as usize]);
        }
        node.times.modified = now;
        node.times.changed = now;
        Ok(count as usize)
    }

    /// Cuts a file off, or fills it up with zeros.
    pub(super) fn set_size(&mut self, inode: u64, size: u64, now: Timestamp) -> Result<()> {
        if i64::try_from(size).is_err() {
            return Err(Errno::INVAL);
        }
        self.resize(inode, size)?;
        let node = self.node_mut(inode)?;
        node.times.modified = now;
        node.times.changed = now;
        Ok(())
    }

    pub(super) fn resize(&mut self, inode: u64, size: u64) -> Result<()> {
        let before = self.bytes(inode)?.len() as u64;
        let grows = usize::try_from(size.saturating_sub(before)).map_err(|_| Errno::NOSPC)?;
        // This fails where the limit is beyond the machine's memory.
        if let Body::File(bytes) = &mut self.node_mut(inode)?.body {
            bytes.try_reserve(grows).map_err(|_| Errno::NOSPC)?;
        }
        match size.checked_sub(before) {
            Some(more) => self.charge(more)?,
            None => self.uncharge(before - size),
        }
        let size = usize::try_from(size).map_err(|_| Errno::NOSPC)?;
        if let Body::File(bytes) = &mut self.node_mut(inode)?.body {
            bytes.resize(size, 0);
            if bytes.capacity() / 4 > size {
                bytes.shrink_to_fit();
            }
        }
        Ok(())
    }

    /// Metadata of a node.
    pub(super) fn stat(&self, inode: u64) -> Result<Stat> {
        let node = self.node(inode)?;
        let links = match &node.body {
            // Its own name, its `.`, and the `..` of each directory in it.
            Body::Dir { entries, .. } if node.links > 0 => {
                let dirs = entries.values().filter(|inode| self.is_dir(**inode));
                2 + dirs.count() as u64
            }
            _ => node.links,
        };
        Ok(Stat {
            device: FIRST_DEVICE | u64::from(self.number),
            inode,
            filetype: node.filetype(),
            links,
            size: node.size(),
            accessed: node.times.accessed,
            modified: node.times.modified,
            changed: node.times.changed,
        })
    }

    pub(super) fn is_dir(&self, inode: u64) -> bool {
        self.nodes.get(&inode).is_some_and(Node::is_dir)
    }

    /// The entries of a directory.
    pub(super) fn list(&self, inode: u64) -> Result<Vec<EntryV1>> {
        let node = self.node(inode)?;
        let Body::Dir { entries, parent } = &node.body else {
            return Err(Errno::NOTDIR);
        };
        let entry = |name: &str, inode: u64| EntryV1 {
            name: name.into(),
            inode,
            filetype: self
                .nodes
                .get(&inode)
                .map_or(FileType::Unknown, Node::filetype),
        };
        let mut listing = vec![entry(".", inode), entry("..", *parent)];
        // A deleted directory has not even those two in it.
        if node.links == 0 {
            listing.clear();
        }
        listing.extend(entries.iter().map(|(name, inode)| entry(name, *inode)));
        Ok(listing)
    }

    /// Sets a node's times.
    pub(super) fn set_times(&mut self, inode: u64, new: NewTimes, now: Timestamp) -> Result<()> {
        let (accessed, modified) = (new.accessed.resolve(now), new.modified.resolve(now));
        let times = &mut self.node_mut(inode)?.times;
        if accessed.is_none() && modified.is_none() {
            return Ok(());
        }
        times.accessed = accessed.unwrap_or(times.accessed);
        times.modified = modified.unwrap_or(times.modified);
        times.changed = now;
        Ok(())
    }

    /// Sets a directory's `modified` and `changed` times: one of its entries has come or gone.
    pub(super) fn entry_changed(&mut self, dir: u64, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(&dir) {
            node.times.modified = now;
            node.times.changed = now;
        }
    }
}
