//! Any valid module that wasm-smith makes, with blocking calls at random places.

use arbitrary::Unstructured;
use fastrand::Rng;
use wasm_encoder::reencode::{Error, Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction as I, Module, TypeSection, ValType,
};
use wasm_smith::{Config, Module as Smith};
use wasmparser::{CompositeInnerType, Operator, Parser, Payload, RecGroup};

use super::harness;

/// What wasm-smith may import: `sched_yield` and `fd_write`.
const AVAILABLE: [usize; 2] = [0, 2];
/// It takes any of these, so that not every module is of use.
const ATTEMPTS: usize = 50;

/// A random program, and whether it has objects that a garbage collector looks after; `None` where
/// none of the modules had what a program needs.
pub fn program(random: &mut Rng) -> Option<(Vec<u8>, bool)> {
    (0..ATTEMPTS).find_map(|_| attempt(random))
}

fn attempt(random: &mut Rng) -> Option<(Vec<u8>, bool)> {
    let bytes: Vec<u8> = (0..random.usize(1000..8000))
        .map(|_| random.u8(..))
        .collect();
    let mut unstructured = Unstructured::new(&bytes);
    // One of them at a time, and not often: much of what it makes of these cannot be suspended.
    let newer = random.u8(..16);
    let config = Config {
        available_imports: Some(available()),
        max_imports: AVAILABLE.len(),
        min_exports: 1,
        min_funcs: 3,
        max_funcs: 12,
        min_memories: 1,
        max_memories: 1,
        min_tables: 1,
        max_tables: 2,
        max_table_elements: 100,
        max_data_segments: 4,
        max_element_segments: 4,
        max_instructions: 300,
        allow_start_export: random.bool(),
        canonicalize_nans: true,
        disallow_traps: random.u8(..4) > 0,
        bulk_memory_enabled: random.u8(..4) == 0,
        // WasmEdge 0.14 does not know it.
        extended_const_enabled: false,
        multi_value_enabled: newer == 0,
        reference_types_enabled: (1..=3).contains(&newer),
        exceptions_enabled: newer == 2,
        gc_enabled: newer == 3,
        compact_imports_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: newer > 12,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        memory64_enabled: false,
        max_memory32_bytes: 4 << 16,
        // Otherwise it may grow to what the host allows, and hosts differ in that.
        memory_max_size_required: true,
        table_max_size_required: true,
        ..Config::default()
    };
    let mut smith = Smith::new(config, &mut unstructured).ok()?;
    smith.ensure_termination(2000).ok()?;
    let objects = newer == 3;
    let wasm = smith.to_bytes();
    let mut around = Around::new(&wasm, random)?;
    if objects {
        // With more of them, hardly any program holds none at one.
        around.between = around.random.bool().then_some(200);
        around.suspends_between = true;
    }
    Some((around.module().ok()?, objects))
}

/// A module that imports what may be imported.
fn available() -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    for place in AVAILABLE {
        let (name, params, results) = harness::IMPORTS[place];
        imports.import(harness::MODULE, name, EntityType::Function(types.len()));
        types.ty().function(params.to_vec(), results.to_vec());
    }
    let mut module = Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

/// wasm-smith's module with an entry of ours around its functions.
struct Around<'a> {
    wasm: &'a [u8],
    random: &'a mut Rng,
    /// Functions to which null can be given for each reference, with their types.
    callable: Vec<(u32, Vec<ValType>, Vec<ValType>)>,
    /// Of so many instructions, one has a call that may suspend in front of it, if any has.
    between: Option<u8>,
    /// Whether the entry suspends between two calls.
    suspends_between: bool,
    globals: Vec<(u32, ValType)>,
    sched_yield: u32,
    fd_write: u32,
    types: u32,
    functions: u32,
}

