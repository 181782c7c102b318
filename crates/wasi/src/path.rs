//! Calls that take a path (`path_*`). cap-std keeps every path inside its directory: neither `..`
//! nor an absolute path nor a symbolic link leads out.

use std::path::Path;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, FileTypeExt, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use super::abi::{Memory, Result, arg, arg64};
use super::errno::Errno;
use super::fd::{self, DirFd, FileFd, Kind, Table};
use super::pipe::{self, Opening};
use super::{Function, file, names, read_only, rights};

pub(super) const SYMLINK_FOLLOW: u32 = 1;
const CREAT: u32 = 1;
const DIRECTORY: u32 = 2;
const EXCL: u32 = 4;
const TRUNC: u32 = 8;

pub(super) fn call(
    table: &mut Table,
    function: Function,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    read_only::check(table, function, a, memory)?;
    match function {
        Function::PathCreateDirectory => {
            let path = path(memory, a, 1)?;
            let open = table.dir(arg(a, 0), rights::PATH_CREATE_DIRECTORY)?;
            names::create_dir(&open.dir, &path)
        }
        Function::PathRemoveDirectory => {
            let path = path(memory, a, 1)?;
            let open = table.dir(arg(a, 0), rights::PATH_REMOVE_DIRECTORY)?;
            names::remove_dir(&open.dir, &path)
        }
        Function::PathUnlinkFile => {
            let path = path(memory, a, 1)?;
            let open = table.dir(arg(a, 0), rights::PATH_UNLINK_FILE)?;
            names::unlink(&open.dir, &path)
        }
        Function::PathFilestatGet => {
            let path = path(memory, a, 2)?;
            let open = table.dir(arg(a, 0), rights::PATH_FILESTAT_GET)?;
            let stat = stat(&open.dir, &path, arg(a, 1) & SYMLINK_FOLLOW != 0)?;
            memory.write(arg(a, 4), &stat)
        }
        Function::PathFilestatSetTimes => set_times(table, a, memory),
        Function::PathLink => {
            let (old, new) = (path(memory, a, 2)?, path(memory, a, 5)?);
            if arg(a, 1) & SYMLINK_FOLLOW != 0 {
                return Err(Errno::Inval);
            }
            let from = table.dir(arg(a, 0), rights::PATH_LINK_SOURCE)?;
            let to = table.dir(arg(a, 4), rights::PATH_LINK_TARGET)?;
            names::link(&from.dir, &old, &to.dir, &new)
        }
        Function::PathRename => {
            let (old, new) = (path(memory, a, 1)?, path(memory, a, 4)?);
            let from = table.dir(arg(a, 0), rights::PATH_RENAME_SOURCE)?;
            let to = table.dir(arg(a, 3), rights::PATH_RENAME_TARGET)?;
            names::rename(&from.dir, &old, &to.dir, &new)
        }
        Function::PathSymlink => {
            let (target, link) = (path(memory, a, 0)?, path(memory, a, 3)?);
            let open = table.dir(arg(a, 2), rights::PATH_SYMLINK)?;
            names::symlink(&target, &open.dir, &link)
        }
        Function::PathReadlink => {
            let path = path(memory, a, 1)?;
            let open = table.dir(arg(a, 0), rights::PATH_READLINK)?;
            let target = open.dir.read_link(path)?.into_os_string();
            let target = target.into_string().map_err(|_| Errno::Ilseq)?;
            let length = target.len().min(arg(a, 4) as usize);
            memory.write(arg(a, 3), &target.as_bytes()[..length])?;
            memory.write_u32(arg(a, 5), length as u32)
        }
        _ => Err(Errno::Nosys),
    }
}

/// The path whose address is argument `index` and whose length is the next.
pub(super) fn path(memory: &Memory<'_>, a: &[u64], index: usize) -> Result<String> {
    let path = memory.text(arg(a, index), arg(a, index + 1))?;
    match path.is_empty() {
        true => Err(Errno::Noent),
        false => Ok(path),
    }
}

fn stat(dir: &Dir, path: &str, follow: bool) -> Result<[u8; 64]> {
    Ok(file::filestat(
        &match follow || names::names_directory(path) {
            true => dir.metadata(path)?,
            false => dir.symlink_metadata(path)?,
        },
    ))
}

fn set_times(table: &Table, a: &[u64], memory: &Memory<'_>) -> Result<()> {
    let path = path(memory, a, 2)?;
    let times = file::timestamps(arg64(a, 4), arg64(a, 5), arg(a, 6))?;
    let open = table.dir(arg(a, 0), rights::PATH_FILESTAT_SET_TIMES)?;
    let follow = arg(a, 1) & SYMLINK_FOLLOW != 0;
    names::set_times(&open.dir, &path, follow, &times)
}

