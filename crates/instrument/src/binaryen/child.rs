//! Binaryen in a process of its own, with so much time and memory and no more.
//!
//! It ends the process on what it does not like, follows code by recursion, and takes time with the square of
//! some depths. A child that ends so is a refusal; and its variables, in which the C interface keeps
//! arguments, are nobody else's.

use super::Error;
use crate::child::{self, Limits, Outcome};

/// CPU seconds that any module may take, and further ones for each MiB of it: CPython, 26 MiB, takes some 60 in all.
const SECONDS: u64 = 120;
const SECONDS_PER_MIB: u64 = 240;

/// Bytes of memory that any module may take, and how many for each byte of it.
const MEMORY: u64 = 3 << 30;
const MEMORY_PER_BYTE: u64 = 400;

/// Bytes of stack, the first that can be had. What is not touched costs no memory.
const STACKS: [usize; 3] = [1 << 30, 256 << 20, 64 << 20];

/// Does the work on a module of so many bytes in a child.
pub(super) fn run(
    bytes: usize,
    work: &(dyn Fn() -> Result<Vec<u8>, Error> + Sync),
) -> Result<Vec<u8>, Error> {
    let ended = |how: String| Error::Ended { how };
    let mebibytes = bytes as u64 >> 20;
    let seconds = SECONDS + SECONDS_PER_MIB * mebibytes;
    let memory = MEMORY + MEMORY_PER_BYTE * bytes as u64;
    let limits = Limits {
        cpu: Some(seconds),
        memory: Some(memory),
    };
    // Binaryen says why on its standard error alone, which is nobody's.
    let work = || on_large_stack(work).map_err(|_| String::new());
    match child::run(&limits, &work) {
        Ok(Outcome::Done(module)) => Ok(module),
        Ok(Outcome::Failed(_)) => Err(Error::Binaryen),
        Ok(Outcome::Left) => Err(ended("gave up".into())),
        Ok(Outcome::Killed(signal)) => Err(ended(match signal {
            libc::SIGXCPU | libc::SIGKILL => {
                format!("took more than {seconds} s, or the system ended it")
            }
            libc::SIGSEGV | libc::SIGBUS => "went out of stack; split large functions".into(),
            libc::SIGABRT => format!("gave up, or took more than {} MiB", memory >> 20),
            signal => format!("crashed (signal {signal})"),
        })),
        Err(error) => Err(ended(format!("has no process to work in: {error}"))),
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
