//! Calls that change the entries of directories in memory: creating, linking, renaming and
//! removing.

use std::collections::BTreeMap;

use dormouse_model::Timestamp;

use super::resolve::{Last, Place};
use super::tree::{Body, NAME_COST, NODE_COST, Node, TimesV1, Tmpfs};
use crate::errno::{Errno, Result};
use crate::fs::{FileType, OpenRequest};

impl Tmpfs {
    /// The directory and the name of a node that is to be created at a place.
    fn free(&self, place: Place) -> Result<(u64, String)> {
        match (place.name, place.node) {
            (Last::Name(name), None) => match self.node(place.parent)?.links {
                // The directory was deleted while it is open.
                0 => Err(Errno::NOENT),
                _ => Ok((place.parent, name)),
            },
            _ => Err(Errno::EXIST),
        }
    }

    /// Creates a node with a name.
    fn insert(&mut self, parent: u64, name: String, body: Body, now: Timestamp) -> Result<u64> {
        let inode = self.next;
        let node = Node {
            body,
            links: 1,
            open: 0,
            times: TimesV1::new(now),
        };
        self.charge(NODE_COST + node.size() + NAME_COST + name.len() as u64)?;
        self.entries_mut(parent)?.insert(name, inode);
        self.next += 1;
        self.nodes.insert(inode, node);
        self.entry_changed(parent, now);
        Ok(inode)
    }

    /// The node that a path names, created or truncated as the request says.
    pub(super) fn open(
        &mut self,
        from: u64,
        path: &str,
        request: &OpenRequest,
        now: Timestamp,
    ) -> Result<u64> {
        let follow = request.follow && !request.must_create();
        let place = match request.create {
            true => self.resolve_to_create(from, path, follow)?,
            false => self.resolve(from, path, follow)?,
        };
        match place.node {
            None if request.create => self.create(place, now),
            None => Err(Errno::NOENT),
            Some(_) if request.must_create() => Err(Errno::EXIST),
            Some(inode) => {
                match self.node(inode)?.filetype() {
                    FileType::SymbolicLink => return Err(Errno::LOOP),
                    FileType::Directory if request.opens_for_writing() => {
                        return Err(Errno::ISDIR);
                    }
                    FileType::RegularFile if request.directory => return Err(Errno::NOTDIR),
                    _ => {}
                }
                if request.truncate {
                    self.set_size(inode, 0, now)?;
                }
                Ok(inode)
            }
        }
    }

    /// An empty file at a place where there is nothing.
    fn create(&mut self, place: Place, now: Timestamp) -> Result<u64> {
        let (parent, name) = self.free(place)?;
        self.insert(parent, name, Body::File(Vec::new()), now)
    }

    pub(super) fn create_dir(&mut self, from: u64, path: &str, now: Timestamp) -> Result<()> {
        let place = self.resolve_name(from, path)?;
        let (parent, name) = self.free(place)?;
        let body = Body::Dir {
            entries: BTreeMap::new(),
            parent,
        };
        self.insert(parent, name, body, now).map(drop)
    }

    pub(super) fn symlink(
        &mut self,
        target: &str,
        from: u64,
        path: &str,
        now: Timestamp,
    ) -> Result<()> {
        let place = self.resolve_name(from, path)?;
        if place.slash && place.node.is_none() {
            return Err(Errno::NOENT);
        }
        let (parent, name) = self.free(place)?;
        self.insert(parent, name, Body::Link(target.into()), now)
            .map(drop)
    }

    pub(super) fn link(
        &mut self,
        old: (u64, &str),
        new: (u64, &str),
        now: Timestamp,
    ) -> Result<()> {
        let inode = self.resolve(old.0, old.1, false)?.existing()?;
        let place = self.resolve_name(new.0, new.1)?;
        if place.slash && place.node.is_none() {
            return Err(Errno::NOENT);
        }
        let (parent, name) = self.free(place)?;
        if self.is_dir(inode) {
            return Err(Errno::PERM);
        }
        self.charge(NAME_COST + name.len() as u64)?;
        self.entries_mut(parent)?.insert(name, inode);
        let node = self.node_mut(inode)?;
        node.links += 1;
        node.times.changed = now;
        self.entry_changed(parent, now);
        Ok(())
    }

