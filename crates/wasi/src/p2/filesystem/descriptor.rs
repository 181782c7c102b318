//! Calls on a descriptor itself.

use rustix::fs::{self as os, OFlags};

use super::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue,
    NewTimestamp, new_times,
};
use crate::errno::{Errno, Result as OsResult};
use crate::fs::{FileType, NewTimes, Stat};
use crate::guest::Ctx;
use crate::guest::rights::{FD_FILESTAT_SET_SIZE, FD_READ, FD_WRITE};
use crate::guest::table::Kind;
use crate::p2::abi::{Borrow, ByteList, Own};
use crate::p2::call::Call;
use crate::p2::file::{self, descriptor};
use crate::p2::resource::{
    Descriptor, Error, FileInput, FileOutput, InputStream, OutputStream, Progress,
};
use crate::p2::stop::Called;

/// What a call gives, or its error code.
type Answered<T> = Called<Result<T, ErrorCode>>;

/// The guest's descriptor behind a resource.
pub(super) fn fd(call: &Call<'_>, descriptor: &Borrow<Descriptor>) -> Called<u32> {
    let resources = &call.ctx.component.resources;
    Ok(resources.get::<Descriptor>(descriptor.rep)?.fd)
}

/// What a call gives that has made a system call.
fn answer<T>(result: OsResult<T>) -> Answered<T> {
    Ok(result.map_err(ErrorCode::from))
}

/// Whether a descriptor stands for a file; `BADF` for a directory.
fn check_file(ctx: &Ctx, fd: u32) -> OsResult<()> {
    match &descriptor(ctx, fd)?.kind {
        Kind::File(_) => Ok(()),
        Kind::Memory(node) if node.filetype() == FileType::RegularFile => Ok(()),
        _ => Err(Errno::BADF),
    }
}

pub(crate) fn read_via_stream(
    call: &mut Call<'_>,
    (this, position): (Borrow<Descriptor>, u64),
) -> Answered<Own<InputStream>> {
    let fd = fd(call, &this)?;
    let is_dir = stat_of(call.ctx, fd).is_ok_and(|stat| stat.filetype == FileType::Directory);
    if is_dir {
        return answer(Err(Errno::ISDIR));
    }
    let stream = InputStream::File(FileInput {
        fd,
        position,
        progress: Progress::Open,
    });
    let stream = call.component().resources.push(stream)?;
    Ok(Ok(Own::new(stream)))
}

pub(crate) fn write_via_stream(
    call: &mut Call<'_>,
    (this, position): (Borrow<Descriptor>, u64),
) -> Answered<Own<OutputStream>> {
    write_stream(call, this, Some(position))
}

pub(crate) fn append_via_stream(
    call: &mut Call<'_>,
    (this,): (Borrow<Descriptor>,),
) -> Answered<Own<OutputStream>> {
    write_stream(call, this, None)
}

fn write_stream(
    call: &mut Call<'_>,
    this: Borrow<Descriptor>,
    position: Option<u64>,
) -> Answered<Own<OutputStream>> {
    let fd = fd(call, &this)?;
    let check = check_file(call.ctx, fd).and_then(|()| match descriptor(call.ctx, fd)? {
        open if open.is_read_only() => Err(Errno::ROFS),
        _ => Ok(()),
    });
    if let Err(errno) = check {
        return answer(Err(errno));
    }
    let stream = OutputStream::File(FileOutput {
        fd,
        position,
        progress: Progress::Open,
    });
    let stream = call.component().resources.push(stream)?;
    Ok(Ok(Own::new(stream)))
}

