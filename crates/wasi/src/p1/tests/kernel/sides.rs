//! The three that make the calls.

use std::fmt::Write as _;

use rustix::fs::{self as os, AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::calls::{LINKS, One, PIPES, Side, Two, build, filetype, host_tree};
use crate::TmpDir;
use crate::p1::tests::*;

/// The system itself.
pub(super) struct Kernel {
    dir: TempDir,
    fd: std::fs::File,
}

impl Kernel {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        build(dir.path(), true);
        let fd = std::fs::File::open(dir.path()).expect("a directory");
        Self { dir, fd }
    }
}

fn told<T>(result: rustix::io::Result<T>) -> String {
    match result {
        Ok(_) => "Success".into(),
        Err(errno) => format!("{:?}", Errno::from(errno)),
    }
}

fn flags(follow: bool) -> AtFlags {
    match follow {
        true => AtFlags::empty(),
        false => AtFlags::SYMLINK_NOFOLLOW,
    }
}

impl Side for Kernel {
    fn one(&mut self, call: &One, path: &str) -> String {
        let fd = &self.fd;
        match *call {
            One::MakeDir => told(os::mkdirat(fd, path, Mode::from_raw_mode(0o777))),
            One::RemoveDir => told(os::unlinkat(fd, path, AtFlags::REMOVEDIR)),
            One::Unlink => told(os::unlinkat(fd, path, AtFlags::empty())),
            One::Stat(follow) => match os::statat(fd, path, flags(follow)) {
                Ok(stat) => format!("type {}", filetype(stat.st_mode)),
                Err(errno) => told::<()>(Err(errno)),
            },
            One::SetTimes(follow) => {
                let time = Timespec {
                    tv_sec: 1000,
                    tv_nsec: 5,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                told(os::utimensat(fd, path, &times, flags(follow)))
            }
            One::ReadLink => match os::readlinkat(fd, path, Vec::new()) {
                Ok(target) => target.to_string_lossy().into_owned(),
                Err(errno) => told::<()>(Err(errno)),
            },
            One::Symlink => told(os::symlinkat("f", fd, path)),
            One::Open {
                oflags,
                rights,
                follow,
            } => {
                let mut flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
                flags |= match (rights & READ != 0, rights & WRITE != 0) {
                    (true, true) => OFlags::RDWR,
                    (_, true) => OFlags::WRONLY,
                    _ => OFlags::RDONLY,
                };
                flags.set(OFlags::CREATE, oflags & CREAT != 0);
                flags.set(OFlags::EXCL, oflags & EXCL != 0);
                flags.set(OFlags::TRUNC, oflags & TRUNC != 0);
                flags.set(OFlags::DIRECTORY, oflags & DIRECTORY != 0);
                flags.set(OFlags::NOFOLLOW, !follow);
                match os::openat(fd, path, flags, Mode::from_raw_mode(0o666)) {
                    Ok(file) => format!(
                        "type {}",
                        filetype(os::fstat(file).expect("it is open").st_mode)
                    ),
                    // Without the flag it would not have failed.
                    Err(rustix::io::Errno::NXIO) => "waits".into(),
                    Err(errno) => told::<()>(Err(errno)),
                }
            }
        }
    }

    fn two(&mut self, call: Two, old: &str, new: &str) -> String {
        let fd = &self.fd;
        told(match call {
            Two::Rename => os::renameat(fd, old, fd, new),
            Two::Link => os::linkat(fd, old, fd, new, AtFlags::empty()),
        })
    }

    fn tree(&mut self) -> String {
        let mut text = String::new();
        host_tree(self.dir.path(), "", &mut text);
        text
    }
}

/// A guest, in a directory of the host's or in one in memory.
pub(super) struct Ours {
    guest: Guest,
    pub(super) memory: bool,
}

impl Ours {
    pub(super) fn new(memory: bool) -> Self {
        let mut guest = Guest::new();
        if !memory {
            build(guest.host.path(), true);
            return Self { guest, memory };
        }
        let config = Config {
            tmpfs: vec![TmpDir {
                guest: "/".into(),
                limit: 1 << 20,
            }],
            ..Config::default()
        };
        guest.ctx = Ctx::new(config, Bindings::default(), guest.clock.clone()).expect("a context");
        for dir in ["d", "n"] {
            assert_eq!(
                guest.path_call(Function::PathCreateDirectory, dir),
                Errno::Success
            );
        }
        for (file, text) in [("f", "file"), ("n/f", "other")] {
            let fd = guest.open(file, CREAT, WRITE, 0).expect("a file");
            guest.write(fd, text.as_bytes()).expect("room");
            assert_eq!(
                guest.errno(Function::FdClose, &[u64::from(fd)]),
                Errno::Success
            );
        }
        let mut ours = Self { guest, memory };
        for (name, target) in LINKS {
            if !PIPES.contains(&name) {
                assert_eq!(ours.symlink(target, name), "Success");
            }
        }
        ours
    }

    fn symlink(&mut self, target: &str, path: &str) -> String {
        self.guest.put(OTHER_PATH, target.as_bytes());
        self.guest.put(PATH, path.as_bytes());
        let arguments = [
            u64::from(OTHER_PATH),
            target.len() as u64,
            u64::from(ROOT),
            u64::from(PATH),
            path.len() as u64,
        ];
        format!("{:?}", self.guest.errno(Function::PathSymlink, &arguments))
    }