/// `path_open`. `opened` is the named pipe that this very call has waited for; gives what it waits for.
pub(super) fn open(
    table: &mut Table,
    a: &[u64],
    memory: &mut Memory<'_>,
    opened: Option<cap_std::fs::File>,
) -> Result<Option<Opening>> {
    let path = path(memory, a, 2)?;
    let request = Asked::read(a)?;
    // Checked before anything is created.
    memory.check_result(arg(a, 8))?;
    table.check_room()?;
    let number = arg(a, 0);
    let read_only = table.dir(number, 0)?.read_only;
    request.check(table, number, read_only)?;
    let dir = table.dir(number, 0)?;
    let kind = match (opened, read_only) {
        (Some(file), _) => request.kind(dir, &path, file)?,
        (None, true) => request.open_to_read(dir, &path)?,
        (None, false) => match request.open(dir, &path)? {
            Opened::Is(kind) => kind,
            Opened::Waits(opening) => return Ok(Some(opening)),
        },
    };
    // As in Wasmtime, the rights asked for decide how a file is opened and nothing more: programs
    // ask for too few and never notice.
    let rights = match &kind {
        Kind::Dir(_) => rights::DIRECTORY,
        _ => rights::file(request.reads(), request.writes()),
    };
    let rights = rights::as_allowed(rights, read_only);
    let descriptor = table.get(number)?.opened(kind, rights, request.flags);
    let fd = table.insert(descriptor)?;
    memory.write_u32(arg(a, 8), fd)?;
    Ok(None)
}

/// What an open comes to.
enum Opened {
    Is(Kind),
    /// It is a named pipe to write to, and nobody reads from it yet.
    Waits(Opening),
}

/// What `path_open` asks for.
pub(super) struct Asked {
    pub(super) follow: bool,
    oflags: u32,
    rights: u64,
    /// What descriptors opened from the new one are to have.
    inheriting: u64,
    pub(super) flags: u16,
}

impl Asked {
    /// From the arguments of `path_open`.
    pub(super) fn read(a: &[u64]) -> Result<Self> {
        let (lookup, oflags) = (arg(a, 1), arg(a, 4));
        let flags = u16::try_from(arg(a, 7)).map_err(|_| Errno::Inval)?;
        let unknown = lookup & !SYMLINK_FOLLOW | oflags & !(CREAT | DIRECTORY | EXCL | TRUNC);
        match unknown != 0 || flags & !fd::ALL_FLAGS != 0 {
            true => Err(Errno::Inval),
            false => Ok(Self {
                follow: lookup & SYMLINK_FOLLOW != 0,
                oflags,
                rights: arg64(a, 5),
                inheriting: arg64(a, 6),
                flags,
            }),
        }
    }

    /// Fails where the directory lacks a right that this takes, or would have to pass on one that
    /// it does not pass on.
    pub(super) fn check(&self, table: &Table, number: u32, read_only: bool) -> Result<()> {
        let mut right = rights::PATH_OPEN;
        if self.creates() {
            right |= rights::PATH_CREATE_FILE;
        }
        if self.empties() {
            right |= rights::PATH_FILESTAT_SET_SIZE;
        }
        if self.flags & (fd::SYNC | fd::RSYNC) != 0 {
            right |= rights::FD_SYNC;
        }
        let descriptor = table.with(number, rights::as_allowed(right, read_only))?;
        // That to flush a file includes that to flush its data.
        let flushes = descriptor.rights & (rights::FD_DATASYNC | rights::FD_SYNC) != 0;
        let asked = (self.rights | self.inheriting) & rights::ALL;
        let passed_on = asked & !descriptor.inheriting == 0;
        match passed_on && (flushes || self.flags & fd::DSYNC == 0) {
            true => Ok(()),
            false => Err(Errno::Notcapable),
        }
    }

    pub(super) fn creates(&self) -> bool {
        self.oflags & CREAT != 0
    }

    /// What is created must not be there.
    pub(super) fn exclusive(&self) -> bool {
        self.oflags & (CREAT | EXCL) == CREAT | EXCL
    }

    pub(super) fn empties(&self) -> bool {
        self.oflags & TRUNC != 0
    }

    pub(super) fn must_be_dir(&self) -> bool {
        self.oflags & DIRECTORY != 0
    }

    /// Asks for what no directory can be opened with.
    pub(super) fn changes_files(&self) -> bool {
        self.oflags & (CREAT | EXCL | TRUNC) != 0
    }

    /// Whether the system is asked to open for writing. cap-std creates and empties only what it opens
    /// for writing, as Wasmtime does. The rights of the descriptor still keep the guest from it.
    pub(super) fn opens_for_writing(&self) -> bool {
        self.oflags & (CREAT | TRUNC) != 0 || self.writes()
    }

    pub(super) fn reads(&self) -> bool {
        self.rights & (rights::FD_READ | rights::FD_READDIR) != 0
    }

    /// Other rights do not count: Go asks for nearly all of them where it only wants to read, and
    /// a file that cannot be written to must open.
    pub(super) fn writes(&self) -> bool {
        self.rights & rights::FD_WRITE != 0
    }

    fn open(&self, dir: &DirFd, path: &str) -> Result<Opened> {
        if self.must_be_dir() && self.changes_files() {
            return Err(Errno::Inval);
        }
        if self.opens_for_writing() && !self.exclusive() && self.is_pipe(dir, path) {
            return self.open_pipe(dir, path);
        }
        let kind = match self.open_with(dir, path, self.opens_for_writing()) {
            // To create what is there already is no change.
            Err(Errno::Rofs) if self.only_creates() => match self.open_with(dir, path, false) {
                Err(Errno::Noent) => Err(Errno::Rofs),
                opened => opened,
            },
            opened => opened,
        };
        kind.map(Opened::Is)
    }