pub(crate) fn advise(
    call: &mut Call<'_>,
    (this, offset, length, advice): (Borrow<Descriptor>, u64, u64, Advice),
) -> Answered<()> {
    let advice = match advice {
        Advice::Normal => os::Advice::Normal,
        Advice::Sequential => os::Advice::Sequential,
        Advice::Random => os::Advice::Random,
        Advice::WillNeed => os::Advice::WillNeed,
        Advice::DontNeed => os::Advice::DontNeed,
        Advice::NoReuse => os::Advice::NoReuse,
    };
    let fd = fd(call, &this)?;
    answer(
        check_file(call.ctx, fd).and_then(|()| match &descriptor(call.ctx, fd)?.kind {
            Kind::File(open) => open.advise(offset, length, advice),
            _ => i64::try_from(offset).map(drop).map_err(|_| Errno::INVAL),
        }),
    )
}

pub(crate) fn sync_data(call: &mut Call<'_>, (this,): (Borrow<Descriptor>,)) -> Answered<()> {
    let fd = fd(call, &this)?;
    answer(descriptor(call.ctx, fd).and_then(|open| open.host_fd().map_or(Ok(()), os::fdatasync)))
}

pub(crate) fn sync(call: &mut Call<'_>, (this,): (Borrow<Descriptor>,)) -> Answered<()> {
    let fd = fd(call, &this)?;
    answer(descriptor(call.ctx, fd).and_then(|open| open.host_fd().map_or(Ok(()), os::fsync)))
}

pub(crate) fn get_flags(
    call: &mut Call<'_>,
    (this,): (Borrow<Descriptor>,),
) -> Answered<DescriptorFlags> {
    let fd = fd(call, &this)?;
    answer(flags(call.ctx, fd))
}

fn flags(ctx: &Ctx, fd: u32) -> OsResult<DescriptorFlags> {
    let open = descriptor(ctx, fd)?;
    let flags = DescriptorFlags::empty();
    let (is_dir, may_change) = match &open.kind {
        Kind::Dir(dir) => (true, dir.is_preopen && !dir.read_only),
        Kind::Memory(node) if node.filetype() == FileType::Directory => {
            (true, node.preopen_name().is_some())
        }
        _ => (false, false),
    };
    if is_dir {
        // As with Wasmtime: no directory is opened to be changed.
        let flags = flags.with(DescriptorFlags::READ, true);
        return Ok(flags.with(DescriptorFlags::MUTATE_DIRECTORY, may_change));
    }
    let status = match open.host_fd() {
        Some(fd) => os::fcntl_getfl(fd)?,
        None => OFlags::empty(),
    };
    Ok(flags
        .with(DescriptorFlags::READ, open.rights & FD_READ != 0)
        .with(DescriptorFlags::WRITE, open.rights & FD_WRITE != 0)
        .with(
            DescriptorFlags::FILE_INTEGRITY_SYNC,
            status.contains(OFlags::SYNC),
        )
        .with(
            DescriptorFlags::REQUESTED_WRITE_SYNC,
            status.contains(OFlags::DSYNC),
        ))
}

pub(crate) fn get_type(
    call: &mut Call<'_>,
    (this,): (Borrow<Descriptor>,),
) -> Answered<DescriptorType> {
    let fd = fd(call, &this)?;
    answer(stat_of(call.ctx, fd).map(|stat| stat.filetype.into()))
}

pub(crate) fn set_size(
    call: &mut Call<'_>,
    (this, size): (Borrow<Descriptor>, u64),
) -> Answered<()> {
    let fd = fd(call, &this)?;
    let result = resize(call.ctx, fd, size);
    if result == Err(Errno::NOSPC) {
        call.ctx.refuse_tmpfs();
    }
    answer(result)
}

fn resize(ctx: &mut Ctx, fd: u32, size: u64) -> OsResult<()> {
    check_file(ctx, fd)?;
    let now = ctx.resources.clock.wall();
    let open = ctx.table.get(fd).map_err(|_| Errno::BADF)?;
    if open.is_read_only() {
        return Err(Errno::ROFS);
    }
    // What is not open for writing is an invalid argument to `ftruncate`.
    if open.rights & FD_FILESTAT_SET_SIZE == 0 {
        return Err(Errno::INVAL);
    }
    match &open.kind {
        Kind::File(file) => {
            if i64::try_from(size).is_ok() {
                ctx.resources.quota.check_file_size(size)?;
            }
            file.set_size(size)
        }
        Kind::Memory(node) => node.set_size(size, now),
        _ => Err(Errno::BADF),
    }
}

