//! A process for each run of Binaryen, with limits of time and memory.
//!
//! Binaryen ends the process on what it does not like, goes down code by recursion, and takes time
//! with the square of some depths. The end of a process of its own is a refusal of the module. And
//! the variables in which the C interface keeps arguments are shared with no other run.

use dormouse_child::{self as child, Limits, Outcome};

use crate::error::{Error, PassFailure};

/// The processor time that any module may take, in seconds, and further seconds for each MiB of it.
/// CPython, 26 MiB, takes some 60 s in all.
const CPU_SECONDS: u64 = 120;
const CPU_SECONDS_PER_MIB: u64 = 240;

/// The memory that any module may take, in bytes, and further bytes for each byte of it.
const MEMORY_BYTES: u64 = 3 << 30;
const MEMORY_BYTES_PER_BYTE: u64 = 400;

/// Sizes of stack to try, in bytes. What is not touched costs no memory.
const STACK_BYTES: [usize; 3] = [1 << 30, 256 << 20, 64 << 20];

/// What a process says that has failed without an end of its own.
const UNREADABLE: &str = "unreadable";

/// What Binaryen does with a module.
type Work<'a> = dyn Fn() -> Result<Vec<u8>, PassFailure> + Sync + 'a;

/// Does the work in a process of its own. Its limits depend on the size of the module, in bytes.
pub(super) fn run(bytes: usize, work: &Work<'_>) -> Result<Vec<u8>, Error> {
    let limit_seconds = CPU_SECONDS + CPU_SECONDS_PER_MIB * (bytes as u64 >> 20);
    let limit_bytes = MEMORY_BYTES + MEMORY_BYTES_PER_BYTE * bytes as u64;
    let limits = Limits {
        cpu: Some(limit_seconds),
        memory: Some(limit_bytes),
    };
    // Binaryen says the reason on its standard error alone, which leads nowhere.
    let work = || on_large_stack(work).map_err(|_| UNREADABLE.to_owned());
    let failure = match child::run(&limits, &work) {
        Ok(Outcome::Done(module)) => return Ok(module),
        Ok(Outcome::Failed(reason)) if reason == UNREADABLE => PassFailure::Unreadable,
        Ok(Outcome::Failed(_)) => return Err(Error::Internal("the calls of Binaryen panicked")),
        Ok(Outcome::Left) => PassFailure::GaveUp,
        Ok(Outcome::Killed(signal)) => match signal {
            libc::SIGXCPU | libc::SIGKILL => PassFailure::OutOfTime { limit_seconds },
            libc::SIGSEGV | libc::SIGBUS => PassFailure::OutOfStack,
            libc::SIGABRT => PassFailure::OutOfMemory {
                limit_mib: limit_bytes >> 20,
            },
            signal => PassFailure::Crashed { signal },
        },
        Err(error) => PassFailure::NoProcess(error),
    };
    Err(failure.into())
}

/// Does the work on a thread with room for recursion. Some passes go down the tree of a body by it,
/// and a chain of a million instructions becomes a tree as deep.
fn on_large_stack(work: &Work<'_>) -> Result<Vec<u8>, PassFailure> {
    for size in STACK_BYTES {
        let done = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(size);
            let thread = builder.spawn_scoped(scope, work).ok()?;
            Some(thread.join())
        });
        match done {
            Some(Ok(made)) => return made,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => {}
        }
    }
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(work: &Work<'_>) -> Error {
        run(0, work).expect_err("it fails")
    }

    /// Ends this process by a signal, as the system or the C library does.
    fn killed_by(signal: i32) -> Error {
        // SAFETY: the process is that of the work alone.
        failure(&move || unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::kill(libc::getpid(), signal);
            libc::pause();
            Err(PassFailure::Unreadable)
        })
    }

    #[test]
    fn what_the_work_makes_comes_back() {
        assert_eq!(
            run(0, &|| Ok(b"made".to_vec())).expect("it is made"),
            b"made"
        );
    }

    #[test]
    fn each_end_of_the_process_is_a_failure_of_its_own() {
        use PassFailure as F;
        let unreadable = failure(&|| Err(F::Unreadable));
        assert!(matches!(unreadable, Error::Binaryen(F::Unreadable)));
        // SAFETY: the process is that of the work alone.
        let left = failure(&|| unsafe { libc::_exit(3) });
        assert!(matches!(left, Error::Binaryen(F::GaveUp)), "{left}");
        let aborted = failure(&|| std::process::abort());
        assert!(matches!(aborted, Error::Binaryen(F::OutOfMemory { .. })));
        let overflowed = killed_by(libc::SIGSEGV);
        assert!(matches!(overflowed, Error::Binaryen(F::OutOfStack)));
        let late = killed_by(libc::SIGXCPU);
        assert!(matches!(
            late,
            Error::Binaryen(F::OutOfTime {
                limit_seconds: CPU_SECONDS
            })
        ));
        let crashed = killed_by(libc::SIGILL);
        assert!(matches!(
            crashed,
            Error::Binaryen(F::Crashed {
                signal: libc::SIGILL
            })
        ));
    }

    /// It once said that Binaryen could not read the module.
    #[test]
    fn a_panic_is_no_failure_of_binaryens() {
        let panicked = failure(&|| panic!("a mistake of ours"));
        assert!(matches!(panicked, Error::Internal(_)), "{panicked}");
    }
}