    pub(super) fn unlink(&mut self, from: u64, path: &str, now: Timestamp) -> Result<()> {
        let place = self.resolve_name(from, path)?;
        let Last::Name(name) = &place.name else {
            return Err(Errno::ISDIR);
        };
        match self.is_dir(place.existing()?) {
            true => Err(Errno::ISDIR),
            false if place.slash => Err(Errno::NOTDIR),
            false => self.remove_name(place.parent, name, now),
        }
    }

    pub(super) fn remove_dir(&mut self, from: u64, path: &str, now: Timestamp) -> Result<()> {
        // A link to a directory is no directory.
        let place = self.resolve_name(from, path)?;
        let name = match &place.name {
            Last::Name(name) => name,
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
        };
        match self.entries(place.existing()?)?.is_empty() {
            true => self.remove_name(place.parent, name, now),
            false => Err(Errno::NOTEMPTY),
        }
    }

    /// Removes a name, and its node if that was the last thing that kept it.
    fn remove_name(&mut self, parent: u64, name: &str, now: Timestamp) -> Result<()> {
        let removed = self.entries_mut(parent)?.remove(name);
        let inode = removed.ok_or(Errno::NOENT)?;
        self.uncharge(NAME_COST + name.len() as u64);
        let node = self.node_mut(inode)?;
        node.links -= 1;
        node.times.changed = now;
        self.entry_changed(parent, now);
        self.release(inode);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        old: (u64, &str),
        new: (u64, &str),
        now: Timestamp,
    ) -> Result<()> {
        let from = self.resolve_name(old.0, old.1)?;
        let to = self.resolve_name(new.0, new.1)?;
        let (Last::Name(old_name), Last::Name(new_name)) = (from.name, to.name) else {
            return Err(Errno::BUSY);
        };
        let inode = from.node.ok_or(Errno::NOENT)?;
        let moves_dir = self.is_dir(inode);
        if !moves_dir && (from.slash || to.slash) {
            return Err(Errno::NOTDIR);
        }
        if moves_dir && self.is_same_or_below(to.parent, inode) {
            return Err(Errno::INVAL);
        }
        if self.node(to.parent)?.links == 0 {
            return Err(Errno::NOENT);
        }
        match to.node {
            // Both are names of one file, and both stay.
            Some(there) if there == inode => return Ok(()),
            // The directory that it would replace holds it.
            Some(there) if self.is_same_or_below(from.parent, there) => {
                return Err(Errno::NOTEMPTY);
            }
            Some(there) => match (moves_dir, self.is_dir(there)) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) if !self.entries(there)?.is_empty() => return Err(Errno::NOTEMPTY),
                _ => {}
            },
            None => {}
        }
        // The last call that can fail: nothing has been changed until here.
        let (before, after) = (old_name.len() as u64, new_name.len() as u64);
        self.charge(after)?;
        self.uncharge(before);
        if to.node.is_some() {
            self.remove_name(to.parent, &new_name, now)?;
        }
        self.entries_mut(from.parent)?.remove(&old_name);
        self.entries_mut(to.parent)?.insert(new_name, inode);
        self.entry_changed(from.parent, now);
        self.entry_changed(to.parent, now);
        let node = self.node_mut(inode)?;
        node.times.changed = now;
        if let Body::Dir { parent, .. } = &mut node.body {
            *parent = to.parent;
        }
        Ok(())
    }

    /// Whether the directory `dir` is `other`, or lies at any depth in `other`.
    fn is_same_or_below(&self, dir: u64, other: u64) -> bool {
        let mut at = dir;
        loop {
            if at == other {
                return true;
            }
            match self.nodes.get(&at).map(|node| &node.body) {
                Some(Body::Dir { parent, .. }) if *parent != at => at = *parent,
                _ => return false,
            }
        }
    }

    /// The target of a symbolic link.
    pub(super) fn read_link(&self, from: u64, path: &str) -> Result<&str> {
        let inode = self.resolve(from, path, false)?.existing()?;
        match &self.node(inode)?.body {
            Body::Link(target) => Ok(target),
            _ => Err(Errno::INVAL),
        }
    }
}
