//! Calls that take a path (`path_*`). cap-std keeps every path inside its directory: neither `..`
//! nor an absolute path nor a symbolic link leads out.

use std::path::Path;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, SystemTimeSpec};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use cap_std::time::{Duration, SystemTime};
use rustix::fs::OFlags;

use super::abi::{Memory, Result, arg, arg64};
use super::errno::Errno;
use super::fd::{self, Descriptor, DirFd, FileFd, Kind, Table};
use super::{Function, file, read_only, rights};

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
        Function::PathOpen => open(table, a, memory),
        Function::PathCreateDirectory => {
            let path = path(memory, a, 1)?;
            let open = table.dir(arg(a, 0), rights::PATH_CREATE_DIRECTORY)?;
            Ok(open.dir.create_dir(path)?)
        }
        Function::PathRemoveDirectory => {
            let path = path(memory, a, 1)?;
            let open = table.dir(arg(a, 0), rights::PATH_REMOVE_DIRECTORY)?;
            Ok(open.dir.remove_dir(path)?)
        }
        Function::PathUnlinkFile => {
            let path = path(memory, a, 1)?;
            let open = table.dir(arg(a, 0), rights::PATH_UNLINK_FILE)?;
            Ok(open.dir.remove_file_or_symlink(path)?)
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
            Ok(from.dir.hard_link(old, &to.dir, new)?)
        }
        Function::PathRename => {
            let (old, new) = (path(memory, a, 1)?, path(memory, a, 4)?);
            let from = table.dir(arg(a, 0), rights::PATH_RENAME_SOURCE)?;
            let to = table.dir(arg(a, 3), rights::PATH_RENAME_TARGET)?;
            Ok(from.dir.rename(old, &to.dir, new)?)
        }
        Function::PathSymlink => {
            let (target, link) = (path(memory, a, 0)?, path(memory, a, 3)?);
            let open = table.dir(arg(a, 2), rights::PATH_SYMLINK)?;
            Ok(DirExt::symlink(&open.dir, target, link)?)
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
    Ok(file::filestat(&match follow {
        true => dir.metadata(path)?,
        false => dir.symlink_metadata(path)?,
    }))
}

fn set_times(table: &Table, a: &[u64], memory: &Memory<'_>) -> Result<()> {
    let path = path(memory, a, 2)?;
    let (access, modification, flags) = (arg64(a, 4), arg64(a, 5), arg(a, 6));
    // Checks the flags.
    file::timestamps(access, modification, flags)?;
    let time = |value: u64, set: u32, now: u32| {
        if flags & now != 0 {
            Some(SystemTimeSpec::SymbolicNow)
        } else if flags & set != 0 {
            let since = Duration::from_nanos(value);
            Some(SystemTimeSpec::from(SystemTime::from_std(
                std::time::SystemTime::UNIX_EPOCH + since,
            )))
        } else {
            None
        }
    };
    let (access, modification) = (time(access, 1, 2), time(modification, 4, 8));
    let open = table.dir(arg(a, 0), rights::PATH_FILESTAT_SET_TIMES)?;
    match arg(a, 1) & SYMLINK_FOLLOW != 0 {
        true => Ok(DirExt::set_times(&open.dir, path, access, modification)?),
        false => Ok(open.dir.set_symlink_times(path, access, modification)?),
    }
}

fn open(table: &mut Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let path = path(memory, a, 2)?;
    let request = Asked::read(a)?;
    // Checked before anything is created.
    memory.check_result(arg(a, 8))?;
    table.check_room()?;
    let read_only = table.dir(arg(a, 0), 0)?.read_only;
    let right = rights::as_allowed(request.right(), read_only);
    let dir = table.dir(arg(a, 0), right)?;
    let kind = match read_only {
        true => request.open_to_read(dir, &path)?,
        false => request.open(dir, &path)?,
    };
    // As in Wasmtime, the rights asked for decide how a file is opened and nothing more: programs
    // ask for too few and never notice.
    let (rights, inheriting) = match &kind {
        Kind::Dir(_) => (rights::DIRECTORY, rights::ALL),
        _ => (rights::file(request.reads(), request.writes()), 0),
    };
    let descriptor = Descriptor {
        rights: rights::as_allowed(rights, read_only),
        inheriting,
        flags: request.flags,
        kind,
    };
    let fd = table.insert(descriptor)?;
    memory.write_u32(arg(a, 8), fd)
}

/// What `path_open` asks for.
pub(super) struct Asked {
    pub(super) follow: bool,
    oflags: u32,
    rights: u64,
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
                flags,
            }),
        }
    }

    /// The right that the directory must have.
    pub(super) fn right(&self) -> u64 {
        match self.creates() {
            true => rights::PATH_OPEN | rights::PATH_CREATE_FILE,
            false => rights::PATH_OPEN,
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
        let changes = self.oflags & (CREAT | TRUNC) != 0;
        changes || (self.writes() && !self.must_be_dir())
    }

    pub(super) fn reads(&self) -> bool {
        self.rights & (rights::FD_READ | rights::FD_READDIR) != 0
    }

    /// Other rights do not count: Go asks for nearly all of them where it only wants to read, and
    /// a file that cannot be written to must open.
    pub(super) fn writes(&self) -> bool {
        self.rights & rights::FD_WRITE != 0
    }

    fn open(&self, dir: &DirFd, path: &str) -> Result<Kind> {
        if self.must_be_dir() && self.changes_files() {
            return Err(Errno::Inval);
        }
        match self.open_with(dir, path, self.opens_for_writing()) {
            // To create what is there already is no change.
            Err(Errno::Rofs) if self.only_creates() => match self.open_with(dir, path, false) {
                Err(Errno::Noent) => Err(Errno::Rofs),
                opened => opened,
            },
            opened => opened,
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

    fn open_with(&self, dir: &DirFd, path: &str, writes: bool) -> Result<Kind> {
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
        let file = dir.dir.open_with(path, &options)?;
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
