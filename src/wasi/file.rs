//! Calls on open files and streams (`fd_*`).

use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

use cap_std::fs::MetadataExt;
use rustix::fs::{self as os, OFlags, SeekFrom, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno as Os;

use super::abi::{Memory, Result, arg, arg64};
use super::ctx::Ctx;
use super::errno::Errno;
use super::fd::{self, Descriptor, Kind, Table};
use super::streams::Stream;
use super::{Function, rights};
use crate::model::{FdInterest, Interest, Wait};

impl Ctx {
    /// `fd_read`; gives the wait where standard input has nothing yet.
    pub(super) fn fd_read(&mut self, a: &[u64], memory: &mut Memory<'_>) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        let descriptor = self.table.with(number, rights::FD_READ)?;
        let buffers = memory.buffers(arg(a, 1), arg(a, 2))?;
        let wanted = buffers.iter().any(|(_, length)| *length > 0);
        let total = match &descriptor.kind {
            Kind::Dir(_) => return Err(Errno::Isdir),
            Kind::File(open) => scatter(memory, &buffers, |buffer| {
                retry(|| rustix::io::read(&open.file, &mut *buffer))
            })?,
            Kind::Stream(stream) => {
                if wanted && !self.streams.readiness(*stream, Interest::Read).0 {
                    if descriptor.flags & fd::NONBLOCK != 0 {
                        return Err(Errno::Again);
                    }
                    return Ok(Some(Wait::Poll {
                        deadline: None,
                        fds: vec![FdInterest {
                            fd: number,
                            interest: Interest::Read,
                        }],
                    }));
                }
                // A second buffer might wait, so that one read fills one buffer.
                let first = buffers.iter().position(|(_, length)| *length > 0);
                let first = first.map_or(&buffers[..0], |place| &buffers[place..=place]);
                scatter(memory, first, |buffer| self.streams.read(buffer))?
            }
        };
        memory.write_u32(arg(a, 3), total)?;
        Ok(None)
    }

    pub(super) fn fd_write(&mut self, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
        let descriptor = self.table.with(arg(a, 0), rights::FD_WRITE)?;
        let bytes = memory.gather(arg(a, 1), arg(a, 2))?;
        let total = match &descriptor.kind {
            Kind::Dir(_) => return Err(Errno::Badf),
            Kind::File(open) => write_file(&bytes, |rest, _| rustix::io::write(&open.file, rest))?,
            Kind::Stream(stream) => {
                self.streams.write(*stream, &bytes)?;
                bytes.len() as u32
            }
        };
        memory.write_u32(arg(a, 3), total)
    }
}

/// The calls of this file that need no waiting.
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
            table.file(arg(a, 0), 0, Errno::Badf)?;
            Err(Errno::Notsup)
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
            let open = table.file(arg(a, 0), rights::FD_FILESTAT_SET_SIZE, Errno::Badf)?;
            Ok(os::ftruncate(&open.file, arg64(a, 1))?)
        }
        Function::FdFilestatSetTimes => {
            let times = timestamps(arg64(a, 1), arg64(a, 2), arg(a, 3))?;
            let descriptor = table.with(arg(a, 0), rights::FD_FILESTAT_SET_TIMES)?;
            match host_fd(descriptor) {
                Some(fd) => Ok(os::futimens(fd, &times)?),
                None => Err(Errno::Badf),
            }
        }
        Function::FdPread => pread(table, a, memory),
        Function::FdPwrite => pwrite(table, a, memory),
        Function::FdSeek => seek(table, a, memory),
        Function::FdTell => {
            let open = table.file(arg(a, 0), rights::FD_TELL, Errno::Spipe)?;
            memory.write_u64(arg(a, 1), os::tell(&open.file)?)
        }
        _ => Err(Errno::Nosys),
    }
}

fn pread(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let open = table.file(arg(a, 0), rights::FD_READ, Errno::Spipe)?;
    let buffers = memory.buffers(arg(a, 1), arg(a, 2))?;
    let mut at = arg64(a, 3);
    let total = scatter(memory, &buffers, |buffer| {
        let count = retry(|| rustix::io::pread(&open.file, &mut *buffer, at))?;
        at = at.saturating_add(count as u64);
        Ok(count)
    })?;
    memory.write_u32(arg(a, 4), total)
}

fn pwrite(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let open = table.file(arg(a, 0), rights::FD_WRITE, Errno::Spipe)?;
    let bytes = memory.gather(arg(a, 1), arg(a, 2))?;
    let start = arg64(a, 3);
    let total = write_file(&bytes, |rest, done| {
        rustix::io::pwrite(&open.file, rest, start.saturating_add(done))
    })?;
    memory.write_u32(arg(a, 4), total)
}

