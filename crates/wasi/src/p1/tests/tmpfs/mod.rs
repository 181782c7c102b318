//! A directory in memory beside a real one: the same calls, the same answers. The oracle is the
//! host's file system behind the calls on real directories.

use dormouse_model::Timestamp;
use std::sync::Arc;

use dormouse_model::clock::SimClock;

use crate::p1::errno::Errno;
use crate::p1::memory::Result;
use crate::{Bindings, Config, Ctx, Error, Function, HostDir, Outcome, RestoreOptions, TmpDir};

/// `filetype` of the specification.
const DIRECTORY: u8 = 3;

const MEMORY: usize = 1 << 16;
const RESULT: u32 = 64;
const BUFFERS: u32 = 128;
const PATH: u32 = 1024;
const OTHER: u32 = 8192;
const DATA: u32 = 16384;
const ROOT_FD: u32 = 3;
const ALL: u64 = (1 << 28) - 1;

mod against_host;
mod cases;

/// A guest with one directory, in memory or not.
struct Side {
    ctx: Ctx,
    memory: Vec<u8>,
    clock: Arc<SimClock>,
    host: Option<tempfile::TempDir>,
}

impl Side {
    fn new(real: bool, limit: u64) -> Self {
        let clock = Arc::new(SimClock::at(Timestamp::from_nanos(
            1_700_000_000_000_000_000,
        )));
        let host = real.then(|| tempfile::tempdir().expect("a folder"));
        let config = Config {
            tmpfs: match real {
                true => Vec::new(),
                false => vec![TmpDir {
                    guest: "/".into(),
                    limit,
                }],
            },
            ..Config::default()
        };
        let bindings = bindings(host.as_ref());
        Self {
            ctx: Ctx::new(config, bindings, clock.clone()).expect("a context"),
            memory: vec![0; MEMORY],
            clock,
            host,
        }
    }

    fn errno(&mut self, function: Function, arguments: &[u64]) -> Errno {
        match self.ctx.call(function, arguments, &mut self.memory, None) {
            Outcome::Done(errno) => errno,
            other => panic!("{function:?} gave {other:?}"),
        }
    }

    fn put(&mut self, address: u32, bytes: &[u8]) -> [u64; 2] {
        self.memory[address as usize..][..bytes.len()].copy_from_slice(bytes);
        [u64::from(address), bytes.len() as u64]
    }

    fn u32(&self) -> u32 {
        u32::from_le_bytes(self.memory[64..68].try_into().expect("four bytes"))
    }

    fn path(&mut self, function: Function, dir: u32, path: &str) -> Errno {
        let [at, length] = self.put(PATH, path.as_bytes());
        self.errno(function, &[u64::from(dir), at, length])
    }

    fn open(
        &mut self,
        dir: u32,
        follow: bool,
        path: &str,
        oflags: u32,
        rights: u64,
        flags: u32,
    ) -> Result<u32> {
        let [at, length] = self.put(PATH, path.as_bytes());
        let arguments = [
            u64::from(dir),
            u64::from(follow),
            at,
            length,
            u64::from(oflags),
            rights,
            rights,
            u64::from(flags),
            u64::from(RESULT),
        ];
        match self.errno(Function::PathOpen, &arguments) {
            Errno::Success => Ok(self.u32()),
            errno => Err(errno),
        }
    }

    fn buffers(&mut self, list: &[(u32, u32)]) -> [u64; 2] {
        for (index, (address, length)) in (0..).zip(list) {
            self.put(BUFFERS + 8 * index, &address.to_le_bytes());
            self.put(BUFFERS + 8 * index + 4, &length.to_le_bytes());
        }
        [u64::from(BUFFERS), list.len() as u64]
    }

    fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32> {
        self.put(DATA, bytes);
        let half = bytes.len() as u32 / 2;
        let rest = bytes.len() as u32 - half;
        let [list, count] = self.buffers(&[(DATA, half), (DATA + half, rest)]);
        match self.errno(
            Function::FdWrite,
            &[u64::from(fd), list, count, u64::from(RESULT)],
        ) {
            Errno::Success => Ok(self.u32()),
            errno => Err(errno),
        }
    }

    fn read(&mut self, fd: u32, length: u32) -> Result<Vec<u8>> {
        let [list, count] =
            self.buffers(&[(DATA, length / 2), (DATA + length / 2, length - length / 2)]);
        match self.errno(
            Function::FdRead,
            &[u64::from(fd), list, count, u64::from(RESULT)],
        ) {
            Errno::Success => Ok(self.memory[DATA as usize..][..self.u32() as usize].to_vec()),
            errno => Err(errno),
        }
    }

    /// Type, links and, of what is no directory, the size.
    fn stat(&self) -> (u8, u64, u64) {
        let stat = &self.memory[DATA as usize..][..64];
        let number = |at: usize| u64::from_le_bytes(stat[at..at + 8].try_into().expect("eight"));
        match stat[16] {
            // File systems differ in what a directory's size and links are.
            DIRECTORY => (DIRECTORY, 0, 0),
            filetype => (filetype, number(24), number(32)),
        }
    }

