//! Binaryen in a process of its own, with so much time and memory and no more.
//!
//! It ends the process on what it does not like, follows code by recursion, and takes time with the square of
//! some depths. A child that ends so is a refusal; and its variables, in which the C interface keeps
//! arguments, are nobody else's.
//!
//! ```text
//!   fork -> child: limits, a large stack, work, write the module into the pipe, _exit
//!        `-> here: read the pipe to its end, wait; did it end well?
//! ```

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use super::Error;

/// CPU seconds that any module may take, and further ones for each MiB of it: CPython, 26 MiB, takes some 60 in all.
const SECONDS: u64 = 120;
const SECONDS_PER_MIB: u64 = 240;

/// Bytes of memory that any module may take, and how many for each byte of it.
const MEMORY: u64 = 3 << 30;
const MEMORY_PER_BYTE: u64 = 400;

/// Bytes of stack, the first that can be had. What is not touched costs no memory.
const STACKS: [usize; 3] = [1 << 30, 256 << 20, 64 << 20];

/// What the child says at first.
const DONE: u8 = 0;
const UNREADABLE: u8 = 1;

/// Does the work on a module of so many bytes in a child.
pub(super) fn run(
    bytes: usize,
    work: &(dyn Fn() -> Result<Vec<u8>, Error> + Sync),
) -> Result<Vec<u8>, Error> {
    let ended = |how: String| Error::Ended { how };
    let mebibytes = bytes as u64 >> 20;
    let seconds = SECONDS + SECONDS_PER_MIB * mebibytes;
    let memory = MEMORY + MEMORY_PER_BYTE * bytes as u64;
    let (said, status) = in_child(seconds, memory, work)
        .map_err(|error| ended(format!("has no process to work in: {error}")))?;
    if libc::WIFSIGNALED(status) {
        return Err(ended(match libc::WTERMSIG(status) {
            libc::SIGXCPU | libc::SIGKILL => {
                format!("took more than {seconds} s, or the system ended it")
            }
            libc::SIGSEGV | libc::SIGBUS => "went out of stack; split large functions".into(),
            libc::SIGABRT => format!("gave up, or took more than {} MiB", memory >> 20),
            signal => format!("crashed (signal {signal})"),
        }));
    }
    match said.split_first() {
        Some((&DONE, module)) if libc::WEXITSTATUS(status) == 0 => Ok(module.to_vec()),
        Some((&UNREADABLE, _)) => Err(Error::Binaryen),
        _ => Err(ended("gave up".into())),
    }
}

/// What the child said, and how it ended.
fn in_child(
    seconds: u64,
    memory: u64,
    work: &(dyn Fn() -> Result<Vec<u8>, Error> + Sync),
) -> io::Result<(Vec<u8>, c_int)> {
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: the child has this thread alone. Of what other threads may hold locked it uses the
    // allocator, which glibc unlocks in a child, and nothing else; it never returns from here.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            live(seconds, memory, work, writer);
        }
        _ => {}
    }
    drop(writer);
    let mut said = Vec::new();
    let read = reader.read_to_end(&mut said);
    let mut status = 0;
    // SAFETY: `child` is ours, and `status` a place for a number.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    read?;
    Ok((said, status))
}

/// The child's life.
fn live(
    seconds: u64,
    memory: u64,
    work: &(dyn Fn() -> Result<Vec<u8>, Error> + Sync),
    mut writer: io::PipeWriter,
) -> ! {
    let limit = |resource, most: u64| {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: the structure lives through the call. Where a lower limit holds already, that stays.
        unsafe { libc::setrlimit(resource, &raw const limit) };
    };
    // SAFETY: each call gets valid numbers and pointers. Handlers of the parent must not run here,
    // nothing is printed over what the guest prints, and a crash that is expected leaves no core.
    unsafe {
        for signal in 1..libc::SIGRTMIN() {
            libc::signal(signal, libc::SIG_DFL);
        }
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for stream in 0..=2 {
            libc::dup2(nowhere, stream);
        }
    }
    close_others(writer.as_raw_fd());
    limit(libc::RLIMIT_CORE, 0);
    limit(libc::RLIMIT_CPU, seconds);
    // What the parent has is in it, and in a daemon that is much.
    if let Some(held) = data() {
        limit(libc::RLIMIT_DATA, held.saturating_add(memory));
    }
    let done = on_large_stack(work);
    let (word, module) = match &done {
        Ok(module) => (DONE, module.as_slice()),
        Err(_) => (UNREADABLE, &[][..]),
    };
    let written = writer
        .write_all(&[word])
        .and_then(|()| writer.write_all(module));
    // SAFETY: ends this process, without what the parent wants done at its end.
    unsafe { libc::_exit(c_int::from(written.is_err())) }
}

/// Bytes that this process may write to already, as RLIMIT_DATA counts them.
fn data() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(5)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Closes what the parent has open, but for the pipe: a lock on a file, such as a daemon's on its store, lasts as long as
/// one process has the file open, and a child may outlive its parent by a moment.
fn close_others(pipe: c_int) {
    for (first, last) in [(3, pipe - 1), (pipe + 1, c_int::MAX)] {
        if first <= last {
            // SAFETY: takes numbers alone; nothing in this process uses those descriptors any more.
            unsafe { libc::close_range(first as libc::c_uint, last as libc::c_uint, 0) };
        }
    }
}

/// Calls with room for recursion: some passes go down the tree of a body by it, and a chain of a million
/// instructions becomes a tree as deep.
fn on_large_stack(work: &(dyn Fn() -> Result<Vec<u8>, Error> + Sync)) -> Result<Vec<u8>, Error> {
    for size in STACKS {
        let done = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(size);
            let thread = builder.spawn_scoped(scope, work).ok()?;
            // A panic is as bad as a module that cannot be read.
            Some(thread.join().unwrap_or(Err(Error::Binaryen)))
        });
        if let Some(done) = done {
            return done;
        }
    }
    work()
}
