//! Modules made to explode on their way through the instrumentation: each is refused with a reason, or made
//! resumable, within bounded time and memory. Never does the process crash.

use std::path::Path;

use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, Instruction as I, Module, TypeSection, ValType,
};

use crate::bounded;
use dormouse_test_support::stderr;

/// MiB and seconds for one module. A debug build is several times slower than a release.
const MEMORY: u64 = 6000;
const SECONDS: u32 = 300;

/// A module that imports `sched_yield`, with these bodies of type `() -> ()`, the first of which is `_start`.
/// Function 0 is the import.
fn module(bodies: impl IntoIterator<Item = Function>) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    imports.import(
        "wasi_snapshot_preview1",
        "sched_yield",
        EntityType::Function(0),
    );
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for body in bodies {
        functions.function(1);
        code.function(&body);
    }
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 1);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions);
    module.section(&exports).section(&code);
    module.finish()
}

/// So large that a test takes seconds, or with `DORMOUSE_TEST_ALL` so large that it takes minutes.
fn sizes<T: Clone>(few: &[T], many: &[T]) -> Vec<T> {
    match std::env::var_os("DORMOUSE_TEST_ALL") {
        None => few.to_vec(),
        Some(_) => many.to_vec(),
    }
}

fn yields(body: &mut Function) {
    body.instruction(&I::Call(0)).instruction(&I::Drop);
}

/// Builds a module; gives what became of it.
fn build(folder: &Path, name: &str, wasm: &[u8], transform: &str) -> bool {
    let path = folder.join("module.wasm");
    std::fs::write(&path, wasm).expect("a scratch file");
    let (path, out) = (
        path.display().to_string(),
        folder.join("out").display().to_string(),
    );
    let started = std::time::Instant::now();
    let output = bounded(
        MEMORY,
        SECONDS,
        &["build", "--transform", transform, &path, "-o", &out],
    );
    let text = stderr(&output);
    println!(
        "{name}, {} bytes, {transform}: {:?} in {:.1?}: {}",
        wasm.len(),
        output.status.code(),
        started.elapsed(),
        text.lines().last().unwrap_or_default()
    );
    assert!(!text.contains("panicked"), "{name}: {text}");
    match output.status.code() {
        Some(0) => true,
        Some(65) => {
            assert!(text.contains("dormouse: "), "{name}: no reason: {text}");
            false
        }
        code => panic!("{name}, {transform}: {code:?}: {text}"),
    }
}

/// Both ways through Binaryen end alike.
fn explode(name: &str, wasm: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let made = build(folder.path(), name, wasm, "two-version");
    assert_eq!(build(folder.path(), name, wasm, "plain"), made, "{name}");
    made
}

fn nested(depth: usize, open: &I<'_>, condition: bool) -> Vec<u8> {
    let mut body = Function::new([]);
    for _ in 0..depth {
        if condition {
            body.instruction(&I::I32Const(1));
        }
        body.instruction(open);
    }
    yields(&mut body);
    for _ in 0..depth {
        body.instruction(&I::End);
    }
    body.instruction(&I::End);
    module([body])
}

/// Blocks, loops and ifs in each other. What compilers write is taken: a `switch` of a thousand cases is a thousand
/// blocks deep.
#[test]
fn deep_nesting() {
    let empty = BlockType::Empty;
    let kinds = [
        ("blocks", I::Block(empty), false),
        ("loops", I::Loop(empty), false),
        ("ifs", I::If(empty), true),
    ];
    for (name, open, condition) in kinds {
        for depth in [1000, 2_000_000] {
            let name = format!("{depth} {name}");
            let made = explode(&name, &nested(depth, &open, condition));
            assert_eq!(made, depth <= 1000, "{name}");
        }
    }
}

/// One expression as deep as a body can be, on its left side and on its right.
#[test]
fn deep_expressions() {
    // A chain of a hundred thousand takes Binaryen the two minutes that it has, and is refused then.
    for depth in sizes(&[1000], &[1000, 100_000]) {
        let mut left = Function::new([(1, ValType::I32)]);
        left.instruction(&I::Call(0));
        for _ in 0..depth {
            left.instruction(&I::LocalGet(0)).instruction(&I::I32Add);
        }
        left.instruction(&I::LocalSet(0)).instruction(&I::End);
        explode(&format!("{depth} additions on the left"), &module([left]));

        let mut right = Function::new([(1, ValType::I32)]);
        for _ in 0..depth {
            right.instruction(&I::LocalGet(0));
        }
        right.instruction(&I::Call(0));
        for _ in 0..depth {
            right.instruction(&I::I32Add);
        }
        right.instruction(&I::LocalSet(0)).instruction(&I::End);
        explode(&format!("{depth} additions on the right"), &module([right]));

        // Straight code, which an optimiser makes into one expression.
        let mut chain = Function::new([(1, ValType::I32)]);
        for _ in 0..depth {
            chain.instruction(&I::LocalGet(0)).instruction(&I::I32Clz);
            chain.instruction(&I::LocalSet(0));
        }
        yields(&mut chain);
        chain.instruction(&I::End);
        explode(&format!("{depth} steps of a chain"), &module([chain]));
    }
}

