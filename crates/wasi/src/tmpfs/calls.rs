//! The calls of preview1 on what is in memory. None of them ever blocks.

use super::{MemoryFd, Shared};
use crate::abi::{Memory, Result, arg, arg64};
use crate::ctx::Ctx;
use crate::errno::Errno;
use crate::fd::{self, Descriptor, Kind, Table};
use crate::model::ClockId;
use crate::path::{Asked, SYMLINK_FOLLOW, path};
use crate::{Function, dir, file, rights};

impl Ctx {
    /// Makes the call, if it is one on something in memory.
    pub(crate) fn in_memory(
        &mut self,
        function: Function,
        a: &[u64],
        memory: &mut Memory<'_>,
    ) -> Option<Result<()>> {
        // Most guests have no such directory.
        if self.tmpfs.is_empty() {
            return None;
        }
        let is = |index| matches!(self.table.get(arg(a, index)), Ok(open) if open.is_memory());
        let mine = match function {
            Function::PathSymlink => is(2),
            Function::PathLink => is(0) || is(4),
            Function::PathRename => is(0) || is(3),
            // What these do depends on the descriptor alone, not on what it stands for.
            Function::FdClose
            | Function::FdRenumber
            | Function::FdFdstatGet
            | Function::FdFdstatSetFlags
            | Function::FdFdstatSetRights
            | Function::FdFilestatGet
            | Function::FdPrestatGet
            | Function::FdPrestatDirName => false,
            other => {
                (other.name().starts_with("fd_") || other.name().starts_with("path_")) && is(0)
            }
        };
        let now = self.clock.told(ClockId::Realtime);
        mine.then(|| match function.name().starts_with("path_") {
            true => path_call(&mut self.table, function, a, memory, now),
            false => fd_call(&mut self.table, function, a, memory, now),
        })
    }
}

