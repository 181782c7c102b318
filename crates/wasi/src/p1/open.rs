//! `path_open`.

use cap_std::fs::File;
use dormouse_model::Wait;

use super::errno::Errno;
use super::memory::{Memory, Result, arg, arg64};
use super::path::{SYMLINK_FOLLOW, follows, path};
use crate::fs::{FifoOpening, OpenRequest, Opened};
use crate::guest::Ctx;
use crate::guest::table::{Kind, Table};
use crate::guest::{fdflags, rights, wait};

/// `oflags` of the specification.
const CREAT: u32 = 1;
const DIRECTORY: u32 = 2;
const EXCL: u32 = 4;
const TRUNC: u32 = 8;

/// What the arguments of `path_open` ask for.
pub(super) struct OpenArguments {
    pub(super) request: OpenRequest,
    /// The rights that the new descriptor is to have.
    rights: u64,
    /// The rights that descriptors opened from the new one are to have.
    inheriting: u64,
    pub(super) fdflags: u16,
}

impl OpenArguments {
    pub(super) fn read(a: &[u64]) -> Result<Self> {
        let (lookupflags, oflags, rights) = (arg(a, 1), arg(a, 4), arg64(a, 5));
        let fdflags = u16::try_from(arg(a, 7)).map_err(|_| Errno::Inval)?;
        let unknown = lookupflags & !SYMLINK_FOLLOW | oflags & !(CREAT | DIRECTORY | EXCL | TRUNC);
        if unknown != 0 || fdflags & !fdflags::ALL != 0 {
            return Err(Errno::Inval);
        }
        Ok(Self {
            request: OpenRequest {
                follow: follows(lookupflags),
                create: oflags & CREAT != 0,
                exclusive: oflags & EXCL != 0,
                truncate: oflags & TRUNC != 0,
                directory: oflags & DIRECTORY != 0,
                // Other rights do not count: Go asks for nearly all of them where it only wants to
                // read, and a file that cannot be written to must open.
                read: rights & (rights::FD_READ | rights::FD_READDIR) != 0,
                write: rights & rights::FD_WRITE != 0,
                status: fdflags::status(fdflags),
            },
            rights,
            inheriting: arg64(a, 6),
            fdflags,
        })
    }

    /// Fails where the directory's descriptor lacks a right that this open needs, or does not pass
    /// on a right that is asked for. `read_only` says whether the guest may only read there.
    pub(super) fn check(&self, table: &Table, dir: u32, read_only: bool) -> Result<()> {
        let mut right = rights::PATH_OPEN;
        if self.request.create {
            right |= rights::PATH_CREATE_FILE;
        }
        if self.request.truncate {
            right |= rights::PATH_FILESTAT_SET_SIZE;
        }
        if self.fdflags & (fdflags::SYNC | fdflags::RSYNC) != 0 {
            right |= rights::FD_SYNC;
        }
        let descriptor = table.with(dir, rights::allowed(right, read_only))?;
        // The right to flush a file includes the right to flush its data.
        let flushes = descriptor.rights & (rights::FD_DATASYNC | rights::FD_SYNC) != 0;
        let asked = (self.rights | self.inheriting) & rights::ALL;
        let passed_on = asked & !descriptor.inheriting == 0;
        match passed_on && (flushes || self.fdflags & fdflags::DSYNC == 0) {
            true => Ok(()),
            false => Err(Errno::Notcapable),
        }
    }

    /// The rights of what has been opened. As in Wasmtime, the rights asked for decide how a file
    /// is opened and nothing more: programs ask for too few and never notice.
    pub(super) fn rights_of(&self, is_dir: bool) -> u64 {
        match is_dir {
            true => rights::DIRECTORY,
            false => rights::file(self.request.read, self.request.write),
        }
    }
}

/// `path_open` in a directory of the host's; gives the wait where it is for a named pipe that
/// nobody reads from yet.
pub(super) fn path_open(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let before = ctx.opening.take().filter(|_| woken.is_some());
    let opened = before.and_then(FifoOpening::into_file);
    ctx.opening = open(&mut ctx.table, a, memory, opened)?;
    Ok(ctx.opening.as_ref().map(|_| wait::for_fifo_reader()))
}

/// Opens what the arguments name, or gives the named pipe that the call has to wait for. `opened`
/// is the pipe that this very call has waited for.
fn open(
    table: &mut Table,
    a: &[u64],
    memory: &mut Memory<'_>,
    opened: Option<File>,
) -> Result<Option<FifoOpening>> {
    let path = path(memory, a, 2)?;
    let arguments = OpenArguments::read(a)?;
    // These are checked before anything is created.
    memory.check_result(arg(a, 8))?;
    table.check_room()?;
    let number = arg(a, 0);
    let read_only = table.dir(number, 0)?.read_only;
    arguments.check(table, number, read_only)?;
    let dir = table.dir(number, 0)?;
    let node = match opened {
        Some(file) => dir.opened(&path, &arguments.request, file)?,
        None => match dir.open(&path, &arguments.request)? {
            Opened::Done(node) => node,
            Opened::Waits(opening) => return Ok(Some(opening)),
        },
    };
    let kind = Kind::from(node);
    let rights = arguments.rights_of(matches!(kind, Kind::Dir(_)));
    let rights = rights::allowed(rights, read_only);
    let directory = table.get(number)?;
    let descriptor = directory.opened(kind, rights, arguments.fdflags);
    let fd = table.insert(descriptor)?;
    memory.write_u32(arg(a, 8), fd)?;
    Ok(None)
}
