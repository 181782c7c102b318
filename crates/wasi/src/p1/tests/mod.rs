//! Tests through the public face: calls with raw arguments over a small guest memory.

mod files;
mod format;
mod garbage;
mod kernel;
mod narrowed_rights;
mod poll;
mod resume;
mod sandbox;
mod streams;
mod tmpfs;

use std::sync::{Arc, Mutex, PoisonError};

use dormouse_model::clock::SimClock;
use dormouse_model::{Timestamp, Wait};
use tempfile::TempDir;

use super::errno::Errno;
use super::{Function, Outcome};
use crate::guest::rights;
use crate::{Bindings, Config, Ctx, Error, HostDir, Input, Output, RestoreOptions, StateV1};

/// Where the guest keeps what it passes to a call.
const RESULT: u32 = 64;
const BUFFERS: u32 = 128;
const PATH: u32 = 1024;
const OTHER_PATH: u32 = 3072;
const DATA: u32 = 16384;
const MEMORY: usize = 1 << 16;

const CREAT: u32 = 1;
const DIRECTORY: u32 = 2;
const EXCL: u32 = 4;
const TRUNC: u32 = 8;
const READ: u64 = rights::FD_READ;
const WRITE: u64 = rights::FD_WRITE;

/// The descriptor of the one directory.
const ROOT: u32 = 3;

/// A guest with one directory, `/`, and captured output.
struct Guest {
    ctx: Ctx,
    memory: Vec<u8>,
    clock: Arc<SimClock>,
    output: Arc<Mutex<Vec<u8>>>,
    host: TempDir,
}

impl Guest {
    fn new() -> Self {
        Self::with_input(Input::Null)
    }

    fn with_input(stdin: Input) -> Self {
        let host = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(SimClock::at(Timestamp::from_nanos(
            1_700_000_000_000_000_000,
        )));
        let output = Arc::default();
        let bindings = bindings(&host, stdin, &output);
        let ctx = Ctx::new(Config::default(), bindings, clock.clone()).expect("a context");
        Self {
            ctx,
            memory: vec![0; MEMORY],
            clock,
            output,
            host,
        }
    }

    fn call(&mut self, function: Function, arguments: &[u64]) -> Outcome {
        self.again(function, arguments, None)
    }

    fn again(&mut self, function: Function, arguments: &[u64], woken: Option<&Wait>) -> Outcome {
        self.ctx.call(function, arguments, &mut self.memory, woken)
    }

    /// A call that must not block.
    fn errno(&mut self, function: Function, arguments: &[u64]) -> Errno {
        match self.call(function, arguments) {
            Outcome::Done(errno) => errno,
            other => panic!("{function:?} gave {other:?}"),
        }
    }

    fn put(&mut self, address: u32, bytes: &[u8]) {
        self.memory[address as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn u32_at(&self, address: u32) -> u32 {
        u32::from_le_bytes(self.bytes(address, 4).try_into().expect("four bytes"))
    }

    fn u64_at(&self, address: u32) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().expect("eight bytes"))
    }

    fn bytes(&self, address: u32, length: u32) -> &[u8] {
        &self.memory[address as usize..][..length as usize]
    }

