//! The proposals to WebAssembly that modules may use.

use wasmparser::WasmFeatures;

/// The proposals that modules may use. Threads are among them only so that the refusal of a shared
/// memory can say which one it is.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::THREADS
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | MANAGED
}

/// Objects that a garbage collector looks after, and typed references to functions. Components may
/// not use them.
pub(crate) const MANAGED: WasmFeatures = WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES);
