//! What an instrumentation made, and what it did for that.

use crate::manifest::Manifest;

/// A resumable module.
#[derive(Clone, Debug)]
pub struct Instrumented {
    /// The module, with its manifest in a custom section.
    pub wasm: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
    /// What was done.
    pub report: Report,
}

/// What an instrumentation did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many functions the source defines.
    pub functions: usize,
    /// The functions that were instrumented, in the module's order.
    pub instrumented: Vec<InstrumentedFunction>,
    /// Imports that may suspend the guest, as `module.name`.
    pub blocking: Vec<String>,
    /// Size of the source, in bytes.
    pub source_bytes: usize,
    /// Size of the resumable module, in bytes.
    pub resumable_bytes: usize,
}

/// A function that may be on the stack at a suspend.
#[derive(Clone, Debug)]
pub struct InstrumentedFunction {
    /// Its name, or its number where the module has no names.
    pub name: String,
    /// The shortest chain of calls from it to an import that may suspend. ` -> ` stands for a
    /// direct call, ` ~> ` for an indirect one.
    pub path: String,
}