pub(crate) fn set_times(
    call: &mut Call<'_>,
    (this, accessed, modified): (Borrow<Descriptor>, NewTimestamp, NewTimestamp),
) -> Answered<()> {
    let fd = fd(call, &this)?;
    match new_times(accessed, modified) {
        Err(code) => Ok(Err(code)),
        Ok(times) => answer(set_times_of(call.ctx, fd, times)),
    }
}

fn set_times_of(ctx: &Ctx, fd: u32, times: NewTimes) -> OsResult<()> {
    let open = descriptor(ctx, fd)?;
    if open.is_read_only() {
        return Err(Errno::ROFS);
    }
    match (&open.kind, open.host_fd()) {
        (Kind::Memory(node), _) => node.set_times(times, ctx.resources.clock.wall()),
        (_, Some(fd)) => os::futimens(fd, &times.timestamps()),
        (_, None) => Err(Errno::BADF),
    }
}

pub(crate) fn read(
    call: &mut Call<'_>,
    (this, length, offset): (Borrow<Descriptor>, u64, u64),
) -> Answered<(Vec<u8>, bool)> {
    let fd = fd(call, &this)?;
    let bytes = file::read_at(call.ctx, fd, length, offset);
    answer(bytes.map(|bytes| {
        let is_end = bytes.is_empty();
        (bytes, is_end)
    }))
}

pub(crate) fn write(
    call: &mut Call<'_>,
    (this, bytes, offset): (Borrow<Descriptor>, ByteList, u64),
) -> Answered<u64> {
    let fd = fd(call, &this)?;
    let is_read_only = descriptor(call.ctx, fd).is_ok_and(|open| open.is_read_only());
    if is_read_only {
        return answer(Err(Errno::ROFS));
    }
    let bytes = call.memory.get(bytes.range()).unwrap_or_default();
    answer(file::write_at(call.ctx, fd, bytes, Some(offset)))
}

pub(crate) fn stat(
    call: &mut Call<'_>,
    (this,): (Borrow<Descriptor>,),
) -> Answered<DescriptorStat> {
    let fd = fd(call, &this)?;
    answer(stat_of(call.ctx, fd).map(DescriptorStat::from))
}

/// Metadata of what a descriptor stands for.
fn stat_of(ctx: &Ctx, fd: u32) -> OsResult<Stat> {
    match &descriptor(ctx, fd)?.kind {
        Kind::File(open) => open.stat(),
        Kind::Dir(open) => open.stat(),
        Kind::Memory(node) => node.stat(),
        Kind::Stream(_) | Kind::Socket(_) => Err(Errno::BADF),
    }
}

pub(crate) fn is_same_object(
    call: &mut Call<'_>,
    (this, other): (Borrow<Descriptor>, Borrow<Descriptor>),
) -> Called<bool> {
    let (this, other) = (fd(call, &this)?, fd(call, &other)?);
    let stats = (stat_of(call.ctx, this), stat_of(call.ctx, other));
    Ok(match stats {
        (Ok(this), Ok(other)) => (this.device, this.inode) == (other.device, other.inode),
        _ => false,
    })
}

pub(crate) fn metadata_hash(
    call: &mut Call<'_>,
    (this,): (Borrow<Descriptor>,),
) -> Answered<MetadataHashValue> {
    let fd = fd(call, &this)?;
    answer(stat_of(call.ctx, fd).map(|stat| MetadataHashValue::from(&stat)))
}

/// The error code of an error of a stream's that leads to a file or a standard stream.
pub(crate) fn filesystem_error_code(
    call: &mut Call<'_>,
    (error,): (Borrow<Error>,),
) -> Called<Option<ErrorCode>> {
    let error: &Error = call.component().resources.get(error.rep)?;
    let code = || Errno::from_raw_os_error(error.errno).into();
    Ok((!error.of_socket).then(code))
}
