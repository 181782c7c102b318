//! Where a path leads: as `openat2` with `RESOLVE_BENEATH`, by which cap-std resolves paths.

use std::collections::VecDeque;

use super::{Body, LONGEST_NAME, Tmpfs};
use crate::abi::Result;
use crate::errno::{ESCAPE, Errno};

/// How many symbolic links one path may lead over, as on Linux.
const MOST_LINKS: usize = 40;
/// The longest path, in bytes with its zero byte, as on Linux.
const LONGEST_PATH: usize = 4096;

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory that holds the name.
    pub(super) parent: u64,
    /// The last name.
    pub(super) name: Last,
    /// What it names, if anything.
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
    pub(super) fn existing(&self) -> Result<u64> {
        self.node.ok_or(Errno::Noent)
    }
}

impl Tmpfs {
    /// Follows a path from a directory; the last link only where asked for, or before a slash.
    pub(super) fn walk(&self, from: u64, path: &str, follow: bool) -> Result<Place> {
        self.go(from, path, follow, false)
    }

    /// Follows a path to its last name and no further: with a slash behind it or without.
    pub(super) fn walk_to_name(&self, from: u64, path: &str) -> Result<Place> {
        if path.len() >= LONGEST_PATH {
            return Err(Errno::Nametoolong);
        }
        match path.trim_end_matches('/') {
            "" => Err(ESCAPE),
            name => {
                let place = self.go(from, name, false, false)?;
                let slash = path.ends_with('/');
                Ok(Place { slash, ..place })
            }
        }
    }

    /// The same for a file that is made where there is none, which no path with a slash at its end
    /// names.
    pub(super) fn walk_to_make(&self, from: u64, path: &str, follow: bool) -> Result<Place> {
        self.go(from, path, follow, true)
    }

    fn go(&self, from: u64, path: &str, follow: bool, makes: bool) -> Result<Place> {
        if path.len() >= LONGEST_PATH {
            return Err(Errno::Nametoolong);
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
                _ if makes && slash && left.is_empty() => return Err(Errno::Isdir),
                name if name.len() > LONGEST_NAME => return Err(Errno::Nametoolong),
                name => {
                    let is_last = left.is_empty();
                    let Some(&inode) = entries.get(name) else {
                        return match is_last {
                            true => Ok(Place {
                                parent: dir,
                                name: Last::Name(part),
                                node: None,
                                slash,
                            }),
                            false => Err(Errno::Noent),
                        };
                    };
                    match &self.node(inode)?.body {
                        Body::Link(target) if !is_last || follow || slash => {
                            links += 1;
                            if links > MOST_LINKS {
                                return Err(Errno::Loop);
                            }
                            if target.starts_with('/') {
                                return Err(ESCAPE);
                            }
                            slash |= is_last && target.ends_with('/');
                            for part in parts(target).into_iter().rev() {
                                left.push_front(part);
                            }
                        }
                        Body::Dir { .. } if !is_last => {
                            above.push(inode);
                            last = Last::Dot;
                        }
                        Body::File(_) if !is_last => return Err(Errno::Notdir),
                        body => {
                            if slash && !matches!(body, Body::Dir { .. }) {
                                return Err(Errno::Notdir);
                            }
                            return Ok(Place {
                                parent: dir,
                                name: Last::Name(part),
                                node: Some(inode),
                                slash,
                            });
                        }
                    }
                }
            }
        }
        // It ended in a directory that was walked into, not in a name.
        let dir = above.pop().ok_or(ESCAPE)?;
        Ok(Place {
            parent: dir,
            name: last,
            node: Some(dir),
            slash: true,
        })
    }
}

/// The names in a path. A slash at the end adds none.
fn parts(path: &str) -> VecDeque<String> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(String::from)
        .collect()
}
