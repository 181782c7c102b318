//! The only file that touches Binaryen.
//!
//! Binaryen's C interface keeps pass arguments and levels in process-wide variables, and it ends the process on
//! what it does not like: it works in a process of its own (`child`). Only modules that `validate` has let
//! through may come here, so that a refusal names function and instruction.

#![expect(unsafe_code, reason = "Binaryen's C API")]

mod child;

use std::ffi::CString;

use binaryen::{Module, ffi};

use super::Error;
use crate::model::shape;

/// Pages of 64 KiB for asyncify's stack: 32 MiB. A frame there is at most a few times the size of
/// the same frame on the native stack, of which engines allow 8 MiB; what is not written costs no
/// memory.
const STACK_PAGES: &str = "512";

/// Binaryen's optimisation level, as in `-O2`.
const LEVEL: i32 = 2;

/// What `-O2` runs, but for `dae-optimizing`: it optimizes functions again and again as their
/// arguments are found not to matter, a third of all the time, and a compiler has done that.
const OPTIMIZING: [&str; 37] = [
    "duplicate-function-elimination",
    "memory-packing",
    "once-reduction",
    "dce",
    "remove-unused-names",
    "remove-unused-brs",
    "remove-unused-names",
    "optimize-instructions",
    "pick-load-signs",
    "precompute",
    "code-pushing",
    "tuple-optimization",
    "simplify-locals-nostructure",
    "vacuum",
    "reorder-locals",
    "remove-unused-brs",
    "coalesce-locals",
    "simplify-locals",
    "vacuum",
    "reorder-locals",
    "coalesce-locals",
    "reorder-locals",
    "vacuum",
    "merge-blocks",
    "remove-unused-brs",
    "remove-unused-names",
    "merge-blocks",
    "precompute",
    "optimize-instructions",
    "rse",
    "vacuum",
    "inlining-optimizing",
    "duplicate-function-elimination",
    "simplify-globals",
    "remove-unused-module-elements",
    "reorder-globals",
    "directize",
];

/// What asyncify is told.
pub(super) struct Asyncify {
    /// Names of the functions to instrument.
    pub functions: Vec<String>,
    /// Imports that may suspend, as `module.name`.
    pub imports: Vec<String>,
}

/// Runs asyncify, and nothing after it.
pub(super) fn asyncify(wasm: &[u8], settings: &Asyncify) -> Result<Vec<u8>, Error> {
    child::run(wasm.len(), &|| run_asyncify(wasm, settings))
}

fn run_asyncify(wasm: &[u8], settings: &Asyncify) -> Result<Vec<u8>, Error> {
    let (module, raw) = read(wasm)?;
    set_argument("asyncify-imports", &settings.imports.join("\n"));
    set_argument("asyncify-in-secondary-memory", "1");
    set_argument("asyncify-secondary-memory-size", STACK_PAGES);
    if settings.functions.is_empty() {
        // An empty list would mean "all of them" to the pass.
        set_argument("asyncify-ignore-indirect", "1");
    } else {
        set_argument("asyncify-onlylist", &settings.functions.join("\n"));
    }
    run_pass(raw, "asyncify");
    clear_arguments();
    expose_state(raw);
    Ok(module.write())
}

/// Asyncify as its users run it, to compare with: everything that the pass itself takes for able to
/// suspend, optimised before and after.
pub(super) fn reference(
    wasm: &[u8],
    imports: &[String],
    kept: &[String],
) -> Result<Vec<u8>, Error> {
    child::run(wasm.len(), &|| run_reference(wasm, imports, kept))
}

fn run_reference(wasm: &[u8], imports: &[String], kept: &[String]) -> Result<Vec<u8>, Error> {
    let (module, raw) = read(wasm)?;
    keep_out(raw, kept);
    // SAFETY: `raw` is a live module.
    unsafe { ffi::BinaryenModuleOptimize(raw) };
    set_argument("asyncify-imports", &imports.join("\n"));
    set_argument("asyncify-in-secondary-memory", "1");
    set_argument("asyncify-secondary-memory-size", STACK_PAGES);
    run_pass(raw, "asyncify");
    clear_arguments();
    expose_state(raw);
    // SAFETY: `raw` is a live module; the level is set again whenever a module is read.
    unsafe {
        ffi::BinaryenSetOptimizeLevel(3);
        ffi::BinaryenModuleOptimize(raw);
    }
    Ok(module.write())
}

