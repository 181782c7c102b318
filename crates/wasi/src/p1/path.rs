//! Calls that take a path (`path_*`) other than `path_open`, on directories of the host's. Those on
//! directories in memory are in `tmpfs.rs`.

use super::errno::Errno;
use super::function::Function;
use super::layout;
use super::memory::{Memory, Result, arg, arg64};
use crate::fs::OpenDir;
use crate::guest::rights;
use crate::guest::table::{Kind, Table};

/// `lookupflags` of the specification.
pub(super) const SYMLINK_FOLLOW: u32 = 1;

/// Makes one of the calls.
pub(super) fn call(
    table: &Table,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    match function {
        Function::PathCreateDirectory => {
            let path = path(memory, a, 1)?;
            let dir = dir_to_change(table, arg(a, 0), rights::PATH_CREATE_DIRECTORY)?;
            Ok(dir.create_dir(&path)?)
        }
        Function::PathRemoveDirectory => {
            let path = path(memory, a, 1)?;
            let dir = dir_to_change(table, arg(a, 0), rights::PATH_REMOVE_DIRECTORY)?;
            Ok(dir.remove_dir(&path)?)
        }
        Function::PathUnlinkFile => {
            let path = path(memory, a, 1)?;
            let dir = dir_to_change(table, arg(a, 0), rights::PATH_UNLINK_FILE)?;
            Ok(dir.unlink(&path)?)
        }
        Function::PathFilestatGet => {
            let path = path(memory, a, 2)?;
            let dir = table.dir(arg(a, 0), rights::PATH_FILESTAT_GET)?;
            let stat = dir.stat_at(&path, follows(arg(a, 1)))?;
            memory.write(arg(a, 4), &layout::filestat(&stat))
        }
        Function::PathFilestatSetTimes => {
            let path = path(memory, a, 2)?;
            let times = layout::new_times(arg64(a, 4), arg64(a, 5), arg(a, 6))?;
            let dir = dir_to_change(table, arg(a, 0), rights::PATH_FILESTAT_SET_TIMES)?;
            Ok(dir.set_times_at(&path, follows(arg(a, 1)), times)?)
        }
        Function::PathLink => {
            let (old, new) = link_paths(memory, a)?;
            let source = (arg(a, 0), rights::PATH_LINK_SOURCE);
            let target = (arg(a, 4), rights::PATH_LINK_TARGET);
            let (from, to) = dirs_to_change(table, source, target)?;
            Ok(from.link(&old, to, &new)?)
        }
        Function::PathRename => {
            let (old, new) = (path(memory, a, 1)?, path(memory, a, 4)?);
            let source = (arg(a, 0), rights::PATH_RENAME_SOURCE);
            let target = (arg(a, 3), rights::PATH_RENAME_TARGET);
            let (from, to) = dirs_to_change(table, source, target)?;
            Ok(from.rename(&old, to, &new)?)
        }
        Function::PathSymlink => {
            let (target, path) = (path(memory, a, 0)?, path(memory, a, 3)?);
            let dir = dir_to_change(table, arg(a, 2), rights::PATH_SYMLINK)?;
            Ok(dir.symlink(&target, &path)?)
        }
        Function::PathReadlink => {
            let path = path(memory, a, 1)?;
            let dir = table.dir(arg(a, 0), rights::PATH_READLINK)?;
            write_target(&dir.read_link(&path)?, a, memory)
        }
        _ => Err(Errno::Nosys),
    }
}

/// The path whose address is the argument at `index` and whose length is the next.
pub(super) fn path(memory: &Memory<'_>, a: &[u64], index: usize) -> Result<String> {
    let path = memory.text(arg(a, index), arg(a, index + 1))?;
    match path.is_empty() {
        true => Err(Errno::Noent),
        false => Ok(path),
    }
}

/// Whether these `lookupflags` ask to follow a symbolic link in the last name.
pub(super) fn follows(lookupflags: u32) -> bool {
    lookupflags & SYMLINK_FOLLOW != 0
}

/// The two paths of a `path_link`, which as in Wasmtime must not follow a symbolic link.
pub(super) fn link_paths(memory: &Memory<'_>, a: &[u64]) -> Result<(String, String)> {
    let paths = (path(memory, a, 2)?, path(memory, a, 5)?);
    match follows(arg(a, 1)) {
        true => Err(Errno::Inval),
        false => Ok(paths),
    }
}

/// Writes the target of a symbolic link into the buffer of a `path_readlink`, as much as fits.
pub(super) fn write_target(target: &str, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let length = target.len().min(arg(a, 4) as usize);
    memory.write(arg(a, 3), &target.as_bytes()[..length])?;
    memory.write_u32(arg(a, 5), length as u32)
}

/// The directory that a call changes, behind a descriptor that has the right. A directory that the
/// guest may only read has lost such rights; there the call itself finds the error.
fn dir_to_change(table: &Table, fd: u32, right: u64) -> Result<&OpenDir> {
    match is_read_only_dir(table, fd) {
        true => table.dir(fd, 0),
        false => table.dir(fd, right),
    }
}

/// The same for two directories, each given as descriptor and right. If one of them is read-only,
/// the rights of neither are looked at.
fn dirs_to_change(
    table: &Table,
    (from, from_right): (u32, u64),
    (to, to_right): (u32, u64),
) -> Result<(&OpenDir, &OpenDir)> {
    match is_read_only_dir(table, from) || is_read_only_dir(table, to) {
        true => Ok((table.dir(from, 0)?, table.dir(to, 0)?)),
        false => Ok((table.dir(from, from_right)?, table.dir(to, to_right)?)),
    }
}

fn is_read_only_dir(table: &Table, fd: u32) -> bool {
    match table.get(fd).map(|descriptor| &descriptor.kind) {
        Ok(Kind::Dir(dir)) => dir.read_only,
        _ => false,
    }
}
