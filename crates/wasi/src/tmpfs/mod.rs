//! A directory in memory: one guest's own, and part of its snapshot.
//!
//! ```text
//!   descriptor --inode--> node: bytes | names with inodes | target of a link
//! ```
//!
//! It behaves as a directory of the host's on Linux does, errnos included; `tests.rs` compares the
//! two. A node lives as long as it has a name or is open. What it holds counts against a limit,
//! beyond which there is "no space left on device".

mod calls;
mod names;
mod save;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::abi::Result;
use super::errno::Errno;
use super::file::{DIRECTORY, REGULAR_FILE, SYMBOLIC_LINK};
use super::state::EntryV1;

pub use save::TmpfsV1;

/// What a directory in memory is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpDir {
    /// Its name for the guest.
    pub guest: String,
    /// How many bytes it may hold, names and nodes counted in.
    pub limit: u64,
}

/// The inode of the directory itself.
const ROOT: u64 = 1;
/// What a node costs beside its content, and a name beside its bytes.
const NODE_COST: u64 = 128;
const NAME_COST: u64 = 64;
/// The longest name, in bytes, as on Linux.
const LONGEST_NAME: usize = 255;
/// Device numbers of directories in memory. No device of Linux's has such a one, so that programs
/// that know files by device and inode never mistake one for another.
const DEVICE: u64 = 1 << 63;

/// A directory in memory.
pub(super) struct Tmpfs {
    /// Its name for the guest.
    guest: String,
    /// Which of the guest's.
    number: u32,
    nodes: BTreeMap<u64, Node>,
    next: u64,
    limit: u64,
    used: u64,
}

struct Node {
    body: Body,
    /// How many names it has.
    names: u64,
    /// How many descriptors it has.
    open: u64,
    times: Times,
}

enum Body {
    File(Vec<u8>),
    Dir {
        entries: BTreeMap<String, u64>,
        parent: u64,
    },
    Link(String),
}

/// In nanoseconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Times {
    access: u64,
    modification: u64,
    change: u64,
}

impl Times {
    fn all(now: u64) -> Self {
        Self {
            access: now,
            modification: now,
            change: now,
        }
    }
}

/// Shared by the descriptors of what is in it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Tmpfs>>);