    fn names(&mut self, fd: u32) -> Result<Vec<(String, u8)>> {
        let arguments = [u64::from(fd), u64::from(DATA), 32768, 0, u64::from(RESULT)];
        match self.errno(Function::FdReaddir, &arguments) {
            Errno::Success => {}
            errno => return Err(errno),
        }
        let (mut at, end) = (DATA as usize, DATA as usize + self.u32() as usize);
        let mut names = Vec::new();
        while at < end {
            let length =
                u32::from_le_bytes(self.memory[at + 16..at + 20].try_into().expect("four"));
            let name = &self.memory[at + 24..][..length as usize];
            names.push((String::from_utf8_lossy(name).into(), self.memory[at + 20]));
            at += 24 + length as usize;
        }
        Ok(names)
    }

    /// Through the bytes of a snapshot.
    fn sleep(&mut self) -> std::result::Result<(), Error> {
        let bytes = rmp_serde::to_vec_named(&self.ctx.save()?).expect("plain data");
        let state = rmp_serde::from_slice(&bytes).expect("what was just written");
        let options = RestoreOptions::default();
        let bindings = bindings(self.host.as_ref());
        self.ctx = Ctx::restore(state, bindings, options, self.clock.clone())?;
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of step")]
    fn run(&mut self, step: &Step) -> String {
        match step {
            Step::Open(dir, follow, path, oflags, writes, append) => {
                let rights = match writes {
                    true => ALL,
                    false => ALL & !crate::guest::rights::FD_WRITE,
                };
                format!(
                    "{:?}",
                    self.open(*dir, *follow, path, *oflags, rights, u32::from(*append))
                )
            }
            Step::Close(fd) => format!("{:?}", self.errno(Function::FdClose, &[u64::from(*fd)])),
            Step::MakeDir(dir, path) => {
                format!("{:?}", self.path(Function::PathCreateDirectory, *dir, path))
            }
            Step::RemoveDir(dir, path) => {
                format!("{:?}", self.path(Function::PathRemoveDirectory, *dir, path))
            }
            Step::Unlink(dir, path) => {
                format!("{:?}", self.path(Function::PathUnlinkFile, *dir, path))
            }
            Step::Rename(from, old, to, new) => {
                let [old, old_length] = self.put(PATH, old.as_bytes());
                let [new, new_length] = self.put(OTHER, new.as_bytes());
                let arguments = [
                    u64::from(*from),
                    old,
                    old_length,
                    u64::from(*to),
                    new,
                    new_length,
                ];
                format!("{:?}", self.errno(Function::PathRename, &arguments))
            }
            Step::Link(from, old, to, new) => {
                let [old, old_length] = self.put(PATH, old.as_bytes());
                let [new, new_length] = self.put(OTHER, new.as_bytes());
                let arguments = [
                    u64::from(*from),
                    0,
                    old,
                    old_length,
                    u64::from(*to),
                    new,
                    new_length,
                ];
                format!("{:?}", self.errno(Function::PathLink, &arguments))
            }
            Step::Symlink(target, dir, path) => {
                let [target, target_length] = self.put(PATH, target.as_bytes());
                let [path, length] = self.put(OTHER, path.as_bytes());
                let arguments = [target, target_length, u64::from(*dir), path, length];
                format!("{:?}", self.errno(Function::PathSymlink, &arguments))
            }
            Step::ReadLink(dir, path) => {
                let [path, length] = self.put(PATH, path.as_bytes());
                let arguments = [
                    u64::from(*dir),
                    path,
                    length,
                    u64::from(DATA),
                    5,
                    u64::from(RESULT),
                ];
                match self.errno(Function::PathReadlink, &arguments) {
                    Errno::Success => {
                        format!("{:?}", &self.memory[DATA as usize..][..self.u32() as usize])
                    }
                    errno => format!("{errno:?}"),
                }
            }
            Step::Stat(dir, follow, path) => {
                let [path, length] = self.put(PATH, path.as_bytes());
                let arguments = [
                    u64::from(*dir),
                    u64::from(*follow),
                    path,
                    length,
                    u64::from(DATA),
                ];
                match self.errno(Function::PathFilestatGet, &arguments) {
                    Errno::Success => format!("{:?}", self.stat()),
                    errno => format!("{errno:?}"),
                }
            }
            Step::SetTimes(dir, follow, path) => {
                let [path, length] = self.put(PATH, path.as_bytes());
                let arguments = [
                    u64::from(*dir),
                    u64::from(*follow),
                    path,
                    length,
                    1 << 60,
                    3 << 59,
                    5,
                ];
                let errno = self.errno(Function::PathFilestatSetTimes, &arguments);
                if errno != Errno::Success {
                    return format!("{errno:?}");
                }
                let arguments = [
                    u64::from(*dir),
                    u64::from(*follow),
                    path,
                    length,
                    u64::from(DATA),
                ];
                let errno = self.errno(Function::PathFilestatGet, &arguments);
                format!("{errno:?} {:?}", &self.memory[DATA as usize + 40..][..16])
            }
            Step::FdStat(fd) => {
                match self.errno(Function::FdFilestatGet, &[u64::from(*fd), u64::from(DATA)]) {
                    Errno::Success => format!("{:?}", self.stat()),
                    errno => format!("{errno:?}"),
                }
            }
            Step::FdStatus(fd) => {
                match self.errno(Function::FdFdstatGet, &[u64::from(*fd), u64::from(DATA)]) {
                    Errno::Success => format!("{:?}", &self.memory[DATA as usize..][..24]),
                    errno => format!("{errno:?}"),
                }
            }
            Step::SetFlags(fd, flags) => {
                format!(
                    "{:?}",
                    self.errno(Function::FdFdstatSetFlags, &[u64::from(*fd), *flags])
                )
            }
            Step::Write(fd, bytes) => format!("{:?}", self.write(*fd, bytes)),
            Step::Read(fd, length) => format!("{:?}", self.read(*fd, *length)),
            Step::WriteAt(fd, bytes, at) => {
                self.put(DATA, bytes);
                let [list, count] = self.buffers(&[(DATA, bytes.len() as u32)]);
                let arguments = [u64::from(*fd), list, count, *at, u64::from(RESULT)];
                match self.errno(Function::FdPwrite, &arguments) {
                    Errno::Success => format!("{}", self.u32()),
                    errno => format!("{errno:?}"),
                }
            }
            Step::ReadAt(fd, length, at) => {
                let [list, count] = self.buffers(&[(DATA, *length)]);
                let arguments = [u64::from(*fd), list, count, *at, u64::from(RESULT)];
                match self.errno(Function::FdPread, &arguments) {
                    Errno::Success => {
                        format!("{:?}", &self.memory[DATA as usize..][..self.u32() as usize])
                    }
                    errno => format!("{errno:?}"),
                }
            }
            Step::Seek(fd, by, whence) => {
                let arguments = [u64::from(*fd), *by as u64, *whence, u64::from(RESULT)];
                match self.errno(Function::FdSeek, &arguments) {
                    Errno::Success => format!("{:?}", &self.memory[RESULT as usize..][..8]),
                    errno => format!("{errno:?}"),
                }
            }
            Step::Tell(fd) => {
                match self.errno(Function::FdTell, &[u64::from(*fd), u64::from(RESULT)]) {
                    Errno::Success => format!("{:?}", &self.memory[RESULT as usize..][..8]),
                    errno => format!("{errno:?}"),
                }
            }
            Step::SetSize(fd, size) => {
                format!(
                    "{:?}",
                    self.errno(Function::FdFilestatSetSize, &[u64::from(*fd), *size])
                )
            }
            Step::Flush(fd) => {
                let data = self.errno(Function::FdDatasync, &[u64::from(*fd)]);
                format!(
                    "{data:?} {:?}",
                    self.errno(Function::FdSync, &[u64::from(*fd)])
                )
            }
            Step::Advise(fd, advice) => {
                format!(
                    "{:?}",
                    self.errno(Function::FdAdvise, &[u64::from(*fd), 0, 0, *advice])
                )
            }
            Step::List(fd) => format!("{:?}", self.names(*fd)),
            Step::Renumber(from, to) => {
                format!(
                    "{:?}",
                    self.errno(Function::FdRenumber, &[u64::from(*from), u64::from(*to)])
                )
            }
            Step::Sleep => match self.sleep() {
                Ok(()) => "slept".into(),
                // A real directory that was deleted while open cannot be serialized.
                Err(error) => format!("{error}"),
            },
        }
    }
}

fn bindings(host: Option<&tempfile::TempDir>) -> Bindings {
    let dir = |host: &tempfile::TempDir| HostDir {
        guest: "/".into(),
        host: host.path().into(),
        access: crate::Access::Kept,
    };
    Bindings {
        dirs: host.map(dir).into_iter().collect(),
        stdout: crate::Output::Null,
        stderr: crate::Output::Null,
        stdin: crate::Input::Null,
        ..Bindings::default()
    }
}

/// One call.
#[derive(Clone, Debug)]
enum Step {
    Open(u32, bool, String, u32, bool, bool),
    Close(u32),
    MakeDir(u32, String),
    RemoveDir(u32, String),
    Unlink(u32, String),
    Rename(u32, String, u32, String),
    Link(u32, String, u32, String),
    Symlink(String, u32, String),
    ReadLink(u32, String),
    Stat(u32, bool, String),
    SetTimes(u32, bool, String),
    FdStat(u32),
    FdStatus(u32),
    SetFlags(u32, u64),
    Write(u32, Vec<u8>),
    Read(u32, u32),
    WriteAt(u32, Vec<u8>, u64),
    ReadAt(u32, u32, u64),
    Seek(u32, i64, u64),
    Tell(u32),
    SetSize(u32, u64),
    Flush(u32),
    Advise(u32, u64),
    List(u32),
    Renumber(u32, u32),
    Sleep,
}
