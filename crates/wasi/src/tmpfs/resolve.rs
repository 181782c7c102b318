//! Resolving paths in a directory in memory, as `openat2` does with `RESOLVE_BENEATH`, by which
//! cap-std resolves paths on the host.

use std::collections::VecDeque;

use super::tree::{Body, MAX_NAME_BYTES, Tmpfs};
use crate::errno::{ESCAPE, Errno, Result};
use crate::fs::MAX_PATH_BYTES;

/// How many symbolic links one path may lead over, as on Linux.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory that holds the name.
    pub(super) parent: u64,
    /// The last name.
    pub(super) name: Last,
    /// The node of that name, if there is one.
    pub(super) node: Option<u64>,
    /// The path ends with a slash: what it names must be a directory.
    pub(super) slash: bool,
}

/// What a path ends with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Last {
    Name(String),
    Dot,
    DotDot,
}

impl Place {
    fn named(parent: u64, name: String, node: Option<u64>, slash: bool) -> Self {
        Self {
            parent,
            name: Last::Name(name),
            node,
            slash,
        }
    }

    /// The node, which must exist.
    pub(super) fn existing(&self) -> Result<u64> {
        self.node.ok_or(Errno::NOENT)
    }
}

impl Tmpfs {
    /// Follows a path from a directory. A symbolic link in the last name is followed if `follow`
    /// says so, or if a slash stands behind it.
    pub(super) fn resolve(&self, from: u64, path: &str, follow: bool) -> Result<Place> {
        self.walk(from, path, follow, false)
    }

    /// Follows a path to its last name, and does not follow a link there even before a slash.
    pub(super) fn resolve_name(&self, from: u64, path: &str) -> Result<Place> {
        if path.len() >= MAX_PATH_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        match path.trim_end_matches('/') {
            "" => Err(ESCAPE),
            name => {
                let place = self.walk(from, name, false, false)?;
                let slash = path.ends_with('/');
                Ok(Place { slash, ..place })
            }
        }
    }

    /// Follows a path for an open that creates a file where there is none. Such a path must not end
    /// with a slash.
    pub(super) fn resolve_to_create(&self, from: u64, path: &str, follow: bool) -> Result<Place> {
        self.walk(from, path, follow, true)
    }

    fn walk(&self, from: u64, path: &str, follow: bool, creates: bool) -> Result<Place> {
        if path.len() >= MAX_PATH_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        if path.starts_with('/') {
            return Err(ESCAPE);
        }
        let mut above = vec![from];
        let mut links = 0;
        let mut left: VecDeque<String> = parts(path);
        let mut slash = path.ends_with('/');
        let mut last = Last::Dot;
        while let Some(part) = left.pop_front() {
            let Some(&dir) = above.last() else {
                return Err(ESCAPE);
            };
            let entries = self.entries(dir)?;
            match part.as_str() {
                "." => last = Last::Dot,
                ".." => {
                    above.pop();
                    if above.is_empty() {
                        return Err(ESCAPE);
                    }
                    last = Last::DotDot;
                }
                _ if creates && slash && left.is_empty() => return Err(Errno::ISDIR),
                name if name.len() > MAX_NAME_BYTES => return Err(Errno::NAMETOOLONG),
                name => {
                    let is_last = left.is_empty();
                    let Some(&inode) = entries.get(name) else {
                        return match is_last {
                            true => Ok(Place::named(dir, part, None, slash)),
                            false => Err(Errno::NOENT),
                        };
                    };
                    match &self.node(inode)?.body {
                        Body::Link(target) if !is_last || follow || slash => {
                            links += 1;
                            if links > MAX_LINKS {
                                return Err(Errno::LOOP);
                            }
                            slash |= is_last && target.ends_with('/');
                            put_before(&mut left, target)?;
                        }
                        Body::Dir { .. } if !is_last => {
                            above.push(inode);
                            last = Last::Dot;
                        }
                        Body::File(_) if !is_last => return Err(Errno::NOTDIR),
                        body => {
                            if slash && !matches!(body, Body::Dir { .. }) {
                                return Err(Errno::NOTDIR);
                            }
                            return Ok(Place::named(dir, part, Some(inode), slash));
                        }
                    }
                }
            }
        }
        // The path ends with `.` or `..`, or is the directory itself.
        let dir = above.pop().ok_or(ESCAPE)?;
        Ok(Place {
            parent: dir,
            name: last,
            node: Some(dir),
            slash: true,
        })
    }
}

/// Puts the names in the target of a symbolic link before those that are left.
fn put_before(left: &mut VecDeque<String>, target: &str) -> Result<()> {
    if target.starts_with('/') {
        return Err(ESCAPE);
    }
    for part in parts(target).into_iter().rev() {
        left.push_front(part);
    }
    Ok(())
}

/// The names in a path. A slash at the end adds none.
fn parts(path: &str) -> VecDeque<String> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(String::from)
        .collect()
}
