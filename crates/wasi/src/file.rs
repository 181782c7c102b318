//! Calls on open files and streams (`fd_*`) other than reading and writing.

use std::os::fd::{AsFd, BorrowedFd};

use cap_std::fs::MetadataExt;
use rustix::fs::{self as os, OFlags, SeekFrom, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::abi::{Memory, Result, arg, arg64};
use super::ctx::Ctx;
use super::errno::Errno;
use super::fd::{self, Descriptor, Kind, Table};
use super::streams::Stream;
use super::{Function, rights, transfer};

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
            // Wasmtime does not offer it, because file systems differ in it.
            table.file(arg(a, 0), 0)?;
            allocates(table.get(arg(a, 0))?)
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
                ctx.caps.size(arg64(a, 1))?;
            }
            Ok(os::ftruncate(&open.file, arg64(a, 1))?)
        }
        Function::FdFilestatSetTimes => {
            let times = timestamps(arg64(a, 1), arg64(a, 2), arg(a, 3))?;
            if is_read_only(table.get(arg(a, 0))?) {
                return Err(Errno::Rofs);
            }
            let descriptor = table.with(arg(a, 0), rights::FD_FILESTAT_SET_TIMES)?;
            match host_fd(descriptor) {
                Some(fd) => Ok(os::futimens(fd, &times)?),
                None => Err(Errno::Badf),
            }
        }
        Function::FdPread => transfer::pread(table, a, memory),
        Function::FdPwrite => transfer::pwrite(table, &mut ctx.caps, a, memory),
        Function::FdSeek => seek(table, a, memory),
        Function::FdTell => {
            let open = table.seekable(arg(a, 0), table.telling(arg(a, 0)))?;
            memory.write_u64(arg(a, 1), os::tell(&open.file)?)
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
    memory.write_u64(arg(a, 3), os::seek(&open.file, from)?)
}

/// The right that an `fd_seek` must have: one that leaves the offset as it is only tells it.
pub(super) fn seek_right(table: &Table, a: &[u64]) -> u64 {
    match (arg64(a, 1), arg(a, 2)) {
        (0, 1) => table.telling(arg(a, 0)),
        _ => rights::FD_SEEK,
    }
}

/// What `fd_allocate` answers.
pub(super) fn allocates(descriptor: &Descriptor) -> Result<()> {
    match descriptor.given_up & rights::FD_ALLOCATE {
        0 => Err(Errno::Notsup),
        _ => Err(Errno::Notcapable),
    }
}

fn advise(table: &Table, a: &[u64]) -> Result<()> {
    use os::Advice;
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
    let length = std::num::NonZeroU64::new(arg64(a, 2));
    Ok(os::fadvise(&open.file, arg64(a, 1), length, advice)?)
}

fn sync(
    table: &Table,
    number: u32,
    right: u64,
    flush: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
) -> Result<()> {
    // A directory, too: databases make sure of a new name so. A stream has nothing to flush.
    let fd = host_fd(table.get(number)?).ok_or(Errno::Badf)?;
    table.with(number, right)?;
    Ok(flush(fd)?)
}

fn set_flags(table: &mut Table, a: &[u64]) -> Result<()> {
    let flags = u16::try_from(arg(a, 1)).map_err(|_| Errno::Inval)?;
    table.with(arg(a, 0), rights::FD_FDSTAT_SET_FLAGS)?;
    let descriptor = table.get_mut(arg(a, 0))?;
    let changed = flags ^ descriptor.flags;
    if flags & !fd::ALL_FLAGS != 0 || changed & fd::FIXED != 0 {
        return Err(Errno::Inval);
    }
    if let Kind::File(open) = &descriptor.kind {
        let mut status = os::fcntl_getfl(&open.file)?;
        status.set(OFlags::APPEND, flags & fd::APPEND != 0);
        os::fcntl_setfl(&open.file, status)?;
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
        Kind::Dir(_) => DIRECTORY,
        Kind::File(open) => filetype(os::fstat(&open.file)?.st_mode),
        Kind::Stream(stream) => stream_type(ctx, *stream),
        Kind::Socket(socket) => socket_type(socket.is_datagram()),
        Kind::Memory(open) => open.filetype(),
    };
    let mut stat = [0; 24];
    stat[0] = filetype;
    stat[2..4].copy_from_slice(&descriptor.flags.to_le_bytes());
    stat[8..16].copy_from_slice(&descriptor.rights.to_le_bytes());
    stat[16..24].copy_from_slice(&descriptor.inheriting.to_le_bytes());
    memory.write(arg(a, 1), &stat)
}

