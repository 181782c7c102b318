//! Calls on what a path names.

use rustix::fs::OFlags;

use super::descriptor::fd;
use super::types::{
    DescriptorFlags, DescriptorStat, ErrorCode, MetadataHashValue, NewTimestamp, OpenFlags,
    PathFlags, new_times,
};
use crate::errno::{Errno, Result as OsResult};
use crate::fs::{FileType, OpenDir, OpenRequest, Opened};
use crate::guest::Ctx;
use crate::guest::rights;
use crate::guest::table::Kind;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::file::descriptor;
use crate::p2::resource::Descriptor;
use crate::p2::stop::Called;
use crate::tmpfs::OpenNode;
use dormouse_model::Limit;

/// What a call gives, or its error code.
type Answered<T> = Called<Result<T, ErrorCode>>;

/// A directory of the host's or in memory.
enum Dir<'a> {
    Host(&'a OpenDir),
    Memory(&'a OpenNode),
}

/// The directory behind a descriptor.
fn dir(ctx: &Ctx, fd: u32) -> OsResult<Dir<'_>> {
    match &descriptor(ctx, fd)?.kind {
        Kind::Dir(dir) => Ok(Dir::Host(dir)),
        Kind::Memory(node) if node.filetype() == FileType::Directory => Ok(Dir::Memory(node)),
        _ => Err(Errno::NOTDIR),
    }
}

/// A path, if it can be one.
fn check(path: &str) -> OsResult<&str> {
    match path {
        "" => Err(Errno::NOENT),
        path if path.contains('\0') => Err(Errno::INVAL),
        path => Ok(path),
    }
}

