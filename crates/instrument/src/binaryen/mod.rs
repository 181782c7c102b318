//! Binaryen's passes, and the only calls of Binaryen.
//!
//! Its C interface keeps the arguments of passes in variables of the process, and ends the process
//! on what it does not like. So each run has a process of its own ([`process`]). Only modules that
//! the analysis has let through may come here, because Binaryen names neither function nor
//! instruction.
//!
//! Without the feature `binaryen` the module `without_binaryen` stands in its place.

#![expect(unsafe_code, reason = "Binaryen's C API")]

mod process;

use std::ffi::CString;

use binaryen::{Module, ffi};
use dormouse_model::shape;

use crate::error::{Error, PassFailure};
use crate::module::asyncify::STACK_PAGES;

/// Binaryen's optimization level, as in `-O2`.
const OPTIMIZE_LEVEL: i32 = 2;

/// The optimization level with which asyncify's users run it, as in `-O3`.
const REFERENCE_OPTIMIZE_LEVEL: i32 = 3;

/// What asyncify runs on a function before it saves locals, where its lists can be chosen
/// (`.cargo/binaryen-asyncify.cmake`). With the full list the rewriting takes twice the time; a
/// frame is as large with these. Only this form of `simplify-locals` is safe here: the others move
/// code over the places at which asyncify goes on, and large programs hide that they do.
const PASSES_BEFORE_LOCALS: &str =
    "simplify-locals-nostructure,vacuum,coalesce-locals,reorder-locals";

/// What asyncify runs on a function after it has saved locals.
const PASSES_AFTER_LOCALS: &str = "remove-unused-brs,remove-unused-names,vacuum";

/// The arguments of asyncify that have the two lists. A Binaryen that was built without our
/// settings does not know them, and runs its full lists.
const ARGUMENT_BEFORE_LOCALS: &str = "asyncify-passes-before-locals";
const ARGUMENT_AFTER_LOCALS: &str = "asyncify-passes-after-locals";

/// Passes of `-O2` that work on a function alone. Those for whole modules would give other indices
/// to functions and globals, by which hidden bodies name them.
const OPTIMIZING_PASSES: [&str; 28] = [
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
];

/// Runs asyncify, and no other pass. It instruments the functions with these names; `imports` has
/// those that may suspend, as `module.name`.
pub(crate) fn asyncify(
    wasm: &[u8],
    functions: &[String],
    imports: &[String],
) -> Result<Vec<u8>, Error> {
    process::run(wasm.len(), &|| run_asyncify(wasm, functions, imports))
}

fn run_asyncify(
    wasm: &[u8],
    functions: &[String],
    imports: &[String],
) -> Result<Vec<u8>, PassFailure> {
    let (module, raw) = read(wasm)?;
    set_asyncify_arguments(imports);
    set_argument(ARGUMENT_BEFORE_LOCALS, PASSES_BEFORE_LOCALS);
    set_argument(ARGUMENT_AFTER_LOCALS, PASSES_AFTER_LOCALS);
    if functions.is_empty() {
        // An empty list would mean "all of them" to the pass.
        set_argument("asyncify-ignore-indirect", "1");
    } else {
        set_argument("asyncify-onlylist", &functions.join("\n"));
    }
    run_pass(raw, "asyncify");
    clear_arguments();
    expose_state(raw);
    Ok(module.write())
}

/// Asyncify as its users run it, to compare with: the pass itself finds the functions that may
/// suspend, and the module is optimized before it and after it.
pub(crate) fn reference(wasm: &[u8], imports: &[String]) -> Result<Vec<u8>, Error> {
    process::run(wasm.len(), &|| run_reference(wasm, imports))
}

fn run_reference(wasm: &[u8], imports: &[String]) -> Result<Vec<u8>, PassFailure> {
    let (module, raw) = read(wasm)?;
    // SAFETY: `raw` is a live module.
    unsafe { ffi::BinaryenModuleOptimize(raw) };
    set_asyncify_arguments(imports);
    run_pass(raw, "asyncify");
    clear_arguments();
    expose_state(raw);
    // SAFETY: `raw` is a live module; the level is set again whenever a module is read.
    unsafe {
        ffi::BinaryenSetOptimizeLevel(REFERENCE_OPTIMIZE_LEVEL);
        ffi::BinaryenModuleOptimize(raw);
    }
    Ok(module.write())
}