fn fd_call(
    table: &mut Table,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
    now: u64,
) -> Result<()> {
    let number = arg(a, 0);
    match function {
        Function::FdRead => {
            let open = open_file(table, number, rights::FD_READ)?;
            let at = open.offset;
            let buffers = memory.buffers(arg(a, 1), arg(a, 2))?;
            memory.check_result(arg(a, 3))?;
            let count = read(open, at, &buffers, memory, now)?;
            file_mut(table, number)?.offset = at.saturating_add(u64::from(count));
            memory.write_u32(arg(a, 3), count)
        }
        Function::FdPread => {
            let open = positioned(table, number, rights::FD_READ)?;
            let buffers = memory.buffers(arg(a, 1), arg(a, 2))?;
            memory.check_result(arg(a, 4))?;
            let count = read(open, offset(arg64(a, 3))?, &buffers, memory, now)?;
            memory.write_u32(arg(a, 4), count)
        }
        Function::FdWrite => {
            let open = open_file(table, number, rights::FD_WRITE)?;
            memory.check_result(arg(a, 3))?;
            let (count, end) = {
                let buffers = memory.slices(arg(a, 1), arg(a, 2))?;
                let mut fs = open.fs.lock();
                let mut at = match table.get(number)?.flags & fd::APPEND {
                    0 => open.offset,
                    _ => fs.node(open.inode)?.size(),
                };
                let mut done = 0u32;
                for buffer in buffers.iter().filter(|buffer| !buffer.is_empty()) {
                    match fs.write(open.inode, at, buffer, now) {
                        Ok(count) => {
                            // The sum of the buffers was checked to fit.
                            done += count as u32;
                            at += count as u64;
                            if count < buffer.len() {
                                break;
                            }
                        }
                        Err(errno) if done == 0 => return Err(errno),
                        Err(_) => break,
                    }
                }
                (done, at)
            };
            if count > 0 {
                file_mut(table, number)?.offset = end;
            }
            memory.write_u32(arg(a, 3), count)
        }
        Function::FdPwrite => {
            let open = positioned(table, number, rights::FD_WRITE)?;
            memory.check_result(arg(a, 4))?;
            let mut at = offset(arg64(a, 3))?;
            let count = {
                let buffers = memory.slices(arg(a, 1), arg(a, 2))?;
                let mut fs = open.fs.lock();
                // As Linux has it, whatever offset was asked for.
                if table.get(number)?.flags & fd::APPEND != 0 {
                    at = fs.node(open.inode)?.size();
                }
                let mut done = 0u32;
                for buffer in buffers.iter().filter(|buffer| !buffer.is_empty()) {
                    match fs.write(open.inode, at + u64::from(done), buffer, now) {
                        Ok(count) => {
                            done += count as u32;
                            if count < buffer.len() {
                                break;
                            }
                        }
                        Err(errno) if done == 0 => return Err(errno),
                        Err(_) => break,
                    }
                }
                done
            };
            memory.write_u32(arg(a, 4), count)
        }
        Function::FdSeek => {
            let by = arg64(a, 1) as i64;
            if arg(a, 2) > 2 || (arg(a, 2) == 0 && by < 0) {
                return Err(Errno::Inval);
            }
            let open = open_file(table, number, file::seek_right(table, a))?;
            let base = match arg(a, 2) {
                0 => 0,
                1 => open.offset,
                _ => open.fs.lock().node(open.inode)?.size(),
            };
            memory.bytes(arg(a, 3), 8)?;
            let at = offset(base.checked_add_signed(by).ok_or(Errno::Inval)?)?;
            file_mut(table, number)?.offset = at;
            memory.write_u64(arg(a, 3), at)
        }
        Function::FdTell => {
            let at = open_file(table, number, table.telling(number))?.offset;
            memory.write_u64(arg(a, 1), at)
        }
        Function::FdAdvise => {
            if arg(a, 3) > 5 {
                return Err(Errno::Inval);
            }
            open_file(table, number, rights::FD_ADVISE)?;
            offset(arg64(a, 2)).map(drop)
        }
        Function::FdAllocate => {
            open_file(table, number, 0)?;
            file::allocates(table.get(number)?)
        }
        Function::FdDatasync => table.with(number, rights::FD_DATASYNC).map(drop),
        Function::FdSync => table.with(number, rights::FD_SYNC).map(drop),
        Function::FdFilestatSetSize => {
            let open = open_file(table, number, rights::FD_FILESTAT_SET_SIZE)?;
            open.fs.lock().set_size(open.inode, arg64(a, 1), now)
        }
        Function::FdFilestatSetTimes => {
            let (access, modification) = times(arg64(a, 1), arg64(a, 2), arg(a, 3), now)?;
            let open = memory_fd(table.with(number, rights::FD_FILESTAT_SET_TIMES)?)?;
            let mut fs = open.fs.lock();
            fs.set_times(open.inode, access, modification, now)
        }
        Function::FdReaddir => {
            memory.check_result(arg(a, 4))?;
            open_dir(table, number, rights::FD_READDIR)?;
            let Kind::Memory(open) = &mut table.get_mut(number)?.kind else {
                return Err(Errno::Notdir);
            };
            if arg64(a, 3) == 0 || open.listing.is_none() {
                open.listing = Some(open.fs.lock().list(open.inode)?);
            }
            dir::fill(open.listing.as_deref().unwrap_or_default(), a, memory)
        }
        _ => Err(Errno::Nosys),
    }
}