fn seek(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let offset = arg64(a, 1) as i64;
    let from = match arg(a, 2) {
        0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::Inval),
    };
    let open = table.file(arg(a, 0), rights::FD_SEEK, Errno::Spipe)?;
    memory.write_u64(arg(a, 3), os::seek(&open.file, from)?)
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
    let open = table.file(arg(a, 0), rights::FD_ADVISE, Errno::Spipe)?;
    let length = std::num::NonZeroU64::new(arg64(a, 2));
    Ok(os::fadvise(&open.file, arg64(a, 1), length, advice)?)
}

fn sync(
    table: &Table,
    number: u32,
    right: u64,
    flush: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
) -> Result<()> {
    match host_fd(table.with(number, right)?) {
        Some(fd) => Ok(flush(fd)?),
        // A stream has nothing to flush.
        None => Err(Errno::Inval),
    }
}

fn set_flags(table: &mut Table, a: &[u64]) -> Result<()> {
    let flags = u16::try_from(arg(a, 1)).map_err(|_| Errno::Inval)?;
    // The others are fixed when the file is opened.
    let changeable = fd::APPEND | fd::NONBLOCK;
    if flags & !(changeable | fd::DSYNC | fd::RSYNC | fd::SYNC) != 0 {
        return Err(Errno::Inval);
    }
    table.with(arg(a, 0), rights::FD_FDSTAT_SET_FLAGS)?;
    let descriptor = table.get_mut(arg(a, 0))?;
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
        Kind::Stream(stream) => {
            let mut bytes = [0; 64];
            bytes[16] = stream_type(ctx, *stream);
            bytes
        }
        Kind::File(open) => filestat(&open.file.metadata()?),
        Kind::Dir(open) => filestat(&open.dir.dir_metadata()?),
    };
    memory.write(arg(a, 1), &bytes)
}

/// A terminal is a character device; for everything else a guest is told nothing, as by Wasmtime.
fn stream_type(ctx: &Ctx, stream: Stream) -> u8 {
    match ctx.streams.fd(stream) {
        Some(fd) if rustix::termios::isatty(fd) => CHARACTER_DEVICE,
        _ => UNKNOWN,
    }
}

fn host_fd(descriptor: &Descriptor) -> Option<BorrowedFd<'_>> {
    match &descriptor.kind {
        Kind::File(open) => Some(open.file.as_fd()),
        Kind::Dir(open) => Some(open.dir.as_fd()),
        Kind::Stream(_) => None,
    }
}

pub(super) const UNKNOWN: u8 = 0;
const CHARACTER_DEVICE: u8 = 2;
pub(super) const DIRECTORY: u8 = 3;

/// `filetype` of the specification, from the mode.
pub(super) fn filetype(mode: u32) -> u8 {
    filetype_of(os::FileType::from_raw_mode(mode))
}

pub(super) fn filetype_of(ty: os::FileType) -> u8 {
    match ty {
        os::FileType::BlockDevice => 1,
        os::FileType::CharacterDevice => CHARACTER_DEVICE,
        os::FileType::Directory => DIRECTORY,
        os::FileType::RegularFile => 4,
        os::FileType::Socket => 6,
        os::FileType::Symlink => 7,
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

/// Fills buffers until one is not filled; an error after the first byte is told at the next call.
fn scatter(
    memory: &mut Memory<'_>,
    buffers: &[(u32, u32)],
    mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> Result<u32> {
    let mut total = 0u32;
    for (address, length) in buffers {
        let count = match read(memory.bytes_mut(*address, *length)?) {
            Ok(count) => count as u32,
            Err(errno) if total == 0 => return Err(errno.into()),
            Err(_) => break,
        };
        total = total.saturating_add(count);
        if count < *length {
            break;
        }
    }
    Ok(total)
}

/// Writes all of it, or what there is room for.
fn write_file(
    bytes: &[u8],
    mut write: impl FnMut(&[u8], u64) -> rustix::io::Result<usize>,
) -> Result<u32> {
    let mut done = 0;
    while done < bytes.len() || bytes.is_empty() {
        match retry(|| write(&bytes[done..], done as u64)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
    }
    Ok(done as u32)
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Os::INTR) => {}
            result => return result,
        }
    }
}

/// Nanoseconds since the Unix epoch of a file's last change.
pub(super) fn modified(metadata: &std::fs::Metadata) -> u64 {
    let since = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