fn set_asyncify_arguments(imports: &[String]) {
    set_argument("asyncify-imports", &imports.join("\n"));
    set_argument("asyncify-in-secondary-memory", "1");
    set_argument("asyncify-secondary-memory-size", &STACK_PAGES.to_string());
}

/// Exports asyncify's state in place of its functions.
fn expose_state(raw: ffi::BinaryenModuleRef) {
    // The host sets the two globals itself, and needs none of the pass's own functions.
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
    // Without an export the optimizer drops the memory where all that may suspend is dead code.
    // SAFETY: `raw` is a live module; asyncify has just made a memory of this name; both strings
    // end in a zero byte, and Binaryen copies them.
    unsafe { ffi::BinaryenAddMemoryExport(raw, memory.as_ptr(), export.as_ptr()) };
}

/// Optimizes each function of a module by itself.
pub(crate) fn optimize(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    process::run(wasm.len(), &|| run_optimize(wasm))
}

fn run_optimize(wasm: &[u8]) -> Result<Vec<u8>, PassFailure> {
    let (module, raw) = read(wasm)?;
    run_passes(raw, &OPTIMIZING_PASSES);
    Ok(module.write())
}

/// Reads a module, and tells Binaryen which proposals it may use.
fn read(wasm: &[u8]) -> Result<(Module, ffi::BinaryenModuleRef), PassFailure> {
    // SAFETY: pointer and length are those of one slice, which Binaryen copies.
    let raw = unsafe { ffi::BinaryenModuleSafeRead(wasm.as_ptr().cast(), wasm.len()) };
    if raw.is_null() {
        return Err(PassFailure::Unreadable);
    }
    // SAFETY: `raw` is a live module, and `Module` becomes its only owner.
    let module = unsafe {
        ffi::BinaryenModuleSetFeatures(raw, features());
        ffi::BinaryenSetOptimizeLevel(OPTIMIZE_LEVEL);
        ffi::BinaryenSetShrinkLevel(0);
        // Binaryen keeps the name section then, by which functions are found again.
        ffi::BinaryenSetDebugInfo(true);
        Module::from_raw(raw)
    };
    Ok((module, raw))
}

/// The proposals that the engines know, so that no pass uses a newer one.
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

/// Runs a pass by Binaryen's own function: that of the crate `binaryen` does not hand arguments on.
fn run_pass(raw: ffi::BinaryenModuleRef, pass: &str) {
    run_passes(raw, &[pass]);
}

fn run_passes(raw: ffi::BinaryenModuleRef, passes: &[&str]) {
    let names: Vec<CString> = passes.iter().map(|pass| c_string(pass)).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `raw` is a live module, and the list has as many strings as the call says, each of
    // which ends in a zero byte.
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

/// A zero byte cannot be part of a C string, which is empty then. Only names of imports could have
/// one, and the analysis accepts known imports alone, which have none.
fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asyncify on a small module, with a list of passes; whether it ended well.
    fn runs_with(argument: &str, passes: &str) -> bool {
        let source = r#"(module
            (import "m" "wait" (func $wait))
            (func $f (export "_start") (call $wait)))"#;
        let wasm = wat::parse_str(source).expect("it is a module");
        let made = process::run(wasm.len(), &|| {
            let (module, raw) = read(&wasm)?;
            set_asyncify_arguments(&["m.wait".to_owned()]);
            set_argument(argument, passes);
            run_pass(raw, "asyncify");
            Ok(module.write())
        });
        made.is_ok()
    }

    #[test]
    fn asyncify_takes_lists_of_passes() {
        for (argument, passes) in [
            (ARGUMENT_BEFORE_LOCALS, PASSES_BEFORE_LOCALS),
            (ARGUMENT_AFTER_LOCALS, PASSES_AFTER_LOCALS),
        ] {
            assert!(runs_with(argument, passes));
            // Binaryen ends its process at a name that it does not know, so it has read the list.
            assert!(!runs_with(argument, "no-such-pass"));
        }
    }
}