fn path_call(
    table: &mut Table,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
    now: u64,
) -> Result<()> {
    match function {
        Function::PathOpen => open(table, a, memory, now),
        Function::PathCreateDirectory => {
            let path = path(memory, a, 1)?;
            let open = open_dir(table, arg(a, 0), rights::PATH_CREATE_DIRECTORY)?;
            open.fs.lock().create_dir(open.inode, &path, now)
        }
        Function::PathRemoveDirectory => {
            let path = path(memory, a, 1)?;
            let open = open_dir(table, arg(a, 0), rights::PATH_REMOVE_DIRECTORY)?;
            open.fs.lock().remove_dir(open.inode, &path, now)
        }
        Function::PathUnlinkFile => {
            let path = path(memory, a, 1)?;
            let open = open_dir(table, arg(a, 0), rights::PATH_UNLINK_FILE)?;
            open.fs.lock().unlink(open.inode, &path, now)
        }
        Function::PathFilestatGet => {
            let path = path(memory, a, 2)?;
            let open = open_dir(table, arg(a, 0), rights::PATH_FILESTAT_GET)?;
            let fs = open.fs.lock();
            let follow = arg(a, 1) & SYMLINK_FOLLOW != 0;
            let inode = fs.walk(open.inode, &path, follow)?.existing()?;
            memory.write(arg(a, 4), &fs.filestat(inode)?)
        }
        Function::PathFilestatSetTimes => {
            let path = path(memory, a, 2)?;
            let (access, modification) = times(arg64(a, 4), arg64(a, 5), arg(a, 6), now)?;
            let open = open_dir(table, arg(a, 0), rights::PATH_FILESTAT_SET_TIMES)?;
            let mut fs = open.fs.lock();
            let follow = arg(a, 1) & SYMLINK_FOLLOW != 0;
            let inode = fs.walk(open.inode, &path, follow)?.existing()?;
            fs.set_times(inode, access, modification, now)
        }
        Function::PathLink => {
            let (old, new) = (path(memory, a, 2)?, path(memory, a, 5)?);
            if arg(a, 1) & SYMLINK_FOLLOW != 0 {
                return Err(Errno::Inval);
            }
            let (from, to) = pair(
                table,
                (arg(a, 0), rights::PATH_LINK_SOURCE),
                (arg(a, 4), rights::PATH_LINK_TARGET),
            )?;
            let mut fs = from.fs.lock();
            fs.link((from.inode, &old), (to.inode, &new), now)
        }
        Function::PathRename => {
            let (old, new) = (path(memory, a, 1)?, path(memory, a, 4)?);
            let (from, to) = pair(
                table,
                (arg(a, 0), rights::PATH_RENAME_SOURCE),
                (arg(a, 3), rights::PATH_RENAME_TARGET),
            )?;
            let mut fs = from.fs.lock();
            fs.rename((from.inode, &old), (to.inode, &new), now)
        }
        Function::PathSymlink => {
            let (target, link) = (path(memory, a, 0)?, path(memory, a, 3)?);
            let open = open_dir(table, arg(a, 2), rights::PATH_SYMLINK)?;
            if target.starts_with('/') {
                return Err(crate::errno::ESCAPE);
            }
            open.fs.lock().symlink(&target, open.inode, &link, now)
        }
        Function::PathReadlink => {
            let path = path(memory, a, 1)?;
            let open = open_dir(table, arg(a, 0), rights::PATH_READLINK)?;
            let fs = open.fs.lock();
            let target = fs.read_link(open.inode, &path)?;
            let length = target.len().min(arg(a, 4) as usize);
            memory.write(arg(a, 3), &target.as_bytes()[..length])?;
            memory.write_u32(arg(a, 5), length as u32)
        }
        _ => Err(Errno::Nosys),
    }
}

fn open(table: &mut Table, a: &[u64], memory: &mut Memory<'_>, now: u64) -> Result<()> {
    let path = path(memory, a, 2)?;
    let asked = Asked::read(a)?;
    // Checked before anything is created.
    memory.check_result(arg(a, 8))?;
    table.check_room()?;
    open_dir(table, arg(a, 0), 0)?;
    asked.check(table, arg(a, 0), false)?;
    let dir = open_dir(table, arg(a, 0), 0)?;
    if asked.must_be_dir() && asked.changes_files() {
        return Err(Errno::Inval);
    }
    let (fs, from) = (dir.fs.clone(), dir.inode);
    let inode = {
        let mut fs = fs.lock();
        let follow = asked.follow && !asked.exclusive();
        let place = match asked.creates() {
            true => fs.walk_to_make(from, &path, follow)?,
            false => fs.walk(from, &path, follow)?,
        };
        match place.node {
            None if asked.creates() => fs.create(place, now)?,
            None => return Err(Errno::Noent),
            Some(_) if asked.exclusive() => return Err(Errno::Exist),
            Some(inode) => {
                match fs.node(inode)?.filetype() {
                    file::SYMBOLIC_LINK => return Err(Errno::Loop),
                    file::DIRECTORY if asked.opens_for_writing() => return Err(Errno::Isdir),
                    file::REGULAR_FILE if asked.must_be_dir() => return Err(Errno::Notdir),
                    _ => {}
                }
                if asked.empties() {
                    fs.set_size(inode, 0, now)?;
                }
                inode
            }
        }
    };
    let is_dir = fs.lock().is_dir(inode);
    let rights = match is_dir {
        true => rights::DIRECTORY,
        false => rights::file(asked.reads(), asked.writes()),
    };
    let kind = Kind::Memory(MemoryFd::new(&fs, inode, false));
    let fd = table.insert(table.get(arg(a, 0))?.opened(kind, rights, asked.flags))?;
    memory.write_u32(arg(a, 8), fd)
}

