//! Compiles with WasmEdge in a process of its own.
//!
//! WasmEdge's compiler is LLVM as a library. It crashes on some modules at some levels (version 19
//! on SQLite at level 1, for one), its linker's state belongs to the process, and it takes signal
//! handlers for itself. A child has all that to itself, and where it crashes another level is tried.

use std::path::Path;

use wasmedge_sdk::{Compiler, CompilerOptimizationLevel as Level};
use wasmparser::{BinaryReader, Parser, Payload};

use super::{Error, KIND, config, library};
use crate::child::{self, Limits, Outcome};
use crate::model::shape;

/// LLVM's time grows faster than a module. Above these sizes in bytes it is asked for less.
pub(super) const OPTIMIZED: usize = 1 << 20;
pub(super) const SOMEWHAT_OPTIMIZED: usize = 6 << 20;

/// One way to compile a module.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// All of it at one level.
    Whole(Level),
    /// At one level, but slow versions, which run after a resume alone, as they are.
    ButSlow(Level),
}

use Attempt::{ButSlow, Whole};

/// What to try, for a module of this size.
fn attempts(bytes: usize) -> &'static [Attempt] {
    match bytes {
        0..OPTIMIZED => &[
            Whole(Level::O2),
            Whole(Level::O1),
            Whole(Level::Os),
            Whole(Level::O0),
        ],
        // Slow versions would take LLVM three times as long as all the rest. At level 0 the guest would take three times
        // as long, always.
        OPTIMIZED..SOMEWHAT_OPTIMIZED => &[ButSlow(Level::O2), Whole(Level::O2), Whole(Level::O0)],
        _ => &[Whole(Level::O0)],
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

/// Writes a shared library with the code of `wasm` to `code`.
pub(super) fn compile(wasm: &[u8], code: &Path) -> Result<(), Error> {
    let failed = |e: String| Error::Compile(KIND, e);
    let mut crashed = None;
    for attempt in attempts(wasm.len()) {
        let work = || compile_here(wasm, code, *attempt).map(|()| Vec::new());
        match child::run(&Limits::default(), &work) {
            Ok(Outcome::Done(_)) => return Ok(()),
            // LLVM cannot be told: it is out of reach, or does not know the option and ends the process.
            Ok(Outcome::Failed(_) | Outcome::Left) if matches!(attempt, ButSlow(_)) => {}
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
                log::warn!("WasmEdge's compiler crashed at {attempt:?} (signal {signal})");
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

fn compile_here(wasm: &[u8], code: &Path, attempt: Attempt) -> Result<(), String> {
    if matches!(attempt, ButSlow(_)) {
        let attributes = slow_versions(wasm)
            .into_iter()
            .flat_map(|function| ["optnone", "noinline"].map(|what| format!("f{function}:{what}")));
        let options: Vec<String> = attributes
            .map(|attribute| format!("-force-attribute={attribute}"))
            .collect();
        library::set_llvm_options(&options)?;
    }
    let (Whole(level) | ButSlow(level)) = attempt;
    let config = config(level, super::MOST_PAGES).map_err(|e| e.to_string())?;
    let compiler = Compiler::new(Some(&config)).map_err(|e| e.to_string())?;
    let (Some(folder), Some(name)) = (code.parent(), code.file_name()) else {
        return Err(format!("{} is no file name", code.display()));
    };
    let made = compiler
        .compile_from_bytes(wasm, name.to_string_lossy(), folder)
        .map_err(|e| e.to_string())?;
    std::fs::rename(&made, code).map_err(|e| format!("{}: {e}", code.display()))
}

/// The functions that the module calls slow versions; none where it says nothing that can be read.
fn slow_versions(wasm: &[u8]) -> Vec<u32> {
    let mut sections = Parser::new(0).parse_all(wasm).filter_map(Result::ok);
    let content = sections.find_map(|section| match section {
        Payload::CustomSection(custom) if custom.name() == shape::SLOW_VERSIONS => {
            Some(custom.data())
        }
        _ => None,
    });
    let mut reader = BinaryReader::new(content.unwrap_or_default(), 0);
    let count = reader.read_var_u32().unwrap_or(0);
    (0..count)
        .map_while(|_| reader.read_var_u32().ok())
        .collect()
}
