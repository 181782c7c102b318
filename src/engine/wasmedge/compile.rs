//! Compiles with WasmEdge in a process of its own.
//!
//! WasmEdge's compiler is LLVM as a library. It crashes on some modules at some levels (version 19
//! on SQLite at level 1, for one), its linker's state belongs to the process, and it takes signal
//! handlers for itself. A child has all that to itself, and where it crashes another level is tried.

use std::path::Path;

use wasmedge_sdk::{Compiler, CompilerOptimizationLevel as Level};

use super::{Error, KIND, config};
use crate::child::{self, Limits, Outcome};

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
        let work = || compile_here(wasm, library, *level).map(|()| Vec::new());
        match child::run(&Limits::default(), &work) {
            Ok(Outcome::Done(_)) => return Ok(()),
            Ok(Outcome::Failed(reason)) => return Err(failed(reason)),
            Ok(Outcome::Left) => return Err(failed("the compiler ended itself".into())),
            // A fault of its own raised it.
            Ok(Outcome::Killed(
                signal @ (libc::SIGSEGV
                | libc::SIGBUS
                | libc::SIGABRT
                | libc::SIGILL
                | libc::SIGFPE),
            )) => {
                log::warn!("WasmEdge's compiler crashed at {level:?} (signal {signal})");
                crashed = Some(signal);
            }
            Ok(Outcome::Killed(signal)) => {
                return Err(failed(format!("signal {signal} ended the compiler")));
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
