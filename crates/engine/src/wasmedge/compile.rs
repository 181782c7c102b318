//! Compiles with WasmEdge in a process of its own.
//!
//! WasmEdge's compiler is LLVM as a library. It crashes on some modules at some levels (version 19
//! on SQLite at level 1, for one), its linker's state belongs to the process, and it takes signal
//! handlers for itself. A child has all that to itself, and where it crashes another level is
//! tried.

use std::cmp::Reverse;
use std::path::Path;

use wasmedge_sdk::{Compiler, CompilerOptimizationLevel as Level};
use wasmparser::{BinaryReader, Parser, Payload, TypeRef};

use super::config::{KIND, MAX_PAGES, config};
use super::library;
use crate::Error;
use crate::child::{self, Limits, Outcome};
use crate::model::shape;
use crate::traits::Optimized;

/// LLVM's time grows faster than the code. Above these sizes in bytes it is asked for less: of all
/// bodies, and of those that run without a resume.
pub(super) const MAX_OPTIMIZED_BYTES: usize = 1 << 20;
pub(super) const MAX_PARTLY_OPTIMIZED_BYTES: usize = 2 << 20;

/// Of functions that go on from a loop, so many bytes are optimized in any case, the longest first,
/// and that one however long: an interpreter's loop is long, and the program stays in it.
const OPTIMIZED_LOOP_BYTES: usize = 512 << 10;

/// Of the memory that is available, the compiler gets so many quarters. Where it wants more, it is
/// asked for less.
const MEMORY_QUARTERS: u64 = 3;

/// One way to compile a module.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// All of it at one level.
    Whole(Level),
    /// At one level, but most of what runs after a resume alone as it is.
    ButSlow(Level),
}

use Attempt::{ButSlow, Whole};

impl Attempt {
    fn optimizes(self) -> Optimized {
        match self {
            Whole(Level::O0) => Optimized::Nothing,
            Whole(_) => Optimized::All,
            ButSlow(_) => Optimized::ButSlowVersions,
        }
    }
}

/// What to try for a module.
fn attempts(code: &Code) -> &'static [Attempt] {
    if code.bytes < MAX_OPTIMIZED_BYTES {
        return &[
            Whole(Level::O2),
            Whole(Level::O1),
            Whole(Level::Os),
            Whole(Level::O0),
        ];
    }
    match code.first_bytes {
        // Slow versions would take LLVM three times as long as all the rest. At level 0 the guest
        // would take three times as long and more, always.
        0..MAX_PARTLY_OPTIMIZED_BYTES => &[ButSlow(Level::O2), Whole(Level::O2), Whole(Level::O0)],
        _ => &[Whole(Level::O0)],
    }
}

/// Refuses what WasmEdge 0.14 would call malformed.
pub(super) fn check(wasm: &[u8]) -> Result<(), Error> {
    for section in Parser::new(0).parse_all(wasm) {
        let unknown = match section {
            Ok(Payload::TagSection(_)) => {
                "exceptions as they are; without `--transform none` they are rewritten, and \
                 Wasmtime runs them: `--engine wasmtime`"
            }
            Ok(Payload::CustomSection(custom)) if custom.name() == shape::MANAGED => {
                "objects that a garbage collector looks after, nor typed references; Wasmtime runs \
                 it: `--engine wasmtime`"
            }
            _ => continue,
        };
        return Err(Error::Proposal(KIND, unknown));
    }
    Ok(())
}

/// Writes a shared library with the code of `wasm` to `code`.
pub(super) fn compile(wasm: &[u8], code: &Path) -> Result<Optimized, Error> {
    let failed = |e: String| Error::Compile(KIND, e);
    let mut crashed = None;
    let bodies = Code::of(wasm);
    let memory = child::available_memory() / 4 * MEMORY_QUARTERS;
    let limits = Limits {
        memory: Some(memory),
        ..Limits::default()
    };
    for attempt in attempts(&bodies) {
        let work = || compile_here(wasm, &bodies, code, *attempt).map(|()| Vec::new());
        match child::run(&limits, &work) {
            Ok(Outcome::Done(_)) => return Ok(attempt.optimizes()),
            // LLVM cannot be told: it is out of reach, or does not know the option and ends the
            // process.
            Ok(Outcome::Failed(_) | Outcome::Left) if matches!(attempt, ButSlow(_)) => {}
            Ok(Outcome::Failed(reason)) => return Err(failed(reason)),
            Ok(Outcome::Left) => return Err(failed("the compiler ended itself".into())),
            // A fault of its own raised it, or it got no memory.
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
                return Err(Error::Ended(KIND, signal));
            }
            Err(error) => return Err(failed(format!("no process to compile in: {error}"))),
        }
    }
    Err(failed(format!(
        "its compiler crashes on this module at every level (signal {}), or needs more than the \
         {} MiB of memory that it may have; use the other engine",
        crashed.unwrap_or_default(),
        memory >> 20
    )))
}

