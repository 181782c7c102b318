//! The table of the host's resources.
//!
//! Numbers are given as `wasmtime-wasi` gives them: a poll tells of its pollables in the order of
//! what they wait for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::resource::{Kind, Resource, Timer};
use super::stop::{Called, trap};

/// How many resources a guest may have. Each takes the host memory.
const MAX_RESOURCES: usize = 1 << 16;

/// All resources of a guest, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceTable {
    entries: Vec<Entry>,
    /// The first free entry.
    free: Option<u32>,
    /// How many resources keep each of the guest's descriptors open.
    #[serde(skip)]
    fds: BTreeMap<u32, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    Free {
        next: Option<u32>,
    },
    Used {
        resource: Resource,
        /// The resource that must live as long.
        parent: Option<u32>,
        /// How many resources have this one as their parent.
        #[serde(skip)]
        children: u32,
    },
}

impl ResourceTable {
    /// Adds a resource.
    pub(crate) fn push(&mut self, resource: impl Into<Resource>) -> Called<u32> {
        self.insert(resource.into(), None)
    }

    /// Adds a resource that depends on another.
    pub(crate) fn push_child(&mut self, resource: impl Into<Resource>, of: u32) -> Called<u32> {
        *self.children(of)? += 1;
        self.insert(resource.into(), Some(of))
    }

    /// Adds a timer.
    pub(crate) fn push_timer(&mut self, timer: Timer) -> Called<u32> {
        self.insert(Resource::Timer(timer), None)
    }

    fn insert(&mut self, resource: Resource, parent: Option<u32>) -> Called<u32> {
        let fd = resource.fd();
        let used = Entry::Used {
            resource,
            parent,
            children: 0,
        };
        let rep = self.insert_entry(used)?;
        if let Some(fd) = fd {
            *self.fds.entry(fd).or_default() += 1;
        }
        Ok(rep)
    }

    /// Puts an entry into a free slot, and gives its index.
    fn insert_entry(&mut self, used: Entry) -> Called<u32> {
        if let Some(rep) = self.free {
            let Some(free @ Entry::Free { .. }) = self.entries.get_mut(rep as usize) else {
                return trap("the resource table is damaged");
            };
            if let Entry::Free { next } = std::mem::replace(free, used) {
                self.free = next;
            }
            return Ok(rep);
        }
        if self.entries.len() >= MAX_RESOURCES {
            return trap("resource table has no free keys");
        }
        self.entries.push(used);
        Ok(self.entries.len() as u32 - 1)
    }

    fn children(&mut self, rep: u32) -> Called<&mut u32> {
        match self.entries.get_mut(rep as usize) {
            Some(Entry::Used { children, .. }) => Ok(children),
            _ => trap("resource not present"),
        }
    }

    /// The resource of this number, whatever its kind.
    pub(crate) fn any(&self, rep: u32) -> Called<&Resource> {
        match self.entries.get(rep as usize) {
            Some(Entry::Used { resource, .. }) => Ok(resource),
            _ => trap("resource not present"),
        }
    }

    /// The resource of this number, which must be of the kind that is asked for.
    pub(crate) fn get<T: Kind>(&self, rep: u32) -> Called<&T> {
        match T::of(self.any(rep)?) {
            Some(found) => Ok(found),
            None => trap("resource is of another type"),
        }
    }

    /// The resource of this number, which must be of the kind that is asked for.
    pub(crate) fn get_mut<T: Kind>(&mut self, rep: u32) -> Called<&mut T> {
        let found = match self.entries.get_mut(rep as usize) {
            Some(Entry::Used { resource, .. }) => resource,
            _ => return trap("resource not present"),
        };
        match T::of_mut(found) {
            Some(found) => Ok(found),
            None => trap("resource is of another type"),
        }
    }

    /// The resource on which another depends.
    pub(crate) fn parent(&self, rep: u32) -> Called<u32> {
        match self.entries.get(rep as usize) {
            Some(Entry::Used {
                parent: Some(parent),
                ..
            }) => Ok(*parent),
            _ => trap("resource not present"),
        }
    }

    /// Removes a resource on which no other depends.
    pub(crate) fn delete(&mut self, rep: u32) -> Called<Resource> {
        if *self.children(rep)? > 0 {
            return trap("resource has children");
        }
        let free = Entry::Free { next: self.free };
        let Some(entry) = self.entries.get_mut(rep as usize) else {
            return trap("resource not present");
        };
        let Entry::Used {
            resource, parent, ..
        } = std::mem::replace(entry, free)
        else {
            return trap("resource not present");
        };
        self.free = Some(rep);
        if let Some(parent) = parent {
            let children = self.children(parent)?;
            *children = children.saturating_sub(1);
        }
        if let Some(fd) = resource.fd() {
            let count = self.fds.remove(&fd).unwrap_or(0).saturating_sub(1);
            if count > 0 {
                self.fds.insert(fd, count);
            }
        }
        Ok(resource)
    }

    /// Removes a resource on which no other depends, and which must be of the kind that is asked
    /// for.
    pub(crate) fn take<T: Kind + Clone>(&mut self, rep: u32) -> Called<T> {
        let taken = self.get::<T>(rep)?.clone();
        self.delete(rep)?;
        Ok(taken)
    }

    /// The resources that depend on another.
    pub(crate) fn children_of(&self, rep: u32) -> impl Iterator<Item = &Resource> {
        self.entries.iter().filter_map(move |entry| match entry {
            Entry::Used {
                resource,
                parent: Some(parent),
                ..
            } if *parent == rep => Some(resource),
            _ => None,
        })
    }

    /// Whether a resource keeps this descriptor of the guest's open.
    pub(crate) fn keeps_open(&self, fd: u32) -> bool {
        self.fds.contains_key(&fd)
    }

    /// Counts what depends on each resource and descriptor, which a snapshot leaves out. It fails where there are
    /// more resources than a guest can have, or one depends on one that there is not.
    pub(crate) fn restored(mut self) -> Option<Self> {
        if self.entries.len() > MAX_RESOURCES {
            return None;
        }
        let used = self.entries.iter().filter_map(|entry| match entry {
            Entry::Used { resource, .. } => resource.fd(),
            Entry::Free { .. } => None,
        });
        for fd in used.collect::<Vec<_>>() {
            *self.fds.entry(fd).or_default() += 1;
        }
        let parents = self.entries.iter().filter_map(|entry| match entry {
            Entry::Used { parent, .. } => *parent,
            Entry::Free { .. } => None,
        });
        for parent in parents.collect::<Vec<_>>() {
            *self.children(parent).ok()? += 1;
        }
        Some(self)
    }
}
