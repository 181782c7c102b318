//! Calls on descriptors (`fd_*`) other than reading and writing. None of them ever blocks.

use std::os::fd::BorrowedFd;

use rustix::fs::{self as os, Advice, SeekFrom};

use super::errno::Errno;
use super::function::Function;
use super::memory::{Memory, Result, arg, arg64};
use super::{layout, read_write};
use crate::fs::{FileType, Stat};
use crate::guest::Ctx;
use crate::guest::table::{Descriptor, Kind, Table};
use crate::guest::{fdflags, rights};
use crate::stdio::Stream;

/// Makes one of the calls on a descriptor that never block.
pub(super) fn call(
    ctx: &mut Ctx,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let table = &mut ctx.table;
    match function {
        Function::FdAdvise => advise(table, a),
        Function::FdAllocate => {
            table.file(arg(a, 0), 0)?;
            Err(allocate_errno(table.get(arg(a, 0))?))
        }
        Function::FdDatasync => sync(table, arg(a, 0), rights::FD_DATASYNC, |fd| {
            os::fdatasync(fd)
        }),
        Function::FdSync => sync(table, arg(a, 0), rights::FD_SYNC, |fd| os::fsync(fd)),
        Function::FdFdstatGet => fdstat_get(ctx, a, memory),
        Function::FdFdstatSetFlags => set_flags(table, a),
        Function::FdFdstatSetRights => set_rights(table, a),
        Function::FdFilestatGet => filestat_get(ctx, a, memory),
        Function::FdFilestatSetSize => {
            let open = table.file(arg(a, 0), rights::FD_FILESTAT_SET_SIZE)?;
            if i64::try_from(arg64(a, 1)).is_ok() {
                ctx.resources.quota.check_file_size(arg64(a, 1))?;
            }
            Ok(open.set_size(arg64(a, 1))?)
        }
        Function::FdFilestatSetTimes => {
            let times = layout::new_times(arg64(a, 1), arg64(a, 2), arg(a, 3))?;
            if table.get(arg(a, 0))?.is_read_only() {
                return Err(Errno::Rofs);
            }
            let descriptor = table.with(arg(a, 0), rights::FD_FILESTAT_SET_TIMES)?;
            let fd = descriptor.host_fd().ok_or(Errno::Badf)?;
            Ok(os::futimens(fd, &times.timestamps())?)
        }
        Function::FdPread => read_write::fd_pread(table, a, memory),
        Function::FdPwrite => read_write::fd_pwrite(table, &mut ctx.resources.quota, a, memory),
        Function::FdSeek => seek(table, a, memory),
        Function::FdTell => {
            let open = table.seekable(arg(a, 0), table.tell_right(arg(a, 0)))?;
            memory.write_u64(arg(a, 1), open.tell()?)
        }
        _ => Err(Errno::Nosys),
    }
}

fn seek(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let offset = arg64(a, 1) as i64;
    let from = match arg(a, 2) {
        0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::Inval),
    };
    let open = table.seekable(arg(a, 0), seek_right(table, a))?;
    memory.bytes(arg(a, 3), 8)?;
    memory.write_u64(arg(a, 3), open.seek(from)?)
}

/// The right that an `fd_seek` needs: one that leaves the offset as it is only tells it.
pub(super) fn seek_right(table: &Table, a: &[u64]) -> u64 {
    match (arg64(a, 1), arg(a, 2)) {
        (0, 1) => table.tell_right(arg(a, 0)),
        _ => rights::FD_SEEK,
    }
}

/// What `fd_allocate` answers. As in Wasmtime there is none, because file systems differ in it.
pub(super) fn allocate_errno(descriptor: &Descriptor) -> Errno {
    match descriptor.given_up & rights::FD_ALLOCATE {
        0 => Errno::Notsup,
        _ => Errno::Notcapable,
    }
}

fn advise(table: &Table, a: &[u64]) -> Result<()> {
    let advice = match arg(a, 3) {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::Inval),
    };
    let open = table.file(arg(a, 0), rights::FD_ADVISE)?;
    Ok(open.advise(arg64(a, 1), arg64(a, 2), advice)?)
}

fn sync(
    table: &Table,
    number: u32,
    right: u64,
    flush: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
) -> Result<()> {
    // Directories can be synced too: databases do so after they create or rename a file. Streams
    // and sockets have no host file and get EBADF, streams as in Wasmtime.
    let fd = table.get(number)?.host_fd().ok_or(Errno::Badf)?;
    table.with(number, right)?;
    Ok(flush(fd)?)
}

fn set_flags(table: &mut Table, a: &[u64]) -> Result<()> {
    let flags = u16::try_from(arg(a, 1)).map_err(|_| Errno::Inval)?;
    table.with(arg(a, 0), rights::FD_FDSTAT_SET_FLAGS)?;
    let descriptor = table.get_mut(arg(a, 0))?;
    let changed = flags ^ descriptor.flags;
    if flags & !fdflags::ALL != 0 || changed & fdflags::FIXED != 0 {
        return Err(Errno::Inval);
    }
    if let Kind::File(open) = &descriptor.kind {
        open.set_append(flags & fdflags::APPEND != 0)?;
    }
    descriptor.flags = flags;
    Ok(())
}

fn set_rights(table: &mut Table, a: &[u64]) -> Result<()> {
    let (base, inheriting) = (arg64(a, 1), arg64(a, 2));
    let descriptor = table.get_mut(arg(a, 0))?;
    if base & !descriptor.rights != 0 || inheriting & !descriptor.inheriting != 0 {
        return Err(Errno::Notcapable);
    }
    descriptor.given_up |= descriptor.rights & !base;
    descriptor.rights = base;
    descriptor.inheriting = inheriting;
    Ok(())
}

fn fdstat_get(ctx: &Ctx, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let descriptor = ctx.table.get(arg(a, 0))?;
    let filetype = match &descriptor.kind {
        Kind::Dir(_) => FileType::Directory,
        Kind::File(open) => open.filetype()?,
        Kind::Stream(stream) => stream_type(ctx, *stream),
        Kind::Socket(socket) => socket_type(socket.is_datagram()),
        Kind::Memory(open) => open.filetype(),
    };
    let (rights, inheriting) = (descriptor.rights, descriptor.inheriting);
    let stat = layout::fdstat(filetype.into(), descriptor.flags, rights, inheriting);
    memory.write(arg(a, 1), &stat)
}

fn filestat_get(ctx: &Ctx, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let descriptor = ctx.table.with(arg(a, 0), rights::FD_FILESTAT_GET)?;
    let stat = match &descriptor.kind {
        Kind::Stream(stream) => Stat::without_file(stream_type(ctx, *stream)),
        Kind::Socket(socket) => Stat::without_file(socket_type(socket.is_datagram())),
        Kind::File(open) => open.stat()?,
        Kind::Dir(open) => open.stat()?,
        Kind::Memory(open) => open.stat()?,
    };
    memory.write(arg(a, 1), &layout::filestat(&stat))
}

/// The type of a stream: a terminal is a character device. Of anything else a guest is told
/// nothing, as by Wasmtime.
fn stream_type(ctx: &Ctx, stream: Stream) -> FileType {
    match ctx.resources.streams.fd(stream) {
        Some(fd) if rustix::termios::isatty(fd) => FileType::CharacterDevice,
        _ => FileType::Unknown,
    }
}

fn socket_type(datagram: bool) -> FileType {
    match datagram {
        true => FileType::DatagramSocket,
        false => FileType::StreamSocket,
    }
}