fn compile_here(wasm: &[u8], bodies: &Code, code: &Path, attempt: Attempt) -> Result<(), String> {
    if matches!(attempt, ButSlow(_)) {
        let attributes = bodies
            .slow
            .iter()
            .flat_map(|function| ["optnone", "noinline"].map(|what| format!("f{function}:{what}")));
        let options: Vec<String> = attributes
            .map(|attribute| format!("-force-attribute={attribute}"))
            .collect();
        library::set_llvm_options(&options)?;
    }
    let (Whole(level) | ButSlow(level)) = attempt;
    let config = config(level, MAX_PAGES).map_err(|e| e.to_string())?;
    let compiler = Compiler::new(Some(&config)).map_err(|e| e.to_string())?;
    let (Some(folder), Some(name)) = (code.parent(), code.file_name()) else {
        return Err(format!("{} is no file name", code.display()));
    };
    let made = compiler
        .compile_from_bytes(wasm, name.to_string_lossy(), folder)
        .map_err(|e| e.to_string())?;
    std::fs::rename(&made, code).map_err(|e| format!("{}: {e}", code.display()))
}

/// What the functions of a module are.
#[derive(Debug, PartialEq)]
struct Code {
    /// Bytes of all bodies.
    bytes: usize,
    /// Bytes of those that run without a resume.
    first_bytes: usize,
    /// Indices of functions that are not optimized in a large module: slow versions, and most of
    /// those that go on from a loop.
    slow: Vec<u32>,
}

impl Code {
    /// Of a module that is valid; what cannot be read counts for nothing.
    fn of(wasm: &[u8]) -> Self {
        let (mut slow, mut loops) = (Vec::new(), Vec::new());
        let mut sizes = Vec::new();
        let mut imported = 0;
        for section in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            match section {
                Payload::ImportSection(imports) => {
                    let imports = imports.into_imports().map_while(Result::ok);
                    imported = imports
                        .filter(|import| matches!(import.ty, TypeRef::Func(_)))
                        .count();
                }
                Payload::CodeSectionEntry(body) => {
                    let range = body.range();
                    sizes.push((range.end - range.start) as usize);
                }
                Payload::CustomSection(custom) => {
                    let versions = match custom.name() {
                        shape::SLOW_VERSIONS => &mut slow,
                        shape::OSR_VERSIONS => &mut loops,
                        _ => continue,
                    };
                    let mut reader = BinaryReader::new(custom.data(), 0);
                    let count = reader.read_var_u32().unwrap_or(0);
                    *versions = (0..count)
                        .map_while(|_| reader.read_var_u32().ok())
                        .collect();
                }
                _ => {}
            }
        }
        let size = |function: &u32| -> usize {
            let index = (*function as usize).checked_sub(imported);
            index
                .and_then(|index| sizes.get(index).copied())
                .unwrap_or(0)
        };
        let bytes: usize = sizes.iter().sum();
        let later: usize = slow.iter().chain(&loops).map(size).sum();
        loops.sort_by_key(|function| Reverse(size(function)));
        let mut room = OPTIMIZED_LOOP_BYTES.max(loops.first().map_or(0, size));
        loops.retain(|function| {
            let fits = size(function) <= room;
            room -= if fits { size(function) } else { 0 };
            !fits
        });
        slow.extend(loops);
        Self {
            bytes,
            // A module may name a function twice.
            first_bytes: bytes.saturating_sub(later),
            slow,
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        CodeSection, CustomSection, EntityType, Function, FunctionSection, ImportSection, Module,
        TypeSection,
    };

    use super::*;

    /// What is found in a module of functions with so many instructions, and perhaps an imported
    /// one in front, whose custom section names some of them.
    fn of(imports_one: bool, nops: &[usize], section: &str, named: &[u8]) -> Code {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        types.ty().function([], []);
        if imports_one {
            imports.import("m", "f", EntityType::Function(0));
        }
        for nops in nops {
            functions.function(0);
            let mut body = Function::new([]);
            (0..*nops).for_each(|_| {
                body.instructions().nop();
            });
            body.instructions().end();
            code.function(&body);
        }
        let mut module = Module::new();
        let sections = module.section(&types).section(&imports);
        let sections = sections.section(&functions).section(&code);
        sections.section(&CustomSection {
            name: section.into(),
            data: named.into(),
        });
        Code::of(&module.finish())
    }

    #[test]
    fn slow_versions_are_told_from_the_rest() {
        let of = |slow: &[u8]| of(true, &[1, 3, 2], shape::SLOW_VERSIONS, slow);
        // A body is its locals (one byte here), its instructions and its end.
        let expected = Code {
            bytes: 3 + 5 + 4,
            first_bytes: 3,
            slow: vec![2, 3],
        };
        assert_eq!(of(&[2, 2, 3]), expected);
        assert_eq!(of(&[]).first_bytes, 12);
        // Numbers that no function has, and fewer than it says.
        assert_eq!(of(&[9, 0, 2, 100]).first_bytes, 7);
    }

    #[test]
    fn the_longest_loops_are_optimized() {
        let nops = [1, OPTIMIZED_LOOP_BYTES, OPTIMIZED_LOOP_BYTES - 10, 2];
        let of = |loops: &[u8]| of(false, &nops, shape::OSR_VERSIONS, loops);
        // The longest, though it is longer than there is room for.
        assert_eq!(of(&[3, 1, 2, 3]).slow, vec![2, 3]);
        // What is left for a short one behind a long one.
        assert_eq!(of(&[2, 3, 2]).slow, Vec::<u32>::new());
        assert_eq!(of(&[3, 1, 2, 3]).first_bytes, 3);
    }
}