impl<'a> Around<'a> {
    fn new(wasm: &'a [u8], random: &'a mut Rng) -> Option<Self> {
        let mut signatures = Vec::new();
        let mut of_functions = Vec::new();
        let mut globals = Vec::new();
        let mut has_memory = false;
        let mut names = Vec::new();
        let ty = |ty: &wasmparser::ValType| RoundtripReencoder.val_type(*ty).ok();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.ok()? {
                Payload::TypeSection(section) => {
                    let types = section.into_iter().flatten();
                    for one in types.flat_map(RecGroup::into_types) {
                        // No function has a type that is none of a function.
                        let (params, results) = match &one.composite_type.inner {
                            CompositeInnerType::Func(of) => (of.params(), of.results()),
                            _ => (&[][..], &[][..]),
                        };
                        let params: Option<Vec<_>> = params.iter().map(ty).collect();
                        let results: Option<Vec<_>> = results.iter().map(ty).collect();
                        signatures.push((params?, results?));
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        names.push(import.ok()?.name);
                    }
                }
                Payload::FunctionSection(section) => {
                    for function in section {
                        of_functions.push(function.ok()?);
                    }
                }
                Payload::MemorySection(_) => has_memory = true,
                Payload::GlobalSection(section) => {
                    for (index, global) in (0..).zip(section) {
                        let content = global.ok()?.ty.content_type;
                        if !content.is_reference_type() {
                            globals.push((index, ty(&content)?));
                        }
                    }
                }
                _ => {}
            }
        }
        let import = |place: usize| {
            let name = harness::IMPORTS[place].0;
            names.iter().position(|known| *known == name)
        };
        let (sched_yield, fd_write) = (import(AVAILABLE[0])?, import(AVAILABLE[1])?);
        if !has_memory || of_functions.is_empty() {
            return None;
        }
        let first = names.len() as u32;
        let callable = (first..).zip(&of_functions).map(|(function, signature)| {
            let (params, results) = signatures[*signature as usize].clone();
            (function, params, results)
        });
        let never_null = |ty: &ValType| matches!(ty, ValType::Ref(ty) if !ty.nullable);
        let callable = callable.filter(|(_, params, _)| !params.iter().any(never_null));
        let callable: Vec<_> = callable.collect();
        if callable.is_empty() {
            return None;
        }
        Some(Self {
            wasm,
            random,
            callable,
            between: Some(12),
            suspends_between: false,
            globals,
            sched_yield: sched_yield as u32,
            fd_write: fd_write as u32,
            types: signatures.len() as u32,
            functions: first + of_functions.len() as u32,
        })
    }

    fn module(mut self) -> Result<Vec<u8>, Error> {
        let mut module = Module::new();
        self.parse_core_module(&mut module, Parser::new(0), self.wasm)?;
        Ok(module.finish())
    }

    fn log(&self) -> u32 {
        self.functions
    }

    /// Calls functions with constants, and prints what they return.
    fn start(&mut self) -> Function {
        let log = self.log();
        let mut body = Function::new([]);
        for _ in 0..self.random.usize(1..=6) {
            let (function, params, results) =
                &self.callable[self.random.usize(..self.callable.len())];
            for param in params {
                body.instruction(&match param {
                    ValType::I32 => I::I32Const(self.random.i32(..)),
                    ValType::I64 => I::I64Const(self.random.i64(..)),
                    ValType::F32 => I::F32Const(1.25.into()),
                    ValType::F64 => I::F64Const(2.5.into()),
                    ValType::V128 => I::V128Const(self.random.i128(..)),
                    ValType::Ref(reference) => I::RefNull(reference.heap_type),
                });
            }
            body.instruction(&I::Call(*function));
            for result in results.iter().rev() {
                for instruction in harness::to_i64(*result) {
                    body.instruction(&instruction);
                }
                body.instruction(&I::Call(log));
            }
            if self.suspends_between {
                body.instruction(&I::Call(self.sched_yield));
                body.instruction(&I::Drop);
            }
        }
        body.instruction(&I::Call(log + 1));
        body.instruction(&I::End);
        body
    }
}

impl Reencode for Around<'_> {
    type Error = std::convert::Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error> {
        wasm_encoder::reencode::utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I64], []);
        types.ty().function([], []);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        wasm_encoder::reencode::utils::parse_function_section(self, functions, section)?;
        functions.function(self.types);
        functions.function(self.types + 1).function(self.types + 1);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        _: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        exports.export("_start", ExportKind::Func, self.functions + 2);
        exports.export("memory", ExportKind::Memory, 0);
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        wasm_encoder::reencode::utils::parse_code_section(self, code, section)?;
        code.function(&harness::log(self.fd_write));
        code.function(&harness::hash(self.log(), &self.globals));
        code.function(&self.start());
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let operator = reader.read()?;
            // In front of `else` and `end` too, and behind branches that are always taken.
            let mut is_chosen = || self.between.is_some_and(|of| self.random.u8(..of) == 0);
            if !matches!(operator, Operator::Else) && is_chosen() {
                function.instruction(&I::Call(self.sched_yield));
                function.instruction(&I::Drop);
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}