impl Shared {
    pub(super) fn new(number: u32, dir: TmpDir, now: u64) -> Self {
        let root = Node {
            body: Body::Dir {
                entries: BTreeMap::new(),
                parent: ROOT,
            },
            names: 1,
            open: 0,
            times: Times::all(now),
        };
        Self(Arc::new(Mutex::new(Tmpfs {
            guest: dir.guest,
            number,
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            limit: dir.limit,
            used: NODE_COST,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Tmpfs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many bytes are left, and how many it may hold.
    pub(super) fn fullest(&self) -> (u64, u64) {
        let fs = self.lock();
        (fs.limit.saturating_sub(fs.used), fs.limit)
    }

    /// A descriptor of the directory itself.
    pub(super) fn root(&self) -> MemoryFd {
        MemoryFd::new(self, ROOT, true)
    }
}

/// An open file or directory in memory.
pub(super) struct MemoryFd {
    fs: Shared,
    inode: u64,
    /// It is the directory itself, and `fd_prestat_get` says so.
    is_preopen: bool,
    /// Where the next read or write happens, in bytes.
    offset: u64,
    /// The listing that `fd_readdir` is in the middle of.
    listing: Option<Vec<EntryV1>>,
}

impl MemoryFd {
    fn new(fs: &Shared, inode: u64, is_preopen: bool) -> Self {
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

    /// The guest's name for the directory, where it is one that was given.
    pub(super) fn preopen_name(&self) -> Option<String> {
        self.is_preopen.then(|| self.fs.lock().guest.clone())
    }

    /// `filetype` of the specification.
    pub(super) fn filetype(&self) -> u8 {
        let fs = self.fs.lock();
        fs.nodes.get(&self.inode).map_or(0, Node::filetype)
    }

    pub(super) fn filestat(&self) -> Result<[u8; 64]> {
        self.fs.lock().filestat(self.inode)
    }

    /// How many bytes can be read before the end.
    pub(super) fn available(&self) -> u64 {
        let fs = self.fs.lock();
        let size = fs.nodes.get(&self.inode).map_or(0, Node::size);
        size.saturating_sub(self.offset)
    }
}

impl Drop for MemoryFd {
    fn drop(&mut self) {
        let mut fs = self.fs.lock();
        if let Some(node) = fs.nodes.get_mut(&self.inode) {
            node.open = node.open.saturating_sub(1);
        }
        fs.release(self.inode);
    }
}

impl Node {
    fn filetype(&self) -> u8 {
        match self.body {
            Body::File(_) => REGULAR_FILE,
            Body::Dir { .. } => DIRECTORY,
            Body::Link(_) => SYMBOLIC_LINK,
        }
    }

    fn size(&self) -> u64 {
        match &self.body {
            Body::File(bytes) => bytes.len() as u64,
            Body::Dir { .. } => 0,
            Body::Link(target) => target.len() as u64,
        }
    }

    fn is_dir(&self) -> bool {
        matches!(self.body, Body::Dir { .. })
    }
}

impl Tmpfs {
    fn node(&self, inode: u64) -> Result<&Node> {
        self.nodes.get(&inode).ok_or(Errno::Stale)
    }

    fn node_mut(&mut self, inode: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&inode).ok_or(Errno::Stale)
    }

    fn entries(&self, inode: u64) -> Result<&BTreeMap<String, u64>> {
        match &self.node(inode)?.body {
            Body::Dir { entries, .. } => Ok(entries),
            _ => Err(Errno::Notdir),
        }
    }

    fn entries_mut(&mut self, inode: u64) -> Result<&mut BTreeMap<String, u64>> {
        match &mut self.node_mut(inode)?.body {
            Body::Dir { entries, .. } => Ok(entries),
            _ => Err(Errno::Notdir),
        }
    }

    fn bytes(&self, inode: u64) -> Result<&Vec<u8>> {
        match &self.node(inode)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Dir { .. } => Err(Errno::Isdir),
            Body::Link(_) => Err(Errno::Badf),
        }
    }

    /// Takes room, if there is so much.
    fn charge(&mut self, bytes: u64) -> Result<()> {
        match self.used.checked_add(bytes) {
            Some(used) if used <= self.limit => {
                self.used = used;
                Ok(())
            }
            _ => Err(Errno::Nospc),
        }
    }

    fn give_back(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Forgets a node that has neither a name nor a descriptor.
    fn release(&mut self, inode: u64) {
        let unused = |node: &Node| node.names == 0 && node.open == 0;
        if self.nodes.get(&inode).is_some_and(unused)
            && let Some(node) = self.nodes.remove(&inode)
        {
            self.give_back(NODE_COST + node.size());
        }
    }

    fn read(&mut self, inode: u64, at: u64, buffer: &mut [u8], now: u64) -> Result<u32> {
        let bytes = self.bytes(inode)?;
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        let node = self.node_mut(inode)?;
        // As Linux does by default (`relatime`).
        if count > 0 && node.times.access <= node.times.modification {
            node.times.access = now;
        }
        // A guest's buffer is smaller than 4 GiB.
        Ok(count as u32)
    }

    /// Writes what there is room for; gives how much it was.
    fn write(&mut self, inode: u64, at: u64, content: &[u8], now: u64) -> Result<usize> {
        if content.is_empty() {
            return Ok(0);
        }
        let size = self.bytes(inode)?.len() as u64;
        let room = self.limit.saturating_sub(self.used).saturating_add(size);
        let count = room.saturating_sub(at).min(content.len() as u64);
        if i64::try_from(at).is_err() {
            return Err(Errno::Inval);
        }
        if count == 0 {
            return Err(Errno::Nospc);
        }
        // Both are smaller than the limit's room, and that is a size of memory.
        let (start, end) = (at as usize, (at + count) as usize);
        if end as u64 > size {
            self.resize(inode, end as u64)?;
        }
        let node = self.node_mut(inode)?;
        if let Body::File(bytes) = &mut node.body {
            bytes[start..end].copy_from_slice(&content[..count as usize]);
        }
        node.times.modification = now;
        node.times.change = now;
        Ok(count as usize)
    }

    /// Cuts a file off or fills it up with zeros.
    fn set_size(&mut self, inode: u64, size: u64, now: u64) -> Result<()> {
        if i64::try_from(size).is_err() {
            return Err(Errno::Inval);
        }
        self.resize(inode, size)?;
        let node = self.node_mut(inode)?;
        node.times.modification = now;
        node.times.change = now;
        Ok(())
    }

    fn resize(&mut self, inode: u64, size: u64) -> Result<()> {
        let before = self.bytes(inode)?.len() as u64;
        let grows = usize::try_from(size.saturating_sub(before)).map_err(|_| Errno::Nospc)?;
        // Where there is no limit, or one beyond the machine's memory.
        if let Body::File(bytes) = &mut self.node_mut(inode)?.body {
            bytes.try_reserve(grows).map_err(|_| Errno::Nospc)?;
        }
        match size.checked_sub(before) {
            Some(more) => self.charge(more)?,
            None => self.give_back(before - size),
        }
        let size = usize::try_from(size).map_err(|_| Errno::Nospc)?;
        if let Body::File(bytes) = &mut self.node_mut(inode)?.body {
            bytes.resize(size, 0);
            if bytes.capacity() / 4 > size {
                bytes.shrink_to_fit();
            }
        }
        Ok(())
    }

    /// `filestat` of the specification.
    fn filestat(&self, inode: u64) -> Result<[u8; 64]> {
        let node = self.node(inode)?;
        let links = match &node.body {
            // Its own name, its `.`, and the `..` of those in it.
            Body::Dir { entries, .. } if node.names > 0 => {
                let dirs = entries.values().filter(|inode| self.is_dir(**inode));
                2 + dirs.count() as u64
            }
            _ => node.names,
        };
        let fields = [
            (0, DEVICE | u64::from(self.number)),
            (8, inode),
            (16, u64::from(node.filetype())),
            (24, links),
            (32, node.size()),
            (40, node.times.access),
            (48, node.times.modification),
            (56, node.times.change),
        ];
        let mut bytes = [0; 64];
        for (offset, value) in fields {
            bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        }
        Ok(bytes)
    }

    fn is_dir(&self, inode: u64) -> bool {
        self.nodes.get(&inode).is_some_and(Node::is_dir)
    }

    fn list(&self, inode: u64) -> Result<Vec<EntryV1>> {
        let node = self.node(inode)?;
        let Body::Dir { entries, parent } = &node.body else {
            return Err(Errno::Notdir);
        };
        let entry = |name: &str, inode: u64| EntryV1 {
            name: name.into(),
            inode,
            filetype: self.nodes.get(&inode).map_or(0, Node::filetype),
        };
        let mut listing = vec![entry(".", inode), entry("..", *parent)];
        // One that was deleted has nothing in it, not even those two.
        if node.names == 0 {
            listing.clear();
        }
        listing.extend(entries.iter().map(|(name, inode)| entry(name, *inode)));
        Ok(listing)
    }

    /// Sets the times that are given; `None` leaves one as it is.
    fn set_times(
        &mut self,
        inode: u64,
        access: Option<u64>,
        modification: Option<u64>,
        now: u64,
    ) -> Result<()> {
        let times = &mut self.node_mut(inode)?.times;
        if access.is_none() && modification.is_none() {
            return Ok(());
        }
        times.access = access.unwrap_or(times.access);
        times.modification = modification.unwrap_or(times.modification);
        times.change = now;
        Ok(())
    }

    /// Something in a directory was named or lost its name.
    fn touch(&mut self, dir: u64, now: u64) {
        if let Some(node) = self.nodes.get_mut(&dir) {
            node.times.modification = now;
            node.times.change = now;
        }
    }
}
