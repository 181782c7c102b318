//! A directory in memory written down, and read back from what may be a stranger's bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Body, LONGEST_NAME, MemoryFd, NAME_COST, NODE_COST, Node, ROOT, Shared, Times, Tmpfs};
use crate::Error;
use crate::model::{Limit, Limits};
use crate::state::{EntryV1, FdKindV1};

/// No guest lives long enough to make so many files.
const MOST_INODES: u64 = 1 << 62;

/// A directory in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsV1 {
    /// Its name for the guest.
    pub guest: String,
    /// How many bytes it may hold.
    pub limit: u64,
    /// The next inode number.
    pub next: u64,
    /// Everything in it; inode 1 is the directory itself.
    pub nodes: Vec<NodeV1>,
}

/// Something in a directory in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeV1 {
    /// Its inode number.
    pub inode: u64,
    /// Times of access, modification and change, in nanoseconds since the Unix epoch.
    pub times: (u64, u64, u64),
    /// What it is.
    pub body: BodyV1,
}

/// What something in a directory in memory is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyV1 {
    /// A file with its content.
    File(serde_bytes::ByteBuf),
    /// A directory: names and inode numbers.
    Dir(Vec<(String, u64)>),
    /// A symbolic link and where it leads.
    Link(String),
}

impl TmpfsV1 {
    /// How many bytes its files, names and nodes take.
    pub fn used(&self) -> u64 {
        let of = |node: &NodeV1| match &node.body {
            BodyV1::File(bytes) => bytes.len() as u64,
            BodyV1::Link(target) => target.len() as u64,
            BodyV1::Dir(entries) => entries
                .iter()
                .map(|(name, _)| NAME_COST + name.len() as u64)
                .sum(),
        };
        self.nodes.iter().map(|node| NODE_COST + of(node)).sum()
    }
}

impl Shared {
    pub(crate) fn save(&self) -> TmpfsV1 {
        let fs = self.lock();
        let nodes = fs.nodes.iter().map(|(inode, node)| NodeV1 {
            inode: *inode,
            times: (
                node.times.access,
                node.times.modification,
                node.times.change,
            ),
            body: match &node.body {
                Body::File(bytes) => BodyV1::File(bytes.clone().into()),
                Body::Link(target) => BodyV1::Link(target.clone()),
                Body::Dir { entries, .. } => BodyV1::Dir(
                    entries
                        .iter()
                        .map(|(name, inode)| (name.clone(), *inode))
                        .collect(),
                ),
            },
        });
        TmpfsV1 {
            guest: fs.guest.clone(),
            limit: fs.limit,
            next: fs.next,
            nodes: nodes.collect(),
        }
    }

    /// Nothing in it is open yet; what stays neither named nor open is to be dropped by
    /// [`settle`](Self::settle). `most` is how many bytes the host lets it hold.
    pub(crate) fn restore(
        number: u32,
        saved: TmpfsV1,
        most: u64,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let malformed = Error::Malformed;
        let mut fs = Tmpfs {
            guest: saved.guest,
            number,
            nodes: BTreeMap::new(),
            next: saved.next,
            limit: saved.limit.min(most),
            used: 0,
        };
        if fs.next > MOST_INODES {
            return Err(malformed(
                "a directory in memory has used up its numbers for files",
            ));
        }
        let mut names = Vec::new();
        for node in saved.nodes {
            if node.inode == 0 || node.inode >= fs.next {
                return Err(malformed("a file in memory has an impossible number"));
            }
            let body = match node.body {
                BodyV1::File(bytes) => Body::File(bytes.into_vec()),
                BodyV1::Link(target) => Body::Link(target),
                BodyV1::Dir(entries) => {
                    let inode = node.inode;
                    names.extend(entries.into_iter().map(|(name, to)| (inode, name, to)));
                    Body::Dir {
                        entries: BTreeMap::new(),
                        // Set when its name is found; one without a name has none any more.
                        parent: inode,
                    }
                }
            };
            let (access, modification, change) = node.times;
            let made = Node {
                body,
                names: u64::from(node.inode == ROOT),
                open: 0,
                times: Times {
                    access,
                    modification,
                    change,
                },
            };
            fs.used = fs.used.saturating_add(NODE_COST + made.size());
            if fs.nodes.insert(node.inode, made).is_some() {
                return Err(malformed("two files in memory have one number"));
            }
        }
        if !fs.is_dir(ROOT) {
            return Err(malformed("a directory in memory is none"));
        }
        for (dir, name, inode) in names {
            fs.put_name(dir, name, inode)?;
        }
        if fs.used > fs.limit {
            return Err(match saved.limit > most {
                true => Error::Limit(limits.reached(Limit::Tmpfs).with(fs.used)),
                false => malformed("a directory in memory holds more than it can"),
            });
        }
        fs.check_tree()?;
        Ok(Self(std::sync::Arc::new(std::sync::Mutex::new(fs))))
    }

