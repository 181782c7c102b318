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
use super::{Function, file, rights};

const SYMLINK_FOLLOW: u32 = 1;
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
fn path(memory: &Memory<'_>, a: &[u64], index: usize) -> Result<String> {
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
    let request = Request {
        follow: arg(a, 1) & SYMLINK_FOLLOW != 0,
        oflags: arg(a, 4),
        rights: arg64(a, 5),
        flags: u16::try_from(arg(a, 7)).map_err(|_| Errno::Inval)?,
    };
    // Checked before anything is created.
    memory.bytes(arg(a, 8), 4)?;
    let right = match request.oflags & CREAT != 0 {
        true => rights::PATH_OPEN | rights::PATH_CREATE_FILE,
        false => rights::PATH_OPEN,
    };
    let dir = table.dir(arg(a, 0), right)?;
    let kind = request.open(dir, &path)?;
    // As in Wasmtime, the rights asked for decide how a file is opened and nothing more: programs
    // ask for too few and never notice.
    let (rights, inheriting) = match &kind {
        Kind::Dir(_) => (rights::DIRECTORY, rights::ALL),
        Kind::File(_) | Kind::Stream(_) => (request.file_rights(), 0),
    };
    let descriptor = Descriptor {
        rights,
        inheriting,
        flags: request.flags,
        kind,
    };
    let fd = table.insert(descriptor)?;
    memory.write_u32(arg(a, 8), fd)
}

/// What `path_open` asks for.
struct Request {
    follow: bool,
    oflags: u32,
    rights: u64,
    flags: u16,
}

impl Request {
    fn reads(&self) -> bool {
        self.rights & (rights::FD_READ | rights::FD_READDIR) != 0
    }

    fn writes(&self) -> bool {
        self.rights & rights::WRITING != 0
    }

    fn file_rights(&self) -> u64 {
        let mut rights = rights::FILE;
        if !self.reads() {
            rights &= !rights::FD_READ;
        }
        if !self.writes() {
            rights &= !rights::WRITING;
        }
        rights
    }

    fn open(&self, dir: &DirFd, path: &str) -> Result<Kind> {
        let writes = self.writes() || self.oflags & TRUNC != 0;
        if self.oflags & DIRECTORY != 0 {
            if self.oflags & (CREAT | EXCL | TRUNC) != 0 {
                return Err(Errno::Inval);
            }
            return self.open_dir(dir, path);
        }
        let mut options = OpenOptions::new();
        options
            .read(self.reads() || !writes)
            .write(writes)
            .create(self.oflags & CREAT != 0)
            .truncate(self.oflags & TRUNC != 0)
            .custom_flags(self.status().bits() as i32);
        if self.oflags & (CREAT | EXCL) == CREAT | EXCL {
            options.create_new(true);
        }
        options.follow(match self.follow {
            true => FollowSymlinks::Yes,
            false => FollowSymlinks::No,
        });
        let file = dir.dir.open_with(path, &options)?;
        if file.metadata()?.is_dir() {
            return match self.oflags & (CREAT | TRUNC) == 0 && !writes {
                true => self.open_dir(dir, path),
                false => Err(Errno::Isdir),
            };
        }
        Ok(Kind::File(FileFd {
            file,
            preopen: dir.preopen.clone(),
            path: join(&dir.path, path),
        }))
    }

    fn open_dir(&self, dir: &DirFd, path: &str) -> Result<Kind> {
        let opened = match self.follow {
            true => dir.dir.open_dir(path)?,
            false => dir.dir.open_dir_nofollow(path)?,
        };
        Ok(Kind::Dir(DirFd {
            dir: opened,
            preopen: dir.preopen.clone(),
            path: join(&dir.path, path),
            is_preopen: false,
            listing: None,
        }))
    }

    fn status(&self) -> OFlags {
        status_flags(self.flags)
    }
}

/// `fdflags` as the operating system's. Never `O_NONBLOCK`: it means nothing for files, and a
/// FIFO would answer otherwise after a resume.
pub(super) fn status_flags(flags: u16) -> OFlags {
    let mut status = OFlags::empty();
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