    /// A call whose arguments are a directory, lookup flags, a path, and what follows.
    fn looked_up(&mut self, function: Function, follow: bool, path: &str, more: &[u64]) -> Errno {
        self.guest.put(PATH, path.as_bytes());
        let mut arguments = vec![
            u64::from(ROOT),
            u64::from(follow),
            u64::from(PATH),
            path.len() as u64,
        ];
        arguments.extend(more);
        self.guest.errno(function, &arguments)
    }

    fn memory_tree(&mut self, dir: u32, below: &str, text: &mut String) {
        let (names, _) = self.guest.readdir(dir, 32768, 0);
        let mut names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        names.sort();
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            let shown = format!("{below}{name}");
            assert_eq!(
                self.looked_up(Function::PathFilestatGet, false, &shown, &[u64::from(DATA)]),
                Errno::Success
            );
            let links = self.guest.u64_at(DATA + 24);
            match self.guest.bytes(DATA + 16, 1)[0] {
                3 => {
                    let fd = self
                        .guest
                        .open(&shown, DIRECTORY, READ, 0)
                        .expect("a directory");
                    let _ = writeln!(text, "{shown}/");
                    self.memory_tree(fd, &format!("{shown}/"), text);
                    self.guest.errno(Function::FdClose, &[u64::from(fd)]);
                }
                7 => {
                    let target = self.one(&One::ReadLink, &shown);
                    let _ = writeln!(text, "{shown} -> {target}");
                }
                _ => {
                    let fd = self
                        .guest
                        .open_at(ROOT, 0, &shown, 0, READ, 0)
                        .expect("a file");
                    let bytes = self.guest.read(fd, 100).expect("it reads");
                    let _ = writeln!(
                        text,
                        "{shown} x{links}: {}",
                        String::from_utf8_lossy(&bytes)
                    );
                    self.guest.errno(Function::FdClose, &[u64::from(fd)]);
                }
            }
        }
    }
}

impl Side for Ours {
    fn one(&mut self, call: &One, path: &str) -> String {
        let errno = match *call {
            One::MakeDir => self.guest.path_call(Function::PathCreateDirectory, path),
            One::RemoveDir => self.guest.path_call(Function::PathRemoveDirectory, path),
            One::Unlink => self.guest.path_call(Function::PathUnlinkFile, path),
            One::Stat(follow) => {
                match self.looked_up(Function::PathFilestatGet, follow, path, &[u64::from(DATA)]) {
                    Errno::Success => return format!("type {}", self.guest.bytes(DATA + 16, 1)[0]),
                    errno => errno,
                }
            }
            One::SetTimes(follow) => {
                let time = 1_000_000_000_005;
                self.looked_up(
                    Function::PathFilestatSetTimes,
                    follow,
                    path,
                    &[time, time, 5],
                )
            }
            One::ReadLink => {
                self.guest.put(PATH, path.as_bytes());
                let arguments = [
                    u64::from(ROOT),
                    u64::from(PATH),
                    path.len() as u64,
                    u64::from(DATA),
                    100,
                    u64::from(RESULT),
                ];
                match self.guest.errno(Function::PathReadlink, &arguments) {
                    Errno::Success => {
                        let target = self.guest.bytes(DATA, self.guest.u32_at(RESULT));
                        return String::from_utf8_lossy(target).into_owned();
                    }
                    errno => errno,
                }
            }
            One::Symlink => return self.symlink("f", path),
            One::Open {
                oflags,
                rights,
                follow,
            } => {
                self.guest.put(PATH, path.as_bytes());
                let arguments = [
                    u64::from(ROOT),
                    u64::from(follow),
                    u64::from(PATH),
                    path.len() as u64,
                    u64::from(oflags),
                    rights,
                    0,
                    0,
                    u64::from(RESULT),
                ];
                match self.guest.call(Function::PathOpen, &arguments) {
                    Outcome::Done(Errno::Success) => {
                        let fd = self.guest.u32_at(RESULT);
                        let (ty, ..) = self.guest.fdstat(fd);
                        self.guest.errno(Function::FdClose, &[u64::from(fd)]);
                        return format!("type {ty}");
                    }
                    Outcome::Block(_) => return "waits".into(),
                    Outcome::Done(errno) => errno,
                    other => panic!("{other:?}"),
                }
            }
        };
        format!("{errno:?}")
    }

    fn two(&mut self, call: Two, old: &str, new: &str) -> String {
        self.guest.put(PATH, old.as_bytes());
        self.guest.put(OTHER_PATH, new.as_bytes());
        let (root, old_at, old_length) = (u64::from(ROOT), u64::from(PATH), old.len() as u64);
        let (new_at, new_length) = (u64::from(OTHER_PATH), new.len() as u64);
        let errno = match call {
            Two::Rename => {
                let arguments = [root, old_at, old_length, root, new_at, new_length];
                self.guest.errno(Function::PathRename, &arguments)
            }
            Two::Link => {
                let arguments = [root, 0, old_at, old_length, root, new_at, new_length];
                self.guest.errno(Function::PathLink, &arguments)
            }
        };
        format!("{errno:?}")
    }

    fn tree(&mut self) -> String {
        let mut text = String::new();
        match self.memory {
            true => self.memory_tree(ROOT, "", &mut text),
            false => host_tree(self.guest.host.path(), "", &mut text),
        }
        text
    }

    fn knows_pipes(&self) -> bool {
        !self.memory
    }
}