/// Exports asyncify's state in place of its functions.
fn expose_state(raw: ffi::BinaryenModuleRef) {
    // The host sets the two globals itself, so the pass's own functions can go.
    for function in [
        "start_unwind",
        "stop_unwind",
        "start_rewind",
        "stop_rewind",
        "get_state",
    ] {
        let export = c_string(&format!("asyncify_{function}"));
        // SAFETY: `raw` is a live module, and the string ends in a zero byte.
        unsafe { ffi::BinaryenRemoveExport(raw, export.as_ptr()) };
    }
    export_global(raw, "__asyncify_state", shape::ASYNCIFY_STATE);
    export_global(raw, "__asyncify_data", shape::ASYNCIFY_DATA);
    let memory = c_string("asyncify_memory");
    let export = c_string(shape::ASYNCIFY_MEMORY);
    // Without an export, optimising drops it where all that may suspend turns out to be dead code.
    // SAFETY: `raw` is a live module; asyncify has just made a memory of this name; both strings
    // end in a zero byte, and Binaryen copies them.
    unsafe { ffi::BinaryenAddMemoryExport(raw, memory.as_ptr(), export.as_ptr()) };
}

/// Optimises a module. Functions whose names match one of `kept`, where `*` stands for anything,
/// are never inlined.
pub(super) fn optimize(wasm: &[u8], kept: &[String]) -> Result<Vec<u8>, Error> {
    child::run(wasm.len(), &|| run_optimize(wasm, kept))
}

fn run_optimize(wasm: &[u8], kept: &[String]) -> Result<Vec<u8>, Error> {
    let (module, raw) = read(wasm)?;
    keep_out(raw, kept);
    run_passes(raw, &OPTIMIZING);
    Ok(module.write())
}

fn keep_out(raw: ffi::BinaryenModuleRef, kept: &[String]) {
    for pattern in kept {
        set_argument("no-inline", pattern);
        run_pass(raw, "no-inline");
        clear_arguments();
    }
}

/// Reads a module and tells Binaryen which proposals it may use.
fn read(wasm: &[u8]) -> Result<(Module, ffi::BinaryenModuleRef), Error> {
    // SAFETY: pointer and length are those of one slice, which Binaryen copies.
    let raw = unsafe { ffi::BinaryenModuleSafeRead(wasm.as_ptr().cast(), wasm.len()) };
    if raw.is_null() {
        return Err(Error::Binaryen);
    }
    // SAFETY: `raw` is a live module, and the owner made here is its only one. Debug information is
    // the name section, by which functions are told again.
    let module = unsafe {
        ffi::BinaryenModuleSetFeatures(raw, features());
        ffi::BinaryenSetOptimizeLevel(LEVEL);
        ffi::BinaryenSetShrinkLevel(0);
        ffi::BinaryenSetDebugInfo(true);
        Module::from_raw(raw)
    };
    Ok((module, raw))
}

/// Only what dormouse accepts, so that no pass rewrites it into a newer language than the engines'.
fn features() -> u32 {
    // SAFETY: each returns a constant.
    unsafe {
        ffi::BinaryenFeatureMutableGlobals()
            | ffi::BinaryenFeatureNontrappingFPToInt()
            | ffi::BinaryenFeatureSignExt()
            | ffi::BinaryenFeatureSIMD128()
            | ffi::BinaryenFeatureBulkMemory()
            | ffi::BinaryenFeatureReferenceTypes()
            | ffi::BinaryenFeatureMultivalue()
            | ffi::BinaryenFeatureExtendedConst()
            | ffi::BinaryenFeatureMultiMemory()
            | ffi::BinaryenFeatureAtomics()
    }
}

/// The crate's own way to run passes does not hand arguments on, so this is Binaryen's.
fn run_pass(raw: ffi::BinaryenModuleRef, pass: &str) {
    run_passes(raw, &[pass]);
}

fn run_passes(raw: ffi::BinaryenModuleRef, passes: &[&str]) {
    let names: Vec<CString> = passes.iter().map(|pass| c_string(pass)).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `raw` is a live module, and the list has as many strings as are said, each of which
    // ends in a zero byte.
    unsafe {
        ffi::BinaryenModuleRunPasses(raw, pointers.as_mut_ptr(), pointers.len() as u32);
    }
}

fn clear_arguments() {
    // SAFETY: takes no pointers.
    unsafe { ffi::BinaryenClearPassArguments() };
}

fn set_argument(name: &str, value: &str) {
    let (name, value) = (c_string(name), c_string(value));
    // SAFETY: both strings end in a zero byte, and Binaryen copies them.
    unsafe { ffi::BinaryenSetPassArgument(name.as_ptr(), value.as_ptr()) };
}

fn export_global(raw: ffi::BinaryenModuleRef, global: &str, export: &str) {
    let (global, export) = (c_string(global), c_string(export));
    // SAFETY: `raw` is a live module; asyncify has just made a global of this name; both strings
    // end in a zero byte, and Binaryen copies them.
    unsafe { ffi::BinaryenAddGlobalExport(raw, global.as_ptr(), export.as_ptr()) };
}

/// Zero bytes cannot be part of a C string. They occur in import names only, which then match
/// nothing; `validate` accepts known imports alone, which have none.
fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