    fn output(&self) -> Vec<u8> {
        let output = self.output.lock();
        output.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `path_open` that follows symbolic links.
    fn open(&mut self, path: &str, oflags: u32, rights: u64, fdflags: u32) -> Result<u32, Errno> {
        self.open_at(ROOT, 1, path, oflags, rights, fdflags)
    }

    fn open_at(
        &mut self,
        dir: u32,
        lookup: u32,
        path: &str,
        oflags: u32,
        rights: u64,
        fdflags: u32,
    ) -> Result<u32, Errno> {
        self.put(PATH, path.as_bytes());
        let arguments = [
            u64::from(dir),
            u64::from(lookup),
            u64::from(PATH),
            path.len() as u64,
            u64::from(oflags),
            rights,
            rights,
            u64::from(fdflags),
            u64::from(RESULT),
        ];
        match self.errno(Function::PathOpen, &arguments) {
            Errno::Success => Ok(self.u32_at(RESULT)),
            errno => Err(errno),
        }
    }

    /// A call whose arguments are a directory and a path.
    fn path_call(&mut self, function: Function, path: &str) -> Errno {
        self.put(PATH, path.as_bytes());
        let arguments = [u64::from(ROOT), u64::from(PATH), path.len() as u64];
        self.errno(function, &arguments)
    }

    fn buffers(&mut self, buffers: &[(u32, u32)]) -> [u64; 2] {
        for (index, (address, length)) in (0..).zip(buffers) {
            self.put(BUFFERS + index * 8, &address.to_le_bytes());
            self.put(BUFFERS + index * 8 + 4, &length.to_le_bytes());
        }
        [u64::from(BUFFERS), buffers.len() as u64]
    }

    fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32, Errno> {
        self.put(DATA, bytes);
        let [list, count] = self.buffers(&[(DATA, bytes.len() as u32)]);
        let arguments = [u64::from(fd), list, count, u64::from(RESULT)];
        match self.errno(Function::FdWrite, &arguments) {
            Errno::Success => Ok(self.u32_at(RESULT)),
            errno => Err(errno),
        }
    }

    fn try_read(&mut self, fd: u32, length: u32) -> Outcome {
        let [list, count] = self.buffers(&[(DATA, length)]);
        let arguments = [u64::from(fd), list, count, u64::from(RESULT)];
        self.call(Function::FdRead, &arguments)
    }

    fn read(&mut self, fd: u32, length: u32) -> Result<Vec<u8>, Errno> {
        match self.try_read(fd, length) {
            Outcome::Done(Errno::Success) => Ok(self.bytes(DATA, self.u32_at(RESULT)).to_vec()),
            Outcome::Done(errno) => Err(errno),
            other => panic!("fd_read gave {other:?}"),
        }
    }

    fn tell(&mut self, fd: u32) -> Result<u64, Errno> {
        match self.errno(Function::FdTell, &[u64::from(fd), u64::from(RESULT)]) {
            Errno::Success => Ok(self.u64_at(RESULT)),
            errno => Err(errno),
        }
    }

    fn seek(&mut self, fd: u32, offset: i64, whence: u64) -> Errno {
        let arguments = [u64::from(fd), offset as u64, whence, u64::from(RESULT)];
        self.errno(Function::FdSeek, &arguments)
    }

    /// File type, flags and rights as `fd_fdstat_get` tells them.
    fn fdstat(&mut self, fd: u32) -> (u8, u16, u64) {
        let arguments = [u64::from(fd), u64::from(DATA)];
        assert_eq!(
            self.errno(Function::FdFdstatGet, &arguments),
            Errno::Success
        );
        let flags = u16::from_le_bytes([self.bytes(DATA + 2, 1)[0], self.bytes(DATA + 3, 1)[0]]);
        (self.bytes(DATA, 1)[0], flags, self.u64_at(DATA + 8))
    }

    fn set_flags(&mut self, fd: u32, flags: u64) -> Errno {
        self.errno(Function::FdFdstatSetFlags, &[u64::from(fd), flags])
    }

    /// One `fd_readdir`: names with the cookies after them, and the bytes used.
    fn readdir(&mut self, fd: u32, length: u32, cookie: u64) -> (Vec<(String, u64)>, u32) {
        let arguments = [
            u64::from(fd),
            u64::from(DATA),
            u64::from(length),
            cookie,
            u64::from(RESULT),
        ];
        assert_eq!(self.errno(Function::FdReaddir, &arguments), Errno::Success);
        let used = self.u32_at(RESULT);
        let (mut at, mut entries) = (0, Vec::new());
        while at + 24 <= used {
            let length = self.u32_at(DATA + at + 16);
            if at + 24 + length > used {
                break;
            }
            let name = String::from_utf8_lossy(self.bytes(DATA + at + 24, length)).into_owned();
            entries.push((name, self.u64_at(DATA + at)));
            at += 24 + length;
        }
        (entries, used)
    }

    /// The state through bytes, as a snapshot carries it.
    fn state(&mut self) -> Result<StateV1, Error> {
        let bytes = rmp_serde::to_vec_named(&self.ctx.save()?).expect("plain data");
        Ok(rmp_serde::from_slice(&bytes).expect("what was just written"))
    }

    /// Goes on from a state, over the same directory.
    fn go_on(&mut self, state: StateV1, options: RestoreOptions) -> Result<(), Error> {
        let bindings = bindings(&self.host, Input::Null, &self.output);
        self.ctx = Ctx::restore(state, bindings, options, self.clock.clone())?;
        Ok(())
    }

    fn sleep(&mut self) -> Result<(), Error> {
        let state = self.state()?;
        self.go_on(state, RestoreOptions::default())
    }
}

fn bindings(host: &TempDir, stdin: Input, output: &Arc<Mutex<Vec<u8>>>) -> Bindings {
    Bindings {
        stdin,
        stdout: Output::Capture(output.clone()),
        stderr: Output::Null,
        dirs: vec![HostDir {
            guest: "/".into(),
            host: host.path().into(),
            access: crate::Access::Kept,
        }],
        ..Bindings::default()
    }
}

#[test]
fn a_context_can_move_between_threads() {
    fn send<T: Send>() {}
    send::<Ctx>();
}
