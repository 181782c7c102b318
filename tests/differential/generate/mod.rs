//! Structured programs around calls that may block: recursion, indirect calls, tail calls, loops,
//! branches with values, several results, exceptions, tables that change, functions that never
//! suspend and hold what Binaryen does not read, references to functions, objects, and values of all
//! types alive across all of it.

mod body;
mod extra;
mod objects;
mod references;
mod values;

use std::borrow::Cow;

use fastrand::Rng;
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements, EntityType,
    ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    Instruction as I, MemorySection, MemoryType, Module, RefType, TableSection, TableType, TagKind,
    TagSection, TagType, TypeSection, ValType,
};

use self::body::Body;
use super::harness;

const TYPES: [ValType; 5] = [
    ValType::I32,
    ValType::I64,
    ValType::F32,
    ValType::F64,
    ValType::V128,
];
/// Imports, in the order of [`harness::IMPORTS`].
const YIELD: u32 = 0;
const EXIT: u32 = 3;
/// Functions of every program.
const INPUT: u32 = 4;
const LOG: u32 = 5;
const HASH: u32 = 6;
const FIRST: u32 = 7;
/// The global that counts down how many functions may still be entered.
const BUDGET: u32 = 0;
/// Slots of the table for functions of one type.
const SLOTS: u32 = 4;

type Signature = (Vec<ValType>, Vec<ValType>);

/// What the functions of one program share.
struct Plan {
    signatures: Vec<Signature>,
    /// The signature of each guest function.
    functions: Vec<usize>,
    globals: Vec<ValType>,
    /// Which functions the table's slots hold, `SLOTS` for each signature.
    slots: Vec<Vec<u32>>,
    changes_table: bool,
    /// What each tag carries.
    tags: Vec<Vec<ValType>>,
    /// Whether references to exceptions are kept in locals.
    references: bool,
    /// The signature of each function that never suspends; the first is called through a table.
    quiet: Vec<usize>,
    /// Results of blocks that give several values.
    several: Vec<Vec<ValType>>,
    /// The signature of the functions to which references are kept in locals, if any are.
    held: Option<usize>,
    /// Whether there are objects that a garbage collector looks after.
    objects: bool,
}

/// Numbers of types.
#[derive(Clone, Copy)]
struct TypeIndex {
    /// The first of the signatures'.
    signatures: u32,
    /// For each tag: what it carries, as results; the same with a reference behind.
    tags: u32,
    /// The first of those of blocks that give several values.
    several: u32,
    /// `(i32, i64) -> i64`, and functions of the table of those that never suspend.
    params: u32,
    /// The first of those of objects.
    objects: u32,
}

/// A random program.
pub struct Program {
    pub wasm: Vec<u8>,
    /// The same one with exceptions in their older form, if it has any.
    pub older: Option<Vec<u8>>,
    /// Whether it has objects that a garbage collector looks after.
    pub objects: bool,
}

/// A random program.
pub fn program(random: &mut Rng) -> Program {
    let types = |random: &mut Rng, most: usize| -> Vec<ValType> {
        let count = random.usize(..=most);
        (0..count).map(|_| TYPES[random.usize(..5)]).collect()
    };
    // The first is that of the functions that block.
    let mut signatures = vec![(vec![], vec![ValType::I32])];
    for _ in 0..random.usize(2..=4) {
        signatures.push((types(random, 4), types(random, 2)));
    }
    let functions: Vec<usize> = (0..random.usize(3..=8))
        .map(|_| random.usize(..signatures.len()))
        .collect();
    let slots = (0..signatures.len())
        .map(|signature| {
            let mut fitting: Vec<u32> = (0..functions.len())
                .filter(|function| functions[*function] == signature)
                .map(|function| FIRST + function as u32)
                .collect();
            if signature == 0 {
                fitting.extend([YIELD, INPUT]);
            }
            random.shuffle(&mut fitting);
            fitting.truncate(SLOTS as usize);
            fitting
        })
        .collect();
    let mut globals = vec![ValType::I32];
    globals.extend(types(random, 6));
    let plan = Plan {
        signatures,
        functions,
        globals,
        slots,
        changes_table: random.u8(..12) == 0,
        tags: Vec::new(),
        references: false,
        quiet: Vec::new(),
        several: Vec::new(),
        held: None,
        objects: false,
    };
    let plan = plan.with_extras(random).with_references(random);
    let plan = plan.with_objects(random);
    let wasm = plan.module(random);
    let older = (!plan.tags.is_empty() && !plan.references && random.bool())
        .then(|| super::older::form(&wasm, plan.packable(), random));
    Program {
        wasm,
        older,
        objects: plan.objects,
    }
}

