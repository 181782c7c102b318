//! The calls on directories in memory and what lies in them. None of them ever blocks.

use dormouse_model::Timestamp;

use super::errno::Errno;
use super::function::Function;
use super::memory::{Memory, Result, arg, arg64};
use super::open::OpenArguments;
use super::path::{follows, link_paths, path, write_target};
use super::{fd, layout, readdir};
use crate::fs::FileType;
use crate::guest::Ctx;
use crate::guest::table::{Descriptor, Kind, Table};
use crate::guest::{fdflags, rights};
use crate::tmpfs::OpenNode;

/// Makes the call if it is one on something in memory; else gives `None`.
pub(super) fn call(
    ctx: &mut Ctx,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Option<Result<()>> {
    // Most guests have no directory in memory.
    if ctx.resources.tmpfs.is_empty() {
        return None;
    }
    let is = |index| matches!(ctx.table.get(arg(a, index)), Ok(open) if open.is_memory());
    let is_in_memory = match function {
        Function::PathSymlink => is(2),
        Function::PathLink => is(0) || is(4),
        Function::PathRename => is(0) || is(3),
        // These depend on the descriptor alone, and not on what it stands for.
        Function::FdClose
        | Function::FdRenumber
        | Function::FdFdstatGet
        | Function::FdFdstatSetFlags
        | Function::FdFdstatSetRights
        | Function::FdFilestatGet
        | Function::FdPrestatGet
        | Function::FdPrestatDirName => false,
        other => (other.is_fd_call() || other.is_path_call()) && is(0),
    };
    let now = ctx.resources.clock.wall();
    is_in_memory.then(|| match function.is_path_call() {
        true => path_call(&mut ctx.table, function, a, memory, now),
        false => fd_call(&mut ctx.table, function, a, memory, now),
    })
}

fn fd_call(
    table: &mut Table,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
    now: Timestamp,
) -> Result<()> {
    let number = arg(a, 0);
    match function {
        Function::FdRead => fd_read(table, a, memory, now),
        Function::FdPread => {
            let open = positioned(table, number, rights::FD_READ)?;
            let iovecs = memory.iovecs(arg(a, 1), arg(a, 2))?;
            memory.check_result(arg(a, 4))?;
            let mut at = offset(arg64(a, 3))?;
            let count = memory.fill(&iovecs, |buffer| read(open, buffer, &mut at, now))?;
            memory.write_u32(arg(a, 4), count)
        }
        Function::FdWrite => fd_write(table, a, memory, now),
        Function::FdPwrite => {
            let open = positioned(table, number, rights::FD_WRITE)?;
            memory.check_result(arg(a, 4))?;
            let at = offset(arg64(a, 3))?;
            let appends = appends(table, number)?;
            let buffers = memory.slices(arg(a, 1), arg(a, 2))?;
            let (count, _) = open.write_at(&buffers, at, appends, now)?;
            memory.write_u32(arg(a, 4), count)
        }
        Function::FdSeek => fd_seek(table, a, memory),
        Function::FdTell => {
            let at = file(table, number, table.tell_right(number))?.offset;
            memory.write_u64(arg(a, 1), at)
        }
        Function::FdAdvise => {
            if arg(a, 3) > 5 {
                return Err(Errno::Inval);
            }
            file(table, number, rights::FD_ADVISE)?;
            offset(arg64(a, 2)).map(drop)
        }
        Function::FdAllocate => {
            file(table, number, 0)?;
            Err(fd::allocate_errno(table.get(number)?))
        }
        Function::FdDatasync => table.with(number, rights::FD_DATASYNC).map(drop),
        Function::FdSync => table.with(number, rights::FD_SYNC).map(drop),
        Function::FdFilestatSetSize => {
            let open = file(table, number, rights::FD_FILESTAT_SET_SIZE)?;
            Ok(open.set_size(arg64(a, 1), now)?)
        }
        Function::FdFilestatSetTimes => {
            let times = layout::new_times(arg64(a, 1), arg64(a, 2), arg(a, 3))?;
            let open = node(table.with(number, rights::FD_FILESTAT_SET_TIMES)?)?;
            Ok(open.set_times(times, now)?)
        }
        Function::FdReaddir => {
            memory.check_result(arg(a, 4))?;
            dir(table, number, rights::FD_READDIR)?;
            let entries = node_mut(table, number)?.entries(readdir::restarts(a))?;
            readdir::fill(entries, a, memory)
        }
        _ => Err(Errno::Nosys),
    }
}

fn fd_read(table: &mut Table, a: &[u64], memory: &mut Memory<'_>, now: Timestamp) -> Result<()> {
    let number = arg(a, 0);
    let open = file(table, number, rights::FD_READ)?;
    let iovecs = memory.iovecs(arg(a, 1), arg(a, 2))?;
    memory.check_result(arg(a, 3))?;
    let mut at = open.offset;
    let count = memory.fill(&iovecs, |buffer| read(open, buffer, &mut at, now))?;
    node_mut(table, number)?.offset = at;
    memory.write_u32(arg(a, 3), count)
}

fn fd_write(table: &mut Table, a: &[u64], memory: &mut Memory<'_>, now: Timestamp) -> Result<()> {
    let number = arg(a, 0);
    let open = file(table, number, rights::FD_WRITE)?;
    memory.check_result(arg(a, 3))?;
    let appends = appends(table, number)?;
    let buffers = memory.slices(arg(a, 1), arg(a, 2))?;
    let (count, end) = open.write_at(&buffers, open.offset, appends, now)?;
    if count > 0 {
        node_mut(table, number)?.offset = end;
    }
    memory.write_u32(arg(a, 3), count)
}

fn fd_seek(table: &mut Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let number = arg(a, 0);
    let (by, whence) = (arg64(a, 1) as i64, arg(a, 2));
    if whence > 2 || (whence == 0 && by < 0) {
        return Err(Errno::Inval);
    }
    let open = file(table, number, fd::seek_right(table, a))?;
    let base = match whence {
        0 => 0,
        1 => open.offset,
        _ => open.size()?,
    };
    memory.bytes(arg(a, 3), 8)?;
    let at = offset(base.checked_add_signed(by).ok_or(Errno::Inval)?)?;
    node_mut(table, number)?.offset = at;
    memory.write_u64(arg(a, 3), at)
}

fn path_call(
    table: &mut Table,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
    now: Timestamp,
) -> Result<()> {
    match function {
        Function::PathOpen => path_open(table, a, memory, now),
        Function::PathCreateDirectory => {
            let path = path(memory, a, 1)?;
            let dir = dir(table, arg(a, 0), rights::PATH_CREATE_DIRECTORY)?;
            Ok(dir.create_dir(&path, now)?)
        }
        Function::PathRemoveDirectory => {
            let path = path(memory, a, 1)?;
            let dir = dir(table, arg(a, 0), rights::PATH_REMOVE_DIRECTORY)?;
            Ok(dir.remove_dir(&path, now)?)
        }
        Function::PathUnlinkFile => {
            let path = path(memory, a, 1)?;
            let dir = dir(table, arg(a, 0), rights::PATH_UNLINK_FILE)?;
            Ok(dir.unlink(&path, now)?)
        }
        Function::PathFilestatGet => {
            let path = path(memory, a, 2)?;
            let dir = dir(table, arg(a, 0), rights::PATH_FILESTAT_GET)?;
            let stat = dir.stat_at(&path, follows(arg(a, 1)))?;
            memory.write(arg(a, 4), &layout::filestat(&stat))
        }
        Function::PathFilestatSetTimes => {
            let path = path(memory, a, 2)?;
            let times = layout::new_times(arg64(a, 4), arg64(a, 5), arg(a, 6))?;
            let dir = dir(table, arg(a, 0), rights::PATH_FILESTAT_SET_TIMES)?;
            Ok(dir.set_times_at(&path, follows(arg(a, 1)), times, now)?)
        }
        Function::PathLink => {
            let (old, new) = link_paths(memory, a)?;
            let source = (arg(a, 0), rights::PATH_LINK_SOURCE);
            let target = (arg(a, 4), rights::PATH_LINK_TARGET);
            let (from, to) = dirs(table, source, target)?;
            Ok(from.link(&old, to, &new, now)?)
        }
        Function::PathRename => {
            let (old, new) = (path(memory, a, 1)?, path(memory, a, 4)?);
            let source = (arg(a, 0), rights::PATH_RENAME_SOURCE);
            let target = (arg(a, 3), rights::PATH_RENAME_TARGET);
            let (from, to) = dirs(table, source, target)?;
            Ok(from.rename(&old, to, &new, now)?)
        }
        Function::PathSymlink => {
            let (target, path) = (path(memory, a, 0)?, path(memory, a, 3)?);
            let dir = dir(table, arg(a, 2), rights::PATH_SYMLINK)?;
            Ok(dir.symlink(&target, &path, now)?)
        }
        Function::PathReadlink => {
            let path = path(memory, a, 1)?;
            let dir = dir(table, arg(a, 0), rights::PATH_READLINK)?;
            write_target(&dir.read_link(&path)?, a, memory)
        }
        _ => Err(Errno::Nosys),
    }
}

fn path_open(table: &mut Table, a: &[u64], memory: &mut Memory<'_>, now: Timestamp) -> Result<()> {
    let path = path(memory, a, 2)?;
    let arguments = OpenArguments::read(a)?;
    // These are checked before anything is created.
    memory.check_result(arg(a, 8))?;
    table.check_room()?;
    let number = arg(a, 0);
    dir(table, number, 0)?;
    arguments.check(table, number, false)?;
    let node = dir(table, number, 0)?.open(&path, &arguments.request, now)?;
    let rights = arguments.rights_of(node.filetype() == FileType::Directory);
    let directory = table.get(number)?;
    let descriptor = directory.opened(Kind::Memory(node), rights, arguments.fdflags);
    let fd = table.insert(descriptor)?;
    memory.write_u32(arg(a, 8), fd)
}

/// Two directories that lie in one directory in memory, each given as descriptor and right.
fn dirs(table: &Table, from: (u32, u64), to: (u32, u64)) -> Result<(&OpenNode, &OpenNode)> {
    let check = |(number, right)| match &table.get(number)?.kind {
        // It is another file system, which is the answer whether the guest may write there or not.
        Kind::Dir(dir) if dir.read_only => Ok(()),
        Kind::Dir(_) => table.dir(number, right).map(drop),
        _ => dir(table, number, right).map(drop),
    };
    check(from)?;
    check(to)?;
    match (&table.get(from.0)?.kind, &table.get(to.0)?.kind) {
        (Kind::Memory(from), Kind::Memory(to)) if from.shares_tmpfs_with(to) => Ok((from, to)),
        _ => Err(Errno::Xdev),
    }
}

fn node(descriptor: &Descriptor) -> Result<&OpenNode> {
    match &descriptor.kind {
        Kind::Memory(open) => Ok(open),
        _ => Err(Errno::Badf),
    }
}

fn node_mut(table: &mut Table, number: u32) -> Result<&mut OpenNode> {
    match &mut table.get_mut(number)?.kind {
        Kind::Memory(open) => Ok(open),
        _ => Err(Errno::Badf),
    }
}

/// The directory behind a descriptor that has the right.
fn dir(table: &Table, number: u32, right: u64) -> Result<&OpenNode> {
    match &table.get(number)?.kind {
        Kind::Memory(open) if open.filetype() == FileType::Directory => {
            table.with(number, right).map(|_| open)
        }
        _ => Err(Errno::Notdir),
    }
}

/// The file behind a descriptor that has the right.
fn file(table: &Table, number: u32, right: u64) -> Result<&OpenNode> {
    match &table.get(number)?.kind {
        Kind::Memory(open) if open.filetype() == FileType::RegularFile => {
            table.with(number, right).map(|_| open)
        }
        _ => Err(Errno::Badf),
    }
}

/// The file behind a descriptor that has the right, and the one to choose an offset.
fn positioned(table: &Table, number: u32, right: u64) -> Result<&OpenNode> {
    file(table, number, right)?;
    file(table, number, rights::FD_SEEK)
}

/// Whether writes by a descriptor go to the end, as on Linux whatever offset is asked for.
fn appends(table: &Table, number: u32) -> Result<bool> {
    Ok(table.get(number)?.flags & fdflags::APPEND != 0)
}

/// Reads at an offset and moves it.
fn read(
    open: &OpenNode,
    buffer: &mut [u8],
    at: &mut u64,
    now: Timestamp,
) -> crate::errno::Result<usize> {
    let count = open.read_at(buffer, *at, now)?;
    *at = at.saturating_add(count.into());
    Ok(count as usize)
}

/// An offset, if a file can have it.
fn offset(at: u64) -> Result<u64> {
    i64::try_from(at).map(|_| at).map_err(|_| Errno::Inval)
}