fn filestat_get(ctx: &Ctx, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let descriptor = ctx.table.with(arg(a, 0), rights::FD_FILESTAT_GET)?;
    let bytes = match &descriptor.kind {
        Kind::Stream(stream) => nameless(stream_type(ctx, *stream)),
        Kind::Socket(socket) => nameless(socket_type(socket.is_datagram())),
        Kind::File(open) => filestat(&open.file.metadata()?),
        Kind::Dir(open) => filestat(&open.dir.dir_metadata()?),
        Kind::Memory(open) => open.filestat()?,
    };
    memory.write(arg(a, 1), &bytes)
}

/// The `filestat` of what is no file.
fn nameless(filetype: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[16] = filetype;
    bytes
}

/// A terminal is a character device; for everything else a guest is told nothing, as by Wasmtime.
fn stream_type(ctx: &Ctx, stream: Stream) -> u8 {
    match ctx.streams.fd(stream) {
        Some(fd) if rustix::termios::isatty(fd) => CHARACTER_DEVICE,
        _ => UNKNOWN,
    }
}

/// Whether it lies in a directory that may only be read.
fn is_read_only(descriptor: &Descriptor) -> bool {
    match &descriptor.kind {
        Kind::Dir(open) => open.read_only,
        Kind::File(open) => open.read_only,
        Kind::Stream(_) | Kind::Socket(_) | Kind::Memory(_) => false,
    }
}

fn host_fd(descriptor: &Descriptor) -> Option<BorrowedFd<'_>> {
    match &descriptor.kind {
        Kind::File(open) => Some(open.file.as_fd()),
        Kind::Dir(open) => Some(open.dir.as_fd()),
        Kind::Stream(_) | Kind::Socket(_) | Kind::Memory(_) => None,
    }
}

pub(super) const UNKNOWN: u8 = 0;
const CHARACTER_DEVICE: u8 = 2;
pub(super) const DIRECTORY: u8 = 3;
pub(super) const REGULAR_FILE: u8 = 4;
const SOCKET_DATAGRAM: u8 = 5;
const SOCKET_STREAM: u8 = 6;
pub(super) const SYMBOLIC_LINK: u8 = 7;

fn socket_type(datagram: bool) -> u8 {
    match datagram {
        true => SOCKET_DATAGRAM,
        false => SOCKET_STREAM,
    }
}

/// `filetype` of the specification, from the mode.
pub(super) fn filetype(mode: u32) -> u8 {
    filetype_of(os::FileType::from_raw_mode(mode))
}

pub(super) fn filetype_of(ty: os::FileType) -> u8 {
    match ty {
        os::FileType::BlockDevice => 1,
        os::FileType::CharacterDevice => CHARACTER_DEVICE,
        os::FileType::Directory => DIRECTORY,
        os::FileType::RegularFile => REGULAR_FILE,
        os::FileType::Socket => SOCKET_STREAM,
        os::FileType::Symlink => SYMBOLIC_LINK,
        _ => UNKNOWN,
    }
}

/// `filestat` of the specification, 64 bytes.
pub(super) fn filestat(metadata: &impl MetadataExt) -> [u8; 64] {
    let time = |seconds: i64, nanoseconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds as u64)
    };
    let fields = [
        (0, metadata.dev()),
        (8, metadata.ino()),
        (24, metadata.nlink()),
        (32, metadata.size()),
        (40, time(metadata.atime(), metadata.atime_nsec())),
        (48, time(metadata.mtime(), metadata.mtime_nsec())),
        (56, time(metadata.ctime(), metadata.ctime_nsec())),
    ];
    let mut bytes = [0; 64];
    for (offset, value) in fields {
        bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes[16] = filetype(metadata.mode());
    bytes
}

/// Times to set, from `fstflags`.
pub(super) fn timestamps(access: u64, modification: u64, flags: u32) -> Result<Timestamps> {
    const ACCESS: u32 = 1;
    const ACCESS_NOW: u32 = 2;
    const MODIFICATION: u32 = 4;
    const MODIFICATION_NOW: u32 = 8;
    let time = |value: u64, set: u32, now: u32| match (flags & set != 0, flags & now != 0) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(Timespec {
            // A u64 of nanoseconds holds 585 years, which fits.
            tv_sec: (value / 1_000_000_000) as i64,
            tv_nsec: (value % 1_000_000_000) as _,
        }),
        (false, now) => Ok(Timespec {
            tv_sec: 0,
            tv_nsec: if now { UTIME_NOW } else { UTIME_OMIT },
        }),
    };
    Ok(Timestamps {
        last_access: time(access, ACCESS, ACCESS_NOW)?,
        last_modification: time(modification, MODIFICATION, MODIFICATION_NOW)?,
    })
}
