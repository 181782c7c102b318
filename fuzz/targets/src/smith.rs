//! Any module that wasm-smith makes of the bytes, within the proposals that are accepted.

use arbitrary::Unstructured;
use wasm_encoder::{
    EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection, Instruction,
    Module, TypeSection, ValType,
};
use wasm_smith::Config;

const I32: ValType = ValType::I32;

/// Calls of WASI that block, and some that do not.
const IMPORTS: [(&str, &[ValType]); 5] = [
    ("sched_yield", &[]),
    ("poll_oneoff", &[I32; 4]),
    ("fd_read", &[I32; 4]),
    ("fd_write", &[I32; 4]),
    ("random_get", &[I32; 2]),
];

pub fn run(data: &[u8]) {
    let Some((&[flags, more], data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let on = |bit: u8| flags & (1 << bit) != 0;
    let large = more & 1 == 1;
    let config = Config {
        available_imports: Some(available()),
        exports: Some(exported()),
        max_imports: IMPORTS.len(),
        min_funcs: 1,
        max_funcs: if large { 60 } else { 8 },
        max_instructions: if large { 2000 } else { 150 },
        max_nesting_depth: if large { 200 } else { 10 },
        max_memories: if on(0) { 3 } else { 1 },
        max_tables: if on(0) { 3 } else { 1 },
        bulk_memory_enabled: on(1),
        multi_value_enabled: on(2),
        reference_types_enabled: on(3),
        tail_call_enabled: on(4),
        exceptions_enabled: on(5),
        extended_const_enabled: on(6),
        simd_enabled: on(7),
        threads_enabled: more & 2 == 2,
        memory64_enabled: more & 4 == 4,
        gc_enabled: false,
        relaxed_simd_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        max_memory32_bytes: 1 << 24,
        max_table_elements: 1000,
        ..Config::default()
    };
    let mut unstructured = Unstructured::new(data);
    if let Ok(module) = wasm_smith::Module::new(config, &mut unstructured) {
        super::module::rewrite(&module.to_bytes());
    }
}

/// A module that imports what may be imported.
fn available() -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    for (name, params) in IMPORTS {
        let ty = EntityType::Function(types.len());
        imports.import("wasi_snapshot_preview1", name, ty);
        types.ty().function(params.to_vec(), [I32]);
    }
    let mut module = Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

/// A module that exports what must be exported.
fn exported() -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    let mut code = wasm_encoder::CodeSection::new();
    let mut body = Function::new([]);
    body.instruction(&Instruction::End);
    code.function(&body);
    let mut module = Module::new();
    module.section(&types).section(&functions);
    module.section(&exports).section(&code);
    module.finish()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..8_usize)
        .map(|seed| {
            let length = 50 << (seed % 5);
            (0..length).map(|_| random.u8(..)).collect()
        })
        .collect()
}