    /// Whether it is a named pipe. Another program may put one there right after this: then it is opened as a file
    /// is, which never waits.
    fn is_pipe(&self, dir: &DirFd, path: &str) -> bool {
        let found = match self.follow {
            true => dir.dir.metadata(path),
            false => dir.dir.symlink_metadata(path),
        };
        let found = found.as_ref().map(|found| found.file_type());
        // It looks like a file with a directory's path, too, for which the kernel has an errno.
        found.is_ok_and(|ty| ty.is_fifo()) && !names::names_directory(path)
    }

    /// Opens a named pipe. Neither is it made nor emptied, and it is opened for just what was asked: whoever writes to
    /// it alone waits for a reader, and whoever has both ends waits for nobody.
    fn open_pipe(&self, dir: &DirFd, path: &str) -> Result<Opened> {
        if self.must_be_dir() {
            return Err(Errno::Notdir);
        }
        let mut options = self.options(self.writes());
        options.create(false).truncate(false);
        match dir.dir.open_with(path, &options) {
            Ok(file) => self.kind(dir, path, file).map(Opened::Is),
            Err(error) if pipe::has_no_reader(&error) && self.flags & fd::NONBLOCK == 0 => {
                Opening::new(&dir.dir, path, options).map(Opened::Waits)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// It asks for a file that is made where there is none, and for no other change.
    fn only_creates(&self) -> bool {
        self.creates() && !self.exclusive() && !self.empties() && !self.writes()
    }

    /// The same in a directory that may only be read.
    fn open_to_read(&self, dir: &DirFd, path: &str) -> Result<Kind> {
        if self.must_be_dir() && self.changes_files() {
            return Err(Errno::Inval);
        }
        if !self.opens_for_writing() {
            return self.open_with(dir, path, false);
        }
        let found = match self.follow && !self.exclusive() {
            true => dir.dir.metadata(path),
            false => dir.dir.symlink_metadata(path),
        };
        match found {
            Ok(_) if self.exclusive() && path.ends_with('/') => Err(Errno::Isdir),
            Ok(_) if self.exclusive() => Err(Errno::Exist),
            Ok(found) if found.is_symlink() => Err(Errno::Loop),
            Ok(found) if found.is_dir() => Err(Errno::Isdir),
            Ok(_) if self.only_creates() => self.open_with(dir, path, false),
            // A pipe or a device, too: what it leads to is written to by whoever may write here.
            Ok(_) => Err(Errno::Rofs),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.creates() => {
                read_only::parent(&dir.dir, path)?;
                match path.ends_with('/') {
                    true => Err(Errno::Isdir),
                    false => Err(Errno::Rofs),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn options(&self, writes: bool) -> OpenOptions {
        let mut options = OpenOptions::new();
        options
            .read(self.reads() || !writes)
            .write(writes)
            .create(writes && self.creates())
            .create_new(self.exclusive())
            .truncate(self.empties())
            .custom_flags(status_flags(self.flags).bits() as i32)
            .follow(match self.follow {
                true => FollowSymlinks::Yes,
                false => FollowSymlinks::No,
            });
        options
    }

    fn open_with(&self, dir: &DirFd, path: &str, writes: bool) -> Result<Kind> {
        let file = dir.dir.open_with(path, &self.options(writes))?;
        self.kind(dir, path, file)
    }

    /// What has been opened.
    fn kind(&self, dir: &DirFd, path: &str, file: cap_std::fs::File) -> Result<Kind> {
        let (preopen, path) = (dir.preopen.clone(), join(&dir.path, path));
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Ok(Kind::Dir(DirFd {
                dir: Dir::from_std_file(file.into_std()),
                preopen,
                path,
                is_preopen: false,
                read_only: dir.read_only,
                listing: None,
            }));
        }
        match self.must_be_dir() {
            true => Err(Errno::Notdir),
            false => Ok(Kind::File(FileFd {
                file,
                preopen,
                path,
                read_only: dir.read_only,
                waits: !metadata.is_file(),
            })),
        }
    }
}

/// `fdflags` as the operating system's. Always `O_NONBLOCK`, whatever the guest asks for: it means
/// nothing for files, and keeps a named pipe from blocking the host instead of the guest.
pub(super) fn status_flags(flags: u16) -> OFlags {
    let mut status = OFlags::NONBLOCK;
    status.set(OFlags::APPEND, flags & fd::APPEND != 0);
    status.set(OFlags::DSYNC, flags & fd::DSYNC != 0);
    status.set(OFlags::SYNC, flags & (fd::SYNC | fd::RSYNC) != 0);
    status
}

/// The path below the preopened directory.
fn join(dir: &str, path: &str) -> String {
    match dir {
        "." => path.to_string(),
        dir => Path::new(dir).join(path).to_string_lossy().into_owned(),
    }
}
