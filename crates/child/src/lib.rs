//! Work in a child process, for libraries in C++ that crash, end the process, or take its signal
//! handlers and variables for themselves.
//!
//! ```
//! use dormouse_child::{Limits, Outcome, run};
//!
//! let outcome = run(&Limits::default(), &|| Ok(b"made there".to_vec()))?;
//! assert_eq!(outcome, Outcome::Done(b"made there".to_vec()));
//!
//! // A crash is an outcome like any other.
//! assert!(matches!(
//!     run(&Limits::default(), &|| std::process::abort())?,
//!     Outcome::Killed(_)
//! ));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ```text
//!   fork -> child: sets limits, works, writes what it made into the pipe, _exit
//!        `-> here: reads the pipe to its end, waits; is the child stuck? -> kill it, another try
//! ```
//!
//! The child is a copy of one thread of a process with many (fork(2)): a lock that another thread
//! held at that moment stays locked in it for ever. The C library frees its own locks. For those of
//! other libraries, a child that waits for nothing but a lock is ended, and another one is started.

#![deny(missing_docs)]
#![expect(unsafe_code, reason = "fork(2) and what a child may call after it")]

mod machine;

pub use machine::available_memory;

use std::ffi::c_int;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a child is started before it is given up.
const TRIES: usize = 10;

/// At how many looks in a row all threads of a child must sleep, and have used no time, until it is
/// taken to wait for something that never comes.
const STUCK_LOOKS: u32 = 8;
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// The children that are at work.
static CHILDREN: Mutex<Vec<c_int>> = Mutex::new(Vec::new());

fn children() -> MutexGuard<'static, Vec<c_int>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process is about to end.
static ENDS: AtomicBool = AtomicBool::new(false);

/// What children have used that have ended.
static USED: Mutex<Used> = Mutex::new(Used {
    cpu: Duration::ZERO,
    peak_memory: 0,
});

/// What child processes have used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Processor time of all of them.
    pub cpu: Duration,
    /// The most memory that one of them had, in bytes. What it shares with this process is counted.
    pub peak_memory: u64,
}

impl Used {
    fn add(&mut self, used: &libc::rusage) {
        for time in [used.ru_utime, used.ru_stime] {
            // It is never negative, and below a million microseconds.
            self.cpu += Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
            self.cpu += Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default());
        }
        let peak = u64::try_from(used.ru_maxrss).unwrap_or_default() << 10;
        self.peak_memory = self.peak_memory.max(peak);
    }
}

