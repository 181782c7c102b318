//! Directories in memory in a snapshot. A snapshot may have been written by anybody, so that all
//! that it says is checked.

use std::collections::BTreeMap;

use dormouse_model::{Limit, Limits};
use serde::{Deserialize, Serialize};

use super::open::{OpenNode, SharedTmpfs};
use super::tree::{Body, MAX_NAME_BYTES, NAME_COST, NODE_COST, Node, ROOT, TimesV1, Tmpfs};
use crate::error::Error;
use crate::fs::EntryV1;

/// No guest lives long enough to create so many files.
const MAX_INODE: u64 = 1 << 62;

/// A directory in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsV1 {
    /// Its name for the guest.
    pub guest: String,
    /// How many bytes it may take.
    pub limit: u64,
    /// The inode number of the next new node.
    pub next: u64,
    /// Everything in it; inode 1 is the directory itself.
    pub nodes: Vec<NodeV1>,
}

/// A file, a directory or a symbolic link in a directory in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeV1 {
    /// Its inode number.
    pub inode: u64,
    /// Its times.
    pub times: TimesV1,
    /// What it holds.
    pub body: BodyV1,
}

/// What a node in a directory in memory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyV1 {
    /// A file with its content.
    File(serde_bytes::ByteBuf),
    /// A directory with its names and their inode numbers.
    Dir(Vec<(String, u64)>),
    /// A symbolic link with its target.
    Link(String),
}

/// An open file or directory in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenNodeV1 {
    /// The place of its directory in memory among the guest's.
    pub tmpfs: u32,
    /// Its inode number there.
    pub inode: u64,
    /// Where the next read or write happens, in bytes.
    pub offset: u64,
    /// It is the directory that the guest was given.
    pub preopen: bool,
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

impl SharedTmpfs {
    /// The directory as data.
    pub(crate) fn save(&self) -> TmpfsV1 {
        let fs = self.lock();
        let nodes = fs.nodes.iter().map(|(inode, node)| NodeV1 {
            inode: *inode,
            times: node.times,
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

    /// The directory from data, as the guest's directory in memory of this number. Nothing in it is
    /// open yet; once everything is, [`drop_unused`](Self::drop_unused) drops the nodes that have
    /// neither a name nor an open node. `max` is how many bytes the host lets it take.
    pub(crate) fn restore(
        number: u32,
        saved: TmpfsV1,
        max: u64,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let malformed = Error::Malformed;
        let mut fs = Tmpfs {
            guest: saved.guest,
            number,
            nodes: BTreeMap::new(),
            next: saved.next,
            limit: saved.limit.min(max),
            used: 0,
        };
        if fs.next > MAX_INODE {
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
                        // This is set with its name. A deleted directory is its own parent.
                        parent: inode,
                    }
                }
            };
            let made = Node {
                body,
                links: u64::from(node.inode == ROOT),
                open: 0,
                times: node.times,
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
            return Err(match saved.limit > max {
                true => Error::Limit(limits.reached(Limit::Tmpfs).with(fs.used)),
                false => malformed("a directory in memory holds more than it can"),
            });
        }
        fs.check_tree()?;
        Ok(Self::of(fs))
    }

    /// Opens a file or a directory again.
    pub(crate) fn reopen(
        &self,
        saved: &OpenNodeV1,
        listing: Option<Vec<EntryV1>>,
    ) -> Result<OpenNode, Error> {
        let (inode, preopen, offset) = (saved.inode, saved.preopen, saved.offset);
        let known = match self.lock().nodes.get(&inode).map(|node| &node.body) {
            Some(Body::Dir { .. }) => !preopen || inode == ROOT,
            Some(Body::File(_)) => !preopen,
            _ => false,
        };
        match known {
            true if i64::try_from(offset).is_ok() => {
                let mut open = OpenNode::new(self, inode, preopen);
                open.offset = offset;
                open.listing = listing;
                Ok(open)
            }
            _ => Err(Error::Malformed("an open file in memory is not there")),
        }
    }

    /// Drops the nodes that have neither a name nor an open node.
    pub(crate) fn drop_unused(&self) {
        let mut fs = self.lock();
        let inodes: Vec<u64> = fs.nodes.keys().copied().collect();
        for inode in inodes {
            fs.release(inode);
        }
    }
}

impl Tmpfs {
    /// Fails if a deleted directory has entries, or directories form a cycle. `put_name` lets each
    /// directory have one name at most. So there is no cycle if those that are reachable from the
    /// root and the deleted ones are all that there are.
    fn check_tree(&self) -> Result<(), Error> {
        let dirs = self.nodes.values().filter(|node| node.is_dir());
        let deleted = dirs.clone().filter(|node| node.links == 0);
        let mut counted = deleted.clone().count();
        let has_entries =
            |node: &Node| matches!(&node.body, Body::Dir { entries, .. } if !entries.is_empty());
        if deleted.into_iter().any(has_entries) {
            return Err(Error::Malformed(
                "a deleted directory in memory is not empty",
            ));
        }
        let mut to_visit = vec![ROOT];
        while let Some(inode) = to_visit.pop() {
            counted += 1;
            if let Some(Body::Dir { entries, .. }) = self.nodes.get(&inode).map(|node| &node.body) {
                to_visit.extend(entries.values().filter(|inode| self.is_dir(**inode)));
            }
        }
        match counted == dirs.count() {
            true => Ok(()),
            false => Err(Error::Malformed("a directory in memory lies in itself")),
        }
    }

    /// Gives a node a name in a directory.
    fn put_name(&mut self, dir: u64, name: String, inode: u64) -> Result<(), Error> {
        let wrong = Error::Malformed("a name in memory makes no sense");
        let is_name =
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(['/', '\0']);
        if !is_name || name == "." || name == ".." || inode == ROOT {
            return Err(wrong);
        }
        let Some(node) = self.nodes.get_mut(&inode) else {
            return Err(wrong);
        };
        node.links += 1;
        if let Body::Dir { parent, .. } = &mut node.body {
            if node.links > 1 {
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

impl OpenNode {
    /// The open node as data.
    pub(crate) fn save(&self) -> OpenNodeV1 {
        OpenNodeV1 {
            tmpfs: self.fs.lock().number,
            inode: self.inode,
            offset: self.offset,
            preopen: self.is_preopen,
        }
    }

    /// The listing that the guest is in the middle of, as data.
    pub(crate) fn save_listing(&self) -> Option<Vec<EntryV1>> {
        self.listing.clone()
    }
}