impl Plan {
    fn module(&self, random: &mut Rng) -> Vec<u8> {
        let mut types = TypeSection::new();
        let mut imports = ImportSection::new();
        for (name, params, results) in harness::IMPORTS {
            let ty = types.len();
            types.ty().function(params.to_vec(), results.to_vec());
            imports.import(harness::MODULE, name, EntityType::Function(ty));
        }
        let first_signature = types.len();
        for (params, results) in &self.signatures {
            types.ty().function(params.clone(), results.clone());
        }
        let (number, nothing) = (types.len(), types.len() + 1);
        types.ty().function([ValType::I64], []);
        types.ty().function([], []);
        let index = self.extra_types(first_signature, &mut types);

        let mut functions = FunctionSection::new();
        functions
            .function(first_signature)
            .function(number)
            .function(nothing);
        let mut code = CodeSection::new();
        code.function(&harness::input(1)).function(&harness::log(2));
        let globals: Vec<(u32, ValType)> = (0..).zip(self.globals.iter().copied()).collect();
        code.function(&harness::hash(LOG, &globals));
        for signature in &self.functions {
            functions.function(first_signature + *signature as u32);
            code.function(&Body::new(self, index, *signature, false, random).function());
        }
        for signature in &self.quiet {
            functions.function(first_signature + *signature as u32);
            code.function(&Body::new(self, index, *signature, true, random).function());
        }
        let start = FIRST + (self.functions.len() + self.quiet.len()) as u32;
        functions.function(nothing);
        code.function(&self.start(random));
        self.object_functions(index.objects, &mut functions, &mut code);

        let mut table = TableSection::new();
        let mut elements = ElementSection::new();
        table.table(TableType {
            element_type: RefType::FUNCREF,
            minimum: u64::from(SLOTS) * self.slots.len() as u64,
            maximum: None,
            table64: false,
            shared: false,
        });
        for (signature, fitting) in self.slots.iter().enumerate() {
            if !fitting.is_empty() {
                let list: Vec<u32> = fitting
                    .iter()
                    .copied()
                    .cycle()
                    .take(SLOTS as usize)
                    .collect();
                let offset = ConstExpr::i32_const((signature as u32 * SLOTS) as i32);
                elements.active(None, &offset, Elements::Functions(Cow::Owned(list)));
            }
        }
        self.quiet_table(&mut table, &mut elements);
        self.held_table(&mut table);
        let mut memory = MemorySection::new();
        memory.memory(MemoryType {
            minimum: 1,
            maximum: Some(4),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut section = GlobalSection::new();
        for (place, ty) in self.globals.iter().enumerate() {
            let initial = match ty {
                ValType::I32 if place == BUDGET as usize => {
                    ConstExpr::i32_const(random.i32(20..200))
                }
                ValType::I32 => ConstExpr::i32_const(random.i32(..)),
                ValType::I64 => ConstExpr::i64_const(random.i64(..)),
                ValType::F32 => ConstExpr::f32_const(1.5.into()),
                ValType::F64 => ConstExpr::f64_const((-2.25).into()),
                _ => ConstExpr::v128_const(random.i128(..)),
            };
            section.global(
                GlobalType {
                    val_type: *ty,
                    mutable: true,
                    shared: false,
                },
                &initial,
            );
        }
        self.object_global(index.objects, &mut section);
        let mut exports = ExportSection::new();
        exports.export("_start", ExportKind::Func, start);
        exports.export("memory", ExportKind::Memory, 0);

        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&table);
        module.section(&memory);
        if !self.tags.is_empty() {
            let mut tags = TagSection::new();
            for tag in 0..self.tags.len() as u32 {
                tags.tag(TagType {
                    kind: TagKind::Exception,
                    func_type_idx: index.tags + 3 * tag + 2,
                });
            }
            module.section(&tags);
        }
        module.section(&section).section(&exports);
        let mut data = DataSection::new();
        data.passive((0..64_u8).map(|byte| byte.wrapping_mul(37)));
        module.section(&elements);
        module.section(&DataCountSection { count: 1 });
        module.section(&code).section(&data);
        module.finish()
    }

    /// Calls some of the functions, prints what they return, and the state at the end.
    fn start(&self, random: &mut Rng) -> Function {
        let mut body = Function::new([]);
        for _ in 0..random.usize(1..=3) {
            let callee = random.usize(..self.functions.len());
            let (params, results) = &self.signatures[self.functions[callee]];
            for param in params {
                body.instruction(&constant(*param, random));
            }
            body.instruction(&I::Call(FIRST + callee as u32));
            for result in results.iter().rev() {
                for instruction in harness::to_i64(*result) {
                    body.instruction(&instruction);
                }
                body.instruction(&I::Call(LOG));
            }
        }
        body.instruction(&I::Call(HASH));
        if random.u8(..4) == 0 {
            body.instruction(&I::I32Const(random.i32(0..100)));
            body.instruction(&I::Call(EXIT));
        }
        body.instruction(&I::End);
        body
    }
}

fn constant(ty: ValType, random: &mut Rng) -> I<'static> {
    match ty {
        ValType::I32 => I::I32Const(random.i32(-100..100)),
        ValType::I64 => I::I64Const(random.i64(..)),
        ValType::F32 => I::F32Const((f32::from(random.i8(..)) / 4.0).into()),
        ValType::F64 => I::F64Const((f64::from(random.i16(..)) / 8.0).into()),
        _ => I::V128Const(random.i128(..)),
    }
}
