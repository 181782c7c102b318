//! Directories that may only be read: what calls that write are answered.
//!
//! The answers are those of Linux for a directory that is mounted read-only, in the order in which it looks: a name
//! that is there already, or a part of a path that is not, comes before "read-only file system". Nothing that would
//! write is ever tried.

use std::path::Path;

use cap_std::fs::Dir;

use super::Function;
use super::abi::{Memory, Result, arg};
use super::errno::{ESCAPE, Errno};
use super::fd::{DirFd, Kind, Table};
use super::path::{SYMLINK_FOLLOW, path};

/// Why a call that changes names or times must not be made, if it must not.
pub(super) fn check(
    table: &Table,
    function: Function,
    a: &[u64],
    memory: &Memory<'_>,
) -> Result<()> {
    match function {
        Function::PathCreateDirectory => match dir(table, arg(a, 0)) {
            Some(open) => {
                let path = path(memory, a, 1)?;
                Err(making(&open.dir, path.trim_end_matches('/'))?)
            }
            None => Ok(()),
        },
        Function::PathSymlink => match dir(table, arg(a, 2)) {
            Some(open) => {
                let (target, link) = (path(memory, a, 0)?, path(memory, a, 3)?);
                match target.starts_with('/') {
                    true => Err(ESCAPE),
                    false => Err(making(&open.dir, &link)?),
                }
            }
            None => Ok(()),
        },
        Function::PathRemoveDirectory | Function::PathUnlinkFile => {
            let Some(open) = dir(table, arg(a, 0)) else {
                return Ok(());
            };
            let path = path(memory, a, 1)?;
            let path = path.trim_end_matches('/');
            match (end(&open.dir, path)?, function) {
                (End::Name, _) => parent(&open.dir, path)?,
                (_, Function::PathUnlinkFile) => return Err(Errno::Isdir),
                (End::Dot, _) => return Err(Errno::Inval),
                (End::DotDot, _) => return Err(Errno::Notempty),
            }
            Err(Errno::Rofs)
        }
        Function::PathFilestatSetTimes => {
            let Some(open) = dir(table, arg(a, 0)) else {
                return Ok(());
            };
            let path = path(memory, a, 2)?;
            match arg(a, 1) & SYMLINK_FOLLOW != 0 {
                true => open.dir.metadata(path)?,
                false => open.dir.symlink_metadata(path)?,
            };
            Err(Errno::Rofs)
        }
        Function::PathLink => {
            let Some((from, to)) = pair(table, arg(a, 0), arg(a, 4))? else {
                return Ok(());
            };
            let (old, new) = (path(memory, a, 2)?, path(memory, a, 5)?);
            if arg(a, 1) & SYMLINK_FOLLOW != 0 {
                return Err(Errno::Inval);
            }
            from.dir.symlink_metadata(old)?;
            match (making(&to.dir, &new)?, to.read_only) {
                // It would be another name for what may only be read.
                (Errno::Rofs, false) => Err(Errno::Xdev),
                (errno, _) => Err(errno),
            }
        }
        Function::PathRename => {
            let Some((from, to)) = pair(table, arg(a, 0), arg(a, 3))? else {
                return Ok(());
            };
            let (old, new) = (path(memory, a, 1)?, path(memory, a, 4)?);
            let mut dots = false;
            for (open, path) in [(from, old), (to, new)] {
                let path = path.trim_end_matches('/');
                dots |= end(&open.dir, path)? != End::Name;
                parent(&open.dir, path)?;
            }
            match from.preopen == to.preopen {
                // Two mounts are two file systems.
                false => Err(Errno::Xdev),
                true if dots => Err(Errno::Busy),
                true => Err(Errno::Rofs),
            }
        }
        _ => Ok(()),
    }
}

/// The directory behind a descriptor, where it may only be read.
fn dir(table: &Table, fd: u32) -> Option<&DirFd> {
    match &table.get(fd).ok()?.kind {
        Kind::Dir(open) if open.read_only => Some(open),
        _ => None,
    }
}

/// Both directories, where one of them may only be read.
fn pair(table: &Table, from: u32, to: u32) -> Result<Option<(&DirFd, &DirFd)>> {
    if dir(table, from).is_none() && dir(table, to).is_none() {
        return Ok(None);
    }
    Ok(Some((table.dir(from, 0)?, table.dir(to, 0)?)))
}

/// What a path ends with.
#[derive(PartialEq, Eq)]
enum End {
    Name,
    Dot,
    DotDot,
}

/// What a path without a slash at its end ends with; fails where that leads out.
fn end(dir: &Dir, path: &str) -> Result<End> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let end = match last {
        "" => return Err(ESCAPE),
        "." => End::Dot,
        ".." => End::DotDot,
        _ => return Ok(End::Name),
    };
    match dir.metadata(path)?.is_dir() {
        true => Ok(end),
        false => Err(Errno::Notdir),
    }
}

/// The error of making something at this path, which is no directory if it ends with a slash.
fn making(dir: &Dir, path: &str) -> Result<Errno> {
    match dir.symlink_metadata(path) {
        Ok(_) => Ok(Errno::Exist),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            parent(dir, path)?;
            match path.ends_with('/') {
                true => Ok(Errno::Noent),
                false => Ok(Errno::Rofs),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Fails where the directory that holds the last name of a path is not there.
pub(super) fn parent(dir: &Dir, path: &str) -> Result<()> {
    let parent = match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        // The directory itself, or the root, which no path may begin at.
        Some(_) => return Ok(()),
        None => return Err(ESCAPE),
    };
    match dir.metadata(parent)?.is_dir() {
        true => Ok(()),
        false => Err(Errno::Notdir),
    }
}
