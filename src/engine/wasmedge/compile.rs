//! Compiles with WasmEdge in a process of its own.
//!
//! WasmEdge's compiler is LLVM as a library. It crashes on some modules at some levels (version 19
//! on SQLite at level 1, for one), its linker's state belongs to the process, and it takes signal
//! handlers for itself. A child has all that to itself, and where it crashes another level is tried.
//!
//! ```text
//!   fork -> child: compile, write what went wrong into the pipe, _exit
//!        `-> here: read the pipe to its end, wait; killed by a fault? -> next level
//! ```

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use wasmedge_sdk::{Compiler, CompilerOptimizationLevel as Level};

use super::{Error, KIND, config};

/// LLVM's time grows faster than a module. Above these sizes in bytes it is asked for less.
pub(super) const OPTIMIZED: usize = 1 << 20;
pub(super) const SOMEWHAT_OPTIMIZED: usize = 6 << 20;

/// Levels to try, for a module of this size.
fn levels(bytes: usize) -> &'static [Level] {
    match bytes {
        0..OPTIMIZED => &[Level::O2, Level::O1, Level::Os, Level::O0],
        // Longer at level 2, but at level 0 the guest would take many times as long.
        OPTIMIZED..SOMEWHAT_OPTIMIZED => &[Level::O1, Level::O2, Level::O0],
        _ => &[Level::O0],
    }
}

/// Refuses what WasmEdge 0.14 would call malformed.
pub(super) fn check(wasm: &[u8]) -> Result<(), Error> {
    let mut sections = wasmparser::Parser::new(0).parse_all(wasm);
    match sections.any(|section| matches!(section, Ok(wasmparser::Payload::TagSection(_)))) {
        true => Err(Error::Proposal(
            KIND,
            "exceptions as they are; without `--transform none` they are rewritten, and Wasmtime runs \
             them: `--engine wasmtime`",
        )),
        false => Ok(()),
    }
}

/// Writes a shared library with the code of `wasm` to `library`.
pub(super) fn compile(wasm: &[u8], library: &Path) -> Result<(), Error> {
    let failed = |e: String| Error::Compile(KIND, e);
    let mut crashed = None;
    for level in levels(wasm.len()) {
        match in_child(|| compile_here(wasm, library, *level)) {
            Ok(Outcome::Done) => return Ok(()),
            Ok(Outcome::Failed(reason)) => return Err(failed(reason)),
            Ok(Outcome::Crashed(signal)) => {
                log::warn!("WasmEdge's compiler crashed at {level:?} (signal {signal})");
                crashed = Some(signal);
            }
            Err(error) => return Err(failed(format!("no process to compile in: {error}"))),
        }
    }
    Err(failed(format!(
        "its compiler crashes on this module at every level (signal {}); use the other engine",
        crashed.unwrap_or_default()
    )))
}

fn compile_here(wasm: &[u8], library: &Path, level: Level) -> Result<(), String> {
    let config = config(level, super::MOST_PAGES).map_err(|e| e.to_string())?;
    let compiler = Compiler::new(Some(&config)).map_err(|e| e.to_string())?;
    let (Some(folder), Some(name)) = (library.parent(), library.file_name()) else {
        return Err(format!("{} is no file name", library.display()));
    };
    let made = compiler
        .compile_from_bytes(wasm, name.to_string_lossy(), folder)
        .map_err(|e| e.to_string())?;
    std::fs::rename(&made, library).map_err(|e| format!("{}: {e}", library.display()))
}

enum Outcome {
    Done,
    Failed(String),
    /// Killed by this signal, which a fault of its own has raised.
    Crashed(c_int),
}

/// Runs `work` in a child process.
fn in_child(work: impl FnOnce() -> Result<(), String>) -> io::Result<Outcome> {
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: the child has this thread alone. Of what other threads may hold locked it uses the
    // allocator, which glibc unlocks in a child, and nothing else; it never returns from here.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            run(work, writer);
        }
        _ => {}
    }
    drop(writer);
    let mut reason = Vec::new();
    let read = reader.read_to_end(&mut reason);
    let mut status = 0;
    // SAFETY: `child` is ours, and `status` a place for a number.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    read?;
    Ok(match libc::WIFSIGNALED(status) {
        true => match libc::WTERMSIG(status) {
            signal @ (libc::SIGSEGV
            | libc::SIGBUS
            | libc::SIGABRT
            | libc::SIGILL
            | libc::SIGFPE) => Outcome::Crashed(signal),
            signal => Outcome::Failed(format!("signal {signal} ended the compiler")),
        },
        false if libc::WEXITSTATUS(status) == 0 => Outcome::Done,
        false => Outcome::Failed(String::from_utf8_lossy(&reason).into_owned()),
    })
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

/// The child's life.
fn run(work: impl FnOnce() -> Result<(), String>, mut writer: io::PipeWriter) -> ! {
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
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
    close_others(writer.as_raw_fd());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let code = match result {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => {
            // The parent reads until the end; if it is gone, nobody wants to know.
            let _ = writer.write_all(reason.as_bytes());
            1
        }
        Err(_) => 1,
    };
    // SAFETY: ends this process at once, without the parent's destructors.
    unsafe { libc::_exit(code) }
}
