//! What changes names: making, linking, renaming and removing.

use std::collections::BTreeMap;

use super::walk::{Last, Place};
use super::{Body, NAME_COST, NODE_COST, Node, Times, Tmpfs};
use crate::abi::Result;
use crate::errno::Errno;

impl Tmpfs {
    /// The directory and the name for something new.
    fn free(&self, place: Place) -> Result<(u64, String)> {
        match (place.name, place.node) {
            (Last::Name(name), None) => match self.node(place.parent)?.names {
                // The directory was deleted while it is open.
                0 => Err(Errno::Noent),
                _ => Ok((place.parent, name)),
            },
            _ => Err(Errno::Exist),
        }
    }

    /// Gives something new a name.
    fn make(&mut self, parent: u64, name: String, body: Body, now: u64) -> Result<u64> {
        let inode = self.next;
        let node = Node {
            body,
            names: 1,
            open: 0,
            times: Times::all(now),
        };
        self.charge(NODE_COST + node.size() + NAME_COST + name.len() as u64)?;
        self.entries_mut(parent)?.insert(name, inode);
        self.next += 1;
        self.nodes.insert(inode, node);
        self.touch(parent, now);
        Ok(inode)
    }

    /// An empty file at a place where there is nothing.
    pub(super) fn create(&mut self, place: Place, now: u64) -> Result<u64> {
        let (parent, name) = self.free(place)?;
        self.make(parent, name, Body::File(Vec::new()), now)
    }

    pub(super) fn create_dir(&mut self, from: u64, path: &str, now: u64) -> Result<()> {
        let place = self.walk_to_name(from, path)?;
        let (parent, name) = self.free(place)?;
        let body = Body::Dir {
            entries: BTreeMap::new(),
            parent,
        };
        self.make(parent, name, body, now).map(drop)
    }

    pub(super) fn symlink(&mut self, target: &str, from: u64, path: &str, now: u64) -> Result<()> {
        let place = self.walk_to_name(from, path)?;
        if place.slash && place.node.is_none() {
            return Err(Errno::Noent);
        }
        let (parent, name) = self.free(place)?;
        self.make(parent, name, Body::Link(target.into()), now)
            .map(drop)
    }

    pub(super) fn link(&mut self, old: (u64, &str), new: (u64, &str), now: u64) -> Result<()> {
        let inode = self.walk(old.0, old.1, false)?.existing()?;
        let place = self.walk_to_name(new.0, new.1)?;
        if place.slash && place.node.is_none() {
            return Err(Errno::Noent);
        }
        let (parent, name) = self.free(place)?;
        if self.is_dir(inode) {
            return Err(Errno::Perm);
        }
        self.charge(NAME_COST + name.len() as u64)?;
        self.entries_mut(parent)?.insert(name, inode);
        let node = self.node_mut(inode)?;
        node.names += 1;
        node.times.change = now;
        self.touch(parent, now);
        Ok(())
    }

    pub(super) fn unlink(&mut self, from: u64, path: &str, now: u64) -> Result<()> {
        let place = self.walk_to_name(from, path)?;
        let Last::Name(name) = &place.name else {
            return Err(Errno::Isdir);
        };
        match self.is_dir(place.existing()?) {
            true => Err(Errno::Isdir),
            false if place.slash => Err(Errno::Notdir),
            false => self.forget(place.parent, name, now),
        }
    }

    pub(super) fn remove_dir(&mut self, from: u64, path: &str, now: u64) -> Result<()> {
        // A link to a directory is none.
        let place = self.walk_to_name(from, path)?;
        let name = match &place.name {
            Last::Name(name) => name,
            Last::Dot => return Err(Errno::Inval),
            Last::DotDot => return Err(Errno::Notempty),
        };
        match self.entries(place.existing()?)?.is_empty() {
            true => self.forget(place.parent, name, now),
            false => Err(Errno::Notempty),
        }
    }

    /// Takes a name away.
    fn forget(&mut self, parent: u64, name: &str, now: u64) -> Result<()> {
        let removed = self.entries_mut(parent)?.remove(name);
        let inode = removed.ok_or(Errno::Noent)?;
        self.give_back(NAME_COST + name.len() as u64);
        let node = self.node_mut(inode)?;
        node.names -= 1;
        node.times.change = now;
        self.touch(parent, now);
        self.release(inode);
        Ok(())
    }

    pub(super) fn rename(&mut self, old: (u64, &str), new: (u64, &str), now: u64) -> Result<()> {
        let from = self.walk_to_name(old.0, old.1)?;
        let to = self.walk_to_name(new.0, new.1)?;
        let (Last::Name(old_name), Last::Name(new_name)) = (from.name, to.name) else {
            return Err(Errno::Busy);
        };
        let inode = from.node.ok_or(Errno::Noent)?;
        let moves_dir = self.is_dir(inode);
        if !moves_dir && (from.slash || to.slash) {
            return Err(Errno::Notdir);
        }
        if moves_dir && self.is_below(to.parent, inode) {
            return Err(Errno::Inval);
        }
        if self.node(to.parent)?.names == 0 {
            return Err(Errno::Noent);
        }
        match to.node {
            // Two names of one file stay.
            Some(there) if there == inode => return Ok(()),
            // It would have to hold itself.
            Some(there) if self.is_below(from.parent, there) => return Err(Errno::Notempty),
            Some(there) => match (moves_dir, self.is_dir(there)) {
                (true, false) => return Err(Errno::Notdir),
                (false, true) => return Err(Errno::Isdir),
                (true, true) if !self.entries(there)?.is_empty() => return Err(Errno::Notempty),
                _ => {}
            },
            None => {}
        }
        // Last of what can fail, before anything is changed.
        let (before, after) = (old_name.len() as u64, new_name.len() as u64);
        self.charge(after)?;
        self.give_back(before);
        if to.node.is_some() {
            self.forget(to.parent, &new_name, now)?;
        }
        self.entries_mut(from.parent)?.remove(&old_name);
        self.entries_mut(to.parent)?.insert(new_name, inode);
        self.touch(from.parent, now);
        self.touch(to.parent, now);
        let node = self.node_mut(inode)?;
        node.times.change = now;
        if let Body::Dir { parent, .. } = &mut node.body {
            *parent = to.parent;
        }
        Ok(())
    }

    /// Whether a directory is another one, or lies in it.
    fn is_below(&self, dir: u64, other: u64) -> bool {
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

    pub(super) fn read_link(&self, from: u64, path: &str) -> Result<&str> {
        let inode = self.walk(from, path, false)?.existing()?;
        match &self.node(inode)?.body {
            Body::Link(target) => Ok(target),
            _ => Err(Errno::Inval),
        }
    }
}