/// What those children have used that have ended since the last call.
pub fn take_used() -> Used {
    std::mem::take(&mut USED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Stops all work in child processes, where this process is about to end. No thread that waits for
/// a child goes on from here, and none is started any more: who was about to say why a child was
/// killed says nothing.
pub fn kill_all() {
    ENDS.store(true, Ordering::SeqCst);
    for child in children().iter() {
        // SAFETY: takes numbers. A child leaves the list before it is waited for, so that its
        // number is still its own.
        unsafe { libc::kill(*child, libc::SIGKILL) };
    }
}

/// Ends this process at once: libraries with threads of their own may crash where they are told of
/// the end.
pub fn leave(code: u8) -> ! {
    // SAFETY: takes a number, and does not return.
    unsafe { libc::_exit(c_int::from(code)) }
}

/// The first byte that a child writes: whether it has made something, or says why not.
const DONE: u8 = 0;
const FAILED: u8 = 1;

/// What a child may use; nothing stands for all there is.
#[derive(Default)]
pub struct Limits {
    /// Seconds of processor time.
    pub cpu: Option<u64>,
    /// Bytes of memory, beside those that this process has.
    pub memory: Option<u64>,
}

/// How it went.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It has given these bytes.
    Done(Vec<u8>),
    /// It has said why it cannot do it.
    Failed(String),
    /// A signal ended it.
    Killed(c_int),
    /// It ended itself before it was done.
    Left,
}

/// Does the work in a child, and gives what it made. The work may be begun several times.
pub fn run(limits: &Limits, work: &dyn Fn() -> Result<Vec<u8>, String>) -> io::Result<Outcome> {
    for _ in 0..TRIES {
        if let Some(outcome) = once(limits, work)? {
            return Ok(outcome);
        }
        log::debug!("a child process waited for a lock that nobody holds; it is started again");
    }
    Err(io::Error::new(
        io::ErrorKind::WouldBlock,
        format!("each of {TRIES} was stuck on a lock that another thread had held"),
    ))
}

/// One try. `None` where the child was stuck.
fn once(
    limits: &Limits,
    work: &dyn Fn() -> Result<Vec<u8>, String>,
) -> io::Result<Option<Outcome>> {
    let (reader, writer) = io::pipe()?;
    let parent = std::process::id();
    let mut working = children();
    if ENDS.load(Ordering::SeqCst) {
        drop(working);
        wait_for_the_end();
    }
    // SAFETY: the child has this thread alone, and never returns from here. What it can wait for in
    // vain is above.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            child_main(limits, work, writer, parent);
        }
        _ => working.push(child),
    }
    drop(working);
    drop(writer);
    let mut said = Vec::new();
    let read = read_output(reader, child, &mut said);
    if !matches!(read, Ok(true)) {
        // SAFETY: takes numbers; `child` is ours and not waited for yet.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
    children().retain(|other| *other != child);
    let (mut status, mut used) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: `child` is ours, `status` a place for a number, and `used` one for what it has used.
    while unsafe { libc::wait4(child, &raw mut status, 0, used.as_mut_ptr()) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    if ENDS.load(Ordering::SeqCst) {
        wait_for_the_end();
    }
    // SAFETY: all zeroes are a value of it, and the system has filled it in.
    let used = unsafe { used.assume_init() };
    USED.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .add(&used);
    if !read? {
        return Ok(None);
    }
    if libc::WIFSIGNALED(status) {
        return Ok(Some(Outcome::Killed(libc::WTERMSIG(status))));
    }
    Ok(Some(match said.split_first() {
        Some((&DONE, made)) if libc::WEXITSTATUS(status) == 0 => Outcome::Done(made.to_vec()),
        Some((&FAILED, why)) => Outcome::Failed(String::from_utf8_lossy(why).into_owned()),
        _ => Outcome::Left,
    }))
}

/// Leaves the rest to the thread that ends this process.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// Reads what the child writes, until the child closes the pipe. False where the child is stuck: at
/// [`STUCK_LOOKS`] looks in a row it slept, and had used no time.
fn read_output(mut reader: PipeReader, child: c_int, said: &mut Vec<u8>) -> io::Result<bool> {
    let between = Timespec::try_from(BETWEEN_LOOKS).map_err(io::Error::other)?;
    let mut buffer = vec![0; 64 << 10];
    let (mut looks, mut before) = (0, None);
    loop {
        let mut watched = [PollFd::new(&reader, PollFlags::IN)];
        match poll(&mut watched, Some(&between)) {
            Ok(0) => {
                let asleep = asleep(child);
                looks = match asleep.is_some() && asleep == before {
                    true => looks + 1,
                    false => 0,
                };
                before = asleep;
                if looks == STUCK_LOOKS {
                    return Ok(false);
                }
            }
            Ok(_) => match reader.read(&mut buffer)? {
                0 => return Ok(true),
                length => said.extend_from_slice(&buffer[..length]),
            },
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The processor time that a process has used, in clock ticks, if all its threads sleep:
/// proc_pid_stat(5). Without `/proc` nobody can say.
fn asleep(process: c_int) -> Option<u64> {
    let mut ticks = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        // After the name, which may hold anything.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        if *fields.first()? != "S" {
            return None;
        }
        for time in [11, 12] {
            ticks += fields.get(time)?.parse::<u64>().ok()?;
        }
    }
    Some(ticks)
}

/// What the child does, from fork(2) to its end.
fn child_main(
    limits: &Limits,
    work: &dyn Fn() -> Result<Vec<u8>, String>,
    mut writer: PipeWriter,
    parent: u32,
) -> ! {
    // SAFETY: each call gets valid numbers and pointers. Handlers of the parent must not run here,
    // and nothing is printed over what the guest prints.
    unsafe {
        for signal in 1..libc::SIGRTMIN() {
            libc::signal(signal, libc::SIG_DFL);
        }
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // The parent may have ended before the child asked for a signal at its end.
        if libc::getppid() as u32 != parent {
            libc::_exit(1);
        }
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for stream in 0..=2 {
            libc::dup2(nowhere, stream);
        }
    }
    close_others(writer.as_raw_fd());
    // A crash that is expected leaves no core.
    limit(libc::RLIMIT_CORE, 0);
    if let Some(seconds) = limits.cpu {
        limit(libc::RLIMIT_CPU, seconds);
    }
    // The memory that the parent has counts too, and in a daemon that is much.
    if let (Some(memory), Some(held)) = (limits.memory, data()) {
        limit(libc::RLIMIT_DATA, held.saturating_add(memory));
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let (word, text) = match result {
        Ok(Ok(made)) => (DONE, made),
        Ok(Err(why)) => (FAILED, why.into_bytes()),
        Err(_) => (FAILED, b"it panicked".to_vec()),
    };
    // If the parent is gone, nobody wants to know.
    let written = writer
        .write_all(&[word])
        .and_then(|()| writer.write_all(&text));
    // SAFETY: ends this process, without what the parent wants done at its end.
    unsafe { libc::_exit(c_int::from(written.is_err())) }
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the structure lives through the call. Where a lower limit holds already, that stays.
    unsafe { libc::setrlimit(resource, &raw const limit) };
}

/// Bytes that this process may write to already, as RLIMIT_DATA counts them.
fn data() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(5)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Closes what the parent has open, but for the pipe: a lock on a file, such as a daemon's on its
/// store, lasts as long as one process has the file open, and a child may outlive its parent by a
/// moment.
fn close_others(pipe: c_int) {
    for (first, last) in [(3, pipe - 1), (pipe + 1, c_int::MAX)] {
        if first <= last {
            // SAFETY: takes numbers alone; nothing in this process uses those descriptors any more.
            unsafe { libc::close_range(first as libc::c_uint, last as libc::c_uint, 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A million tasks waited for ever when one child met the lock of a library that another thread
    /// had held.
    #[test]
    fn a_child_that_waits_for_a_lock_of_another_thread_is_started_again() {
        let lock = Mutex::new(());
        let (locked, is_locked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let held = lock.lock();
                locked.send(()).expect("it is awaited");
                // Through the first child's start, and not the second's.
                std::thread::sleep(BETWEEN_LOOKS);
                drop(held);
            });
            is_locked.recv().expect("it is sent");
            let work = || match lock.lock() {
                Ok(_) => Ok(b"made".to_vec()),
                Err(_) => Err("poisoned".into()),
            };
            let outcome = run(&Limits::default(), &work).expect("it runs");
            assert_eq!(outcome, Outcome::Done(b"made".to_vec()));
        });
    }

    #[test]
    fn a_child_that_takes_its_time_is_let_be() {
        let began = std::time::Instant::now();
        let work = || {
            // Computing longer than a stuck one is waited for.
            while began.elapsed() < BETWEEN_LOOKS * (STUCK_LOOKS + 4) {
                std::hint::spin_loop();
            }
            Ok(vec![7; 1 << 20])
        };
        let outcome = once(&Limits::default(), &work).expect("it runs");
        assert_eq!(outcome, Some(Outcome::Done(vec![7; 1 << 20])));
    }

    #[test]
    fn how_a_child_ends_is_told() {
        let run = |work: &dyn Fn() -> Result<Vec<u8>, String>| {
            run(&Limits::default(), work).expect("it runs")
        };
        assert_eq!(run(&|| Err("no".into())), Outcome::Failed("no".into()));
        assert_eq!(
            run(&|| std::process::abort()),
            Outcome::Killed(libc::SIGABRT)
        );
        // SAFETY: ends this process, which is the child.
        assert_eq!(run(&|| unsafe { libc::_exit(3) }), Outcome::Left);
    }
}