    /// An open file or directory again.
    pub(crate) fn reopen(
        &self,
        inode: u64,
        preopen: bool,
        offset: u64,
        listing: Option<Vec<EntryV1>>,
    ) -> Result<MemoryFd, Error> {
        let known = match self.lock().nodes.get(&inode).map(|node| &node.body) {
            Some(Body::Dir { .. }) => !preopen || inode == ROOT,
            Some(Body::File(_)) => !preopen,
            _ => false,
        };
        match known {
            true if i64::try_from(offset).is_ok() => {
                let mut open = MemoryFd::new(self, inode, preopen);
                open.offset = offset;
                open.listing = listing;
                Ok(open)
            }
            _ => Err(Error::Malformed("an open file in memory is not there")),
        }
    }

    /// Drops what has neither a name nor a descriptor.
    pub(crate) fn settle(&self) {
        let mut fs = self.lock();
        let inodes: Vec<u64> = fs.nodes.keys().copied().collect();
        for inode in inodes {
            fs.release(inode);
        }
    }
}

impl Tmpfs {
    /// Each directory has one name at most, so that it hangs from the root, has no name, or is one of a
    /// ring that hangs from nothing.
    fn check_tree(&self) -> Result<(), Error> {
        let dirs = self.nodes.values().filter(|node| node.is_dir());
        let nameless = dirs.clone().filter(|node| node.names == 0);
        let mut hanging = nameless.clone().count();
        let filled =
            |node: &Node| matches!(&node.body, Body::Dir { entries, .. } if !entries.is_empty());
        if nameless.into_iter().any(filled) {
            return Err(Error::Malformed(
                "a deleted directory in memory is not empty",
            ));
        }
        let mut left = vec![ROOT];
        while let Some(inode) = left.pop() {
            hanging += 1;
            if let Some(Body::Dir { entries, .. }) = self.nodes.get(&inode).map(|node| &node.body) {
                left.extend(entries.values().filter(|inode| self.is_dir(**inode)));
            }
        }
        match hanging == dirs.count() {
            true => Ok(()),
            false => Err(Error::Malformed("a directory in memory lies in itself")),
        }
    }

    fn put_name(&mut self, dir: u64, name: String, inode: u64) -> Result<(), Error> {
        let wrong = Error::Malformed("a name in memory makes no sense");
        let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(['/', '\0']);
        if !is_name || name == "." || name == ".." || inode == ROOT {
            return Err(wrong);
        }
        let Some(node) = self.nodes.get_mut(&inode) else {
            return Err(wrong);
        };
        node.names += 1;
        if let Body::Dir { parent, .. } = &mut node.body {
            if node.names > 1 {
                return Err(Error::Malformed("a directory in memory has two names"));
            }
            *parent = dir;
        }
        self.used = self.used.saturating_add(NAME_COST + name.len() as u64);
        match self.nodes.get_mut(&dir).map(|node| &mut node.body) {
            Some(Body::Dir { entries, .. }) => match entries.insert(name, inode) {
                None => Ok(()),
                Some(_) => Err(wrong),
            },
            _ => Err(wrong),
        }
    }
}

impl MemoryFd {
    pub(crate) fn save(&self) -> FdKindV1 {
        FdKindV1::Memory {
            tmpfs: self.fs.lock().number,
            inode: self.inode,
            offset: self.offset,
            preopen: self.is_preopen,
        }
    }

    pub(crate) fn listing(&self) -> Option<Vec<EntryV1>> {
        self.listing.clone()
    }
}