/// What a call on the path in a directory gives.
fn at<T>(
    call: &mut Call<'_>,
    this: &Borrow<Descriptor>,
    path: &str,
    work: impl FnOnce(&Ctx, Dir<'_>, &str) -> OsResult<T>,
) -> Answered<T> {
    let fd = fd(call, this)?;
    let ctx = &*call.ctx;
    let result = dir(ctx, fd).and_then(|dir| work(ctx, dir, check(path)?));
    if matches!(result, Err(Errno::NOSPC)) && is_memory(call.ctx, fd) {
        call.ctx.refuse_tmpfs();
    }
    Ok(result.map_err(ErrorCode::from))
}

fn is_memory(ctx: &Ctx, fd: u32) -> bool {
    descriptor(ctx, fd).is_ok_and(|open| open.is_memory())
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

pub(crate) fn create_directory_at(
    call: &mut Call<'_>,
    (this, path): (Borrow<Descriptor>, String),
) -> Answered<()> {
    at(call, &this, &path, |ctx, dir, path| match dir {
        Dir::Host(dir) => dir.create_dir(path),
        Dir::Memory(dir) => dir.create_dir(path, ctx.resources.clock.wall()),
    })
}

pub(crate) fn stat_at(
    call: &mut Call<'_>,
    (this, flags, path): (Borrow<Descriptor>, PathFlags, String),
) -> Answered<DescriptorStat> {
    at(call, &this, &path, |_, dir, path| {
        let stat = match dir {
            Dir::Host(dir) => dir.stat_at(path, follows(flags)),
            Dir::Memory(dir) => dir.stat_at(path, follows(flags)),
        };
        stat.map(DescriptorStat::from)
    })
}

pub(crate) fn metadata_hash_at(
    call: &mut Call<'_>,
    (this, flags, path): (Borrow<Descriptor>, PathFlags, String),
) -> Answered<MetadataHashValue> {
    at(call, &this, &path, |_, dir, path| {
        let stat = match dir {
            Dir::Host(dir) => dir.stat_at(path, follows(flags)),
            Dir::Memory(dir) => dir.stat_at(path, follows(flags)),
        };
        stat.map(|stat| MetadataHashValue::from(&stat))
    })
}

pub(crate) fn set_times_at(
    call: &mut Call<'_>,
    (this, flags, path, accessed, modified): (
        Borrow<Descriptor>,
        PathFlags,
        String,
        NewTimestamp,
        NewTimestamp,
    ),
) -> Answered<()> {
    let times = match new_times(accessed, modified) {
        Ok(times) => times,
        Err(code) => return Ok(Err(code)),
    };
    let follow = follows(flags);
    at(call, &this, &path, |ctx, dir, path| match dir {
        Dir::Host(dir) => dir.set_times_at(path, follow, times),
        Dir::Memory(dir) => dir.set_times_at(path, follow, times, ctx.resources.clock.wall()),
    })
}

pub(crate) fn link_at(
    call: &mut Call<'_>,
    (this, flags, old, to, new): (
        Borrow<Descriptor>,
        PathFlags,
        String,
        Borrow<Descriptor>,
        String,
    ),
) -> Answered<()> {
    let to = fd(call, &to)?;
    at(call, &this, &old, |ctx, from, old| {
        let now = ctx.resources.clock.wall();
        let to = self::dir(ctx, to)?;
        // As with Wasmtime.
        if follows(flags) {
            return Err(Errno::INVAL);
        }
        let new = check(&new)?;
        match (from, to) {
            (Dir::Host(from), Dir::Host(to)) => from.link(old, to, new),
            (Dir::Memory(from), Dir::Memory(to)) if from.shares_tmpfs_with(to) => {
                from.link(old, to, new, now)
            }
            _ => Err(Errno::XDEV),
        }
    })
}

pub(crate) fn rename_at(
    call: &mut Call<'_>,
    (this, old, to, new): (Borrow<Descriptor>, String, Borrow<Descriptor>, String),
) -> Answered<()> {
    let to = fd(call, &to)?;
    at(call, &this, &old, |ctx, from, old| {
        let now = ctx.resources.clock.wall();
        let (to, new) = (self::dir(ctx, to)?, check(&new)?);
        match (from, to) {
            (Dir::Host(from), Dir::Host(to)) => from.rename(old, to, new),
            (Dir::Memory(from), Dir::Memory(to)) if from.shares_tmpfs_with(to) => {
                from.rename(old, to, new, now)
            }
            _ => Err(Errno::XDEV),
        }
    })
}

pub(crate) fn symlink_at(
    call: &mut Call<'_>,
    (this, target, path): (Borrow<Descriptor>, String, String),
) -> Answered<()> {
    at(call, &this, &path, |ctx, dir, path| {
        let target = check(&target)?;
        match dir {
            Dir::Host(dir) => dir.symlink(target, path),
            Dir::Memory(dir) => dir.symlink(target, path, ctx.resources.clock.wall()),
        }
    })
}

pub(crate) fn readlink_at(
    call: &mut Call<'_>,
    (this, path): (Borrow<Descriptor>, String),
) -> Answered<String> {
    at(call, &this, &path, |_, dir, path| match dir {
        Dir::Host(dir) => dir.read_link(path),
        Dir::Memory(dir) => dir.read_link(path),
    })
}

pub(crate) fn remove_directory_at(
    call: &mut Call<'_>,
    (this, path): (Borrow<Descriptor>, String),
) -> Answered<()> {
    at(call, &this, &path, |ctx, dir, path| match dir {
        Dir::Host(dir) => dir.remove_dir(path),
        Dir::Memory(dir) => dir.remove_dir(path, ctx.resources.clock.wall()),
    })
}

pub(crate) fn unlink_file_at(
    call: &mut Call<'_>,
    (this, path): (Borrow<Descriptor>, String),
) -> Answered<()> {
    at(call, &this, &path, |ctx, dir, path| match dir {
        Dir::Host(dir) => dir.unlink(path),
        Dir::Memory(dir) => dir.unlink(path, ctx.resources.clock.wall()),
    })
}

pub(crate) fn open_at(
    call: &mut Call<'_>,
    (this, path_flags, path, open_flags, flags): (
        Borrow<Descriptor>,
        PathFlags,
        String,
        OpenFlags,
        DescriptorFlags,
    ),
) -> Answered<Own<Descriptor>> {
    let from = fd(call, &this)?;
    // As with Wasmtime.
    let syncs = [
        DescriptorFlags::FILE_INTEGRITY_SYNC,
        DescriptorFlags::DATA_INTEGRITY_SYNC,
        DescriptorFlags::REQUESTED_WRITE_SYNC,
    ];
    if syncs.into_iter().any(|sync| flags.contains(sync)) {
        return Ok(Err(ErrorCode::Unsupported));
    }
    let (create, truncate) = (
        open_flags.contains(OpenFlags::CREATE),
        open_flags.contains(OpenFlags::TRUNCATE),
    );
    let writes = flags.contains(DescriptorFlags::WRITE);
    let request = OpenRequest {
        follow: follows(path_flags),
        create,
        exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
        truncate,
        directory: open_flags.contains(OpenFlags::DIRECTORY),
        // As with Wasmtime, what is not opened for writing can be read, and what is created or cut
        // off can be written.
        read: flags.contains(DescriptorFlags::READ) || !writes,
        write: writes || create || truncate,
        status: OFlags::empty(),
    };
    let opened = open(call.ctx, from, &path, &request);
    let quota = &mut call.ctx.resources.quota;
    let fd = match opened {
        Ok(fd) => fd,
        Err(errno) => {
            match errno {
                Errno::MFILE => quota.refuse(Limit::Files),
                Errno::NOSPC if is_memory(call.ctx, from) => call.ctx.refuse_tmpfs(),
                _ => {}
            }
            return Ok(Err(errno.into()));
        }
    };
    quota.grant();
    let resource = call.component().resources.push(Descriptor { fd })?;
    Ok(Ok(Own::new(resource)))
}

/// Opens what a path names, and gives the new descriptor.
fn open(ctx: &mut Ctx, from: u32, path: &str, request: &OpenRequest) -> OsResult<u32> {
    let found = dir(ctx, from)?;
    let path = check(path)?;
    // This is checked before anything is created.
    ctx.table.check_room().map_err(|_| Errno::MFILE)?;
    let (kind, read_only) = match found {
        Dir::Host(dir) => match dir.open(path, request)? {
            Opened::Done(node) => (Kind::from(node), dir.read_only),
            // A named pipe that nobody reads from. No call of this interface waits.
            Opened::Waits(_) => return Err(Errno::NXIO),
        },
        Dir::Memory(dir) => {
            let now = ctx.resources.clock.wall();
            (Kind::Memory(dir.open(path, request, now)?), false)
        }
    };
    let is_dir = match &kind {
        Kind::Dir(_) => true,
        Kind::Memory(node) => node.filetype() == FileType::Directory,
        _ => false,
    };
    let rights = match is_dir {
        true => rights::DIRECTORY,
        false => rights::file(request.read, request.write),
    };
    let rights = rights::allowed(rights, read_only);
    let opened = descriptor(ctx, from)?.opened(kind, rights, 0);
    ctx.table.insert(opened).map_err(|_| Errno::MFILE)
}