/// Asyncify saves locals around each call: fifty thousand of them, and thousands of calls.
#[test]
fn many_locals() {
    let few = [(300, 100), (50_001, 1)];
    for (locals, calls) in sizes(&few, &[(1000, 1000), (50_000, 3), (50_000, 5000)]) {
        let mut body = Function::new([(locals, ValType::I64)]);
        for call in 0..calls {
            yields(&mut body);
            body.instruction(&I::LocalGet(call % locals))
                .instruction(&I::LocalSet((7 * call) % locals));
        }
        for local in 0..locals {
            body.instruction(&I::LocalGet(local)).instruction(&I::Drop);
        }
        body.instruction(&I::End);
        explode(&format!("{locals} locals, {calls} calls"), &module([body]));
    }
    // A million in all, over many functions.
    let bodies = (0..sizes(&[20], &[200])[0]).map(|_| {
        let mut body = Function::new([(5000, ValType::F64)]);
        yields(&mut body);
        body.instruction(&I::LocalGet(4999))
            .instruction(&I::Drop)
            .instruction(&I::End);
        body
    });
    explode("a million locals", &module(bodies));
}

/// Tables of branches, each to all of many blocks.
#[test]
fn branch_tables() {
    for (depth, tables, targets) in [(500, 100, 500), (30, 4, 65_520)] {
        let mut body = Function::new([]);
        for _ in 0..depth {
            body.instruction(&I::Block(BlockType::Empty));
        }
        for table in 0..tables {
            body.instruction(&I::Block(BlockType::Empty));
            body.instruction(&I::Call(0));
            let to: Vec<u32> = (0..targets)
                .map(|target| (target * 7 + table) % depth)
                .collect();
            body.instruction(&I::BrTable(to.into(), 0));
            body.instruction(&I::End);
        }
        for _ in 0..=depth {
            body.instruction(&I::End);
        }
        explode(
            &format!("{tables} tables of {targets} branches over {depth} blocks"),
            &module([body]),
        );
    }
}

/// So many functions that each costs, and so long a chain of calls that whoever follows it by recursion falls.
#[test]
fn many_functions() {
    for count in sizes(&[3000], &[1_000_000_u32]) {
        let tiny = (0..count).map(|_| {
            let mut body = Function::new([]);
            body.instruction(&I::End);
            body
        });
        explode(&format!("{count} empty functions"), &module(tiny));
    }
    let chain = |count: u32| {
        (1..=count).map(move |function| {
            let mut body = Function::new([]);
            match function == count {
                true => yields(&mut body),
                false => drop(body.instruction(&I::Call(function + 1))),
            }
            body.instruction(&I::End);
            body
        })
    };
    for count in sizes(&[1000], &[50_000]) {
        explode(
            &format!("a chain of {count} functions"),
            &module(chain(count)),
        );
    }
    // Each calls a hundred others.
    let count = sizes(&[100], &[10_000])[0];
    let dense = (1..=count).map(|function: u32| {
        let mut body = Function::new([]);
        for other in 0..100 {
            body.instruction(&I::Call((function * 31 + other * 97) % count + 1));
        }
        yields(&mut body);
        body.instruction(&I::End);
        body
    });
    explode(
        &format!("{count} functions with 100 calls each"),
        &module(dense),
    );
}

/// A call at every step of a long body, and loops in loops around calls.
#[test]
fn many_calls() {
    for calls in sizes(&[1500], &[20_000, 400_000]) {
        let mut body = Function::new([(8, ValType::I32)]);
        for call in 0..calls {
            body.instruction(&I::Call(0))
                .instruction(&I::LocalSet(call % 8));
        }
        body.instruction(&I::End);
        explode(&format!("{calls} calls in one body"), &module([body]));
    }
    let mut body = Function::new([(30, ValType::I32)]);
    for local in 0..30 {
        body.instruction(&I::Loop(BlockType::Empty));
        body.instruction(&I::Call(0))
            .instruction(&I::LocalSet(local));
    }
    for local in (0..30).rev() {
        body.instruction(&I::LocalGet(local))
            .instruction(&I::BrIf(0))
            .instruction(&I::End);
    }
    body.instruction(&I::End);
    explode("30 loops in each other with calls", &module([body]));
}

/// Types, imports, names and tables by the hundred thousand.
#[test]
fn floods_around_the_code() {
    let wide = [ValType::I64; 1000];
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    for _ in 0..5000 {
        types.ty().function(wide, []);
    }
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    imports.import(
        "wasi_snapshot_preview1",
        "sched_yield",
        EntityType::Function(0),
    );
    let mut functions = FunctionSection::new();
    functions.function(5001).function(1);
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 1);
    let mut code = CodeSection::new();
    let mut start = Function::new([]);
    for _ in 0..1000 {
        start.instruction(&I::I64Const(1));
    }
    start.instruction(&I::Call(2)).instruction(&I::End);
    let mut called = Function::new([]);
    yields(&mut called);
    for parameter in 0..1000 {
        called
            .instruction(&I::LocalGet(parameter))
            .instruction(&I::Drop);
    }
    called.instruction(&I::End);
    code.function(&start).function(&called);
    let mut wasm = Module::new();
    wasm.section(&types)
        .section(&imports)
        .section(&functions)
        .section(&exports)
        .section(&code);
    explode("5000 types of 1000 parameters", &wasm.finish());

    for count in [10_000, 900_000] {
        let mut types = TypeSection::new();
        types.ty().function([], [ValType::I32]);
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        for _ in 0..count {
            imports.import(
                "wasi_snapshot_preview1",
                "sched_yield",
                EntityType::Function(0),
            );
        }
        let mut functions = FunctionSection::new();
        functions.function(1);
        let mut exports = ExportSection::new();
        exports.export("_start", ExportKind::Func, count);
        let mut body = Function::new([]);
        body.instruction(&I::Call(count - 1))
            .instruction(&I::Drop)
            .instruction(&I::End);
        let mut code = CodeSection::new();
        code.function(&body);
        let mut wasm = Module::new();
        wasm.section(&types)
            .section(&imports)
            .section(&functions)
            .section(&exports)
            .section(&code);
        explode(&format!("{count} imports"), &wasm.finish());
    }
}