/// Two directories of one file system.
fn pair(table: &Table, from: (u32, u64), to: (u32, u64)) -> Result<(&MemoryFd, &MemoryFd)> {
    let check = |(number, right)| {
        let open = table.get(number)?;
        match &open.kind {
            // To another file system, which is the answer whether it may be written to or not.
            Kind::Dir(dir) if dir.read_only => Ok(()),
            Kind::Dir(_) => table.dir(number, right).map(drop),
            _ => open_dir(table, number, right).map(drop),
        }
    };
    check(from)?;
    check(to)?;
    match (&table.get(from.0)?.kind, &table.get(to.0)?.kind) {
        (Kind::Memory(from), Kind::Memory(to)) if Shared::is(&from.fs, &to.fs) => Ok((from, to)),
        _ => Err(Errno::Xdev),
    }
}

fn memory_fd(descriptor: &Descriptor) -> Result<&MemoryFd> {
    match &descriptor.kind {
        Kind::Memory(open) => Ok(open),
        _ => Err(Errno::Badf),
    }
}

/// The directory behind a descriptor that has the right.
fn open_dir(table: &Table, number: u32, right: u64) -> Result<&MemoryFd> {
    match &table.get(number)?.kind {
        Kind::Memory(open) if open.filetype() == file::DIRECTORY => {
            table.with(number, right).map(|_| open)
        }
        _ => Err(Errno::Notdir),
    }
}

/// The file behind a descriptor that has the right.
fn open_file(table: &Table, number: u32, right: u64) -> Result<&MemoryFd> {
    match &table.get(number)?.kind {
        Kind::Memory(open) if open.filetype() == file::REGULAR_FILE => {
            table.with(number, right).map(|_| open)
        }
        _ => Err(Errno::Badf),
    }
}

/// The same, with the right to choose an offset, too.
fn positioned(table: &Table, number: u32, right: u64) -> Result<&MemoryFd> {
    open_file(table, number, right)?;
    open_file(table, number, rights::FD_SEEK)
}

fn file_mut(table: &mut Table, number: u32) -> Result<&mut MemoryFd> {
    match &mut table.get_mut(number)?.kind {
        Kind::Memory(open) => Ok(open),
        _ => Err(Errno::Badf),
    }
}

/// Fills buffers until one is not filled.
fn read(
    open: &MemoryFd,
    at: u64,
    buffers: &[(u32, u32)],
    memory: &mut Memory<'_>,
    now: u64,
) -> Result<u32> {
    let mut fs = open.fs.lock();
    let mut total = 0u32;
    for (address, length) in buffers {
        let buffer = memory.bytes_mut(*address, *length)?;
        let count = fs.read(open.inode, at.saturating_add(u64::from(total)), buffer, now)?;
        total = total.saturating_add(count);
        if count < *length {
            break;
        }
    }
    Ok(total)
}

/// An offset that a file can have.
fn offset(at: u64) -> Result<u64> {
    i64::try_from(at).map(|_| at).map_err(|_| Errno::Inval)
}

/// Access and modification time to set, from `fstflags`.
fn times(
    access: u64,
    modification: u64,
    flags: u32,
    now: u64,
) -> Result<(Option<u64>, Option<u64>)> {
    // Checks the flags.
    file::timestamps(access, modification, flags)?;
    let time = |value: u64, set: u32, set_now: u32| match flags {
        flags if flags & set_now != 0 => Some(now),
        flags if flags & set != 0 => Some(value),
        _ => None,
    };
    Ok((time(access, 1, 2), time(modification, 4, 8)))
}
