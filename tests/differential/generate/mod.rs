//! Structured programs around calls that may block: recursion, indirect calls, tail calls, loops,
//! branches with values, several results, exceptions, tables that change, functions that never
//! suspend and hold what Binaryen does not read, and values of all types alive across all of it.

mod extra;

use std::borrow::Cow;

use fastrand::Rng;
use wasm_encoder::{
    AbstractHeapType, BlockType, CodeSection, ConstExpr, DataCountSection, DataSection,
    ElementSection, Elements, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, HeapType, ImportSection, Instruction as I, MemorySection,
    MemoryType, Module, RefType, TableSection, TableType, TagKind, TagSection, TagType,
    TypeSection, ValType,
};

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
}

/// A random program, and perhaps the same one with exceptions in their older form.
pub fn program(random: &mut Rng) -> (Vec<u8>, Option<Vec<u8>>) {
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
    };
    let plan = plan.with_extras(random);
    let wasm = plan.module(random);
    let older = (!plan.tags.is_empty() && !plan.references && random.bool())
        .then(|| super::older::form(&wasm, plan.packable(), random));
    (wasm, older)
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

/// One function while it is made.
struct Body<'a> {
    plan: &'a Plan,
    index: TypeIndex,
    /// Whether it must never suspend.
    quiet: bool,
    random: &'a mut Rng,
    /// Parameters, then other locals; counters of loops come behind.
    locals: Vec<ValType>,
    params: usize,
    results: Vec<ValType>,
    code: Vec<I<'static>>,
    /// Open blocks, by whether a branch may go there without a value.
    labels: Vec<bool>,
    /// Of open loops, their places among the labels, and the locals that count how often they go on.
    heads: Vec<(usize, u32)>,
    /// How much may still be made.
    room: usize,
}

/// Loops within loops at most.
const LOOPS: usize = 3;
/// A reference to an exception.
const EXCEPTION: ValType = ValType::Ref(RefType {
    nullable: true,
    heap_type: HeapType::Abstract {
        shared: false,
        ty: AbstractHeapType::Exn,
    },
});

impl<'a> Body<'a> {
    fn new(
        plan: &'a Plan,
        index: TypeIndex,
        signature: usize,
        quiet: bool,
        random: &'a mut Rng,
    ) -> Self {
        let (params, results) = &plan.signatures[signature];
        let mut locals = params.clone();
        for _ in 0..random.usize(2..=9) {
            locals.push(TYPES[random.usize(..5)]);
        }
        Self {
            plan,
            index,
            quiet,
            locals,
            params: params.len(),
            results: results.clone(),
            code: Vec::new(),
            labels: Vec::new(),
            heads: Vec::new(),
            room: random.usize(40..300),
            random,
        }
    }

    fn function(mut self) -> Function {
        self.code
            .extend([I::GlobalGet(BUDGET), I::I32Eqz, I::If(BlockType::Empty)]);
        self.leave();
        self.code.extend([
            I::End,
            I::GlobalGet(BUDGET),
            I::I32Const(1),
            I::I32Sub,
            I::GlobalSet(BUDGET),
        ]);
        for _ in 0..self.random.usize(2..=7) {
            self.statement(4);
        }
        for ty in self.results.clone() {
            self.value(ty, 3);
        }
        let counters = [ValType::I32; LOOPS];
        let kept = self.plan.references.then_some(EXCEPTION);
        let declared = self.locals[self.params..]
            .iter()
            .chain(&counters)
            .chain(&kept);
        let mut function = Function::new_with_locals_types(declared.copied());
        for instruction in &self.code {
            function.instruction(instruction);
        }
        function.instruction(&I::End);
        function
    }

    fn push(&mut self, instruction: I<'static>) {
        self.code.push(instruction);
        self.room = self.room.saturating_sub(1);
    }

    /// Returns constants.
    fn leave(&mut self) {
        for ty in self.results.clone() {
            let constant = constant(ty, self.random);
            self.push(constant);
        }
        self.push(I::Return);
    }

    fn local(&mut self, ty: ValType) -> Option<u32> {
        let fitting: Vec<usize> = (0..self.locals.len())
            .filter(|local| self.locals[*local] == ty)
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.random.usize(..fitting.len())] as u32)
    }

    fn global(&mut self, ty: ValType) -> Option<u32> {
        let globals = &self.plan.globals;
        let fitting: Vec<usize> = (1..globals.len()).filter(|g| globals[*g] == ty).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.usize(..fitting.len())] as u32)
    }

    fn address(&mut self, depth: usize) {
        self.value(ValType::I32, depth);
        self.push(I::I32Const(0x7ff0));
        self.push(I::I32And);
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..self.random.usize(1..=3) {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: usize) {
        let memory = harness::at(harness::RESERVED);
        if depth == 0 || self.room == 0 {
            self.pause();
            return;
        }
        match self.random.u8(..40) {
            0..6 => {
                let ty = TYPES[self.random.usize(..5)];
                if let Some(local) = self.local(ty) {
                    self.value(ty, depth - 1);
                    self.push(I::LocalSet(local));
                }
            }
            6..8 => {
                let ty = TYPES[self.random.usize(..5)];
                if let Some(global) = self.global(ty) {
                    self.value(ty, depth - 1);
                    self.push(I::GlobalSet(global));
                }
            }
            8..10 => {
                self.address(1);
                self.value(ValType::I64, depth - 1);
                self.push(I::I64Store(memory));
            }
            10..13 => {
                self.value(ValType::I32, depth - 1);
                self.push(I::If(BlockType::Empty));
                self.labels.push(true);
                self.statements(depth - 1);
                if self.random.bool() {
                    self.push(I::Else);
                    self.statements(depth - 1);
                }
                self.labels.pop();
                self.push(I::End);
            }
            13..16 if self.heads.len() < LOOPS => {
                let counter = (self.locals.len() + self.heads.len()) as u32;
                let times = self.random.i32(1..5);
                self.heads.push((self.labels.len(), counter));
                self.code.extend([
                    I::I32Const(times),
                    I::LocalSet(counter),
                    I::Loop(BlockType::Empty),
                ]);
                self.labels.push(false);
                self.statements(depth - 1);
                self.labels.pop();
                self.code.extend([
                    I::LocalGet(counter),
                    I::I32Const(1),
                    I::I32Sub,
                    I::LocalTee(counter),
                    I::BrIf(0),
                    I::End,
                ]);
                self.heads.pop();
            }
            16..18 => {
                self.push(I::Block(BlockType::Empty));
                self.labels.push(true);
                self.statements(depth - 1);
                self.labels.pop();
                self.push(I::End);
            }
            18..20 => self.branch(depth),
            20 => self.switch(depth),
            21..24 => self.call(depth),
            24 => {
                self.push(I::I32Const(self.code.len() as i32 % 2));
                self.push(I::MemoryGrow(0));
                self.push(I::Drop);
            }
            25 if self.plan.changes_table && !self.quiet => self.change_table(depth),
            26 => {
                self.value(ValType::I32, depth - 1);
                self.push(I::I32Const(63));
                self.push(I::I32And);
                self.push(I::I32Eqz);
                self.push(I::If(BlockType::Empty));
                match self.random.u8(..3) {
                    0 => self.push(I::Unreachable),
                    1 => {
                        self.push(I::I32Const(7));
                        self.push(I::Call(EXIT));
                    }
                    _ => self.leave(),
                }
                self.push(I::End);
            }
            27..30 => {
                self.value(ValType::I64, depth - 1);
                self.push(I::Call(LOG));
            }
            other => self.extra(other, depth),
        }
    }

    /// Goes to the head of an open loop, if that may go on.
    fn go_on(&mut self) {
        let (place, counter) = self.heads[self.random.usize(..self.heads.len())];
        let head = (self.labels.len() - place) as u32;
        let may = [I::LocalGet(counter), I::I32Const(1), I::I32GtS];
        self.push(I::Block(BlockType::Empty));
        self.code.extend(may.clone());
        self.push(I::LocalGet(counter));
        self.code.extend(may);
        self.code.extend([I::I32Sub, I::LocalSet(counter)]);
        match self.random.bool() {
            true => self.push(I::BrIf(head)),
            false => self.push(I::BrTable(Cow::Owned(vec![0, head]), 0)),
        }
        self.push(I::End);
    }

    fn branch(&mut self, depth: usize) {
        if !self.heads.is_empty() && self.random.u8(..3) == 0 {
            return self.go_on();
        }
        let open: Vec<usize> = (0..self.labels.len())
            .filter(|depth| self.labels[self.labels.len() - 1 - depth])
            .collect();
        if !open.is_empty() {
            let target = open[self.random.usize(..open.len())] as u32;
            self.value(ValType::I32, depth - 1);
            self.push(I::BrIf(target));
        }
    }

    fn switch(&mut self, depth: usize) {
        for _ in 0..3 {
            self.push(I::Block(BlockType::Empty));
            self.labels.push(true);
        }
        self.value(ValType::I32, depth - 1);
        self.push(I::I32Const(3));
        self.push(I::I32And);
        self.push(I::BrTable(Cow::Borrowed(&[0, 2, 1]), 1));
        for _ in 0..3 {
            self.labels.pop();
            self.push(I::End);
            self.statements(depth - 1);
        }
    }

    fn change_table(&mut self, depth: usize) {
        let signature = self.random.usize(..self.plan.slots.len());
        let fitting = &self.plan.slots[signature];
        if !fitting.is_empty() {
            let function = fitting[self.random.usize(..fitting.len())];
            self.slot(signature, depth);
            self.push(I::RefFunc(function));
            self.push(I::TableSet(0));
        }
    }

    /// A slot of the table that holds a function of this signature.
    fn slot(&mut self, signature: usize, depth: usize) {
        self.value(ValType::I32, depth - 1);
        self.push(I::I32Const(SLOTS as i32 - 1));
        self.push(I::I32And);
        self.push(I::I32Const((signature as u32 * SLOTS) as i32));
        self.push(I::I32Add);
    }

    /// Calls any function and puts its results away.
    fn call(&mut self, depth: usize) {
        let signature = self.random.usize(..self.plan.signatures.len());
        if self.call_of(signature, depth) {
            for ty in self.plan.signatures[signature].1.iter().rev() {
                let instruction = self.local(*ty).map_or(I::Drop, I::LocalSet);
                self.push(instruction);
            }
        }
    }

    /// Calls a function of this signature, if there is one.
    fn call_of(&mut self, signature: usize, depth: usize) -> bool {
        if self.quiet || self.random.u8(..4) == 0 {
            return self.call_quiet(signature, depth);
        }
        let fitting = &self.plan.slots[signature];
        if fitting.is_empty() || depth == 0 {
            return false;
        }
        for ty in &self.plan.signatures[signature].0 {
            self.value(*ty, depth - 1);
        }
        if self.random.bool() {
            let callee = fitting[self.random.usize(..fitting.len())];
            self.push(I::Call(callee));
        } else {
            self.slot(signature, depth);
            self.push(I::CallIndirect {
                type_index: self.index.signatures + signature as u32,
                table_index: 0,
            });
        }
        true
    }

    /// A value of this type.
    fn value(&mut self, ty: ValType, depth: usize) {
        if depth == 0 || self.room == 0 {
            let instruction = match self.local(ty) {
                Some(local) if self.random.u8(..4) > 0 => I::LocalGet(local),
                _ => constant(ty, self.random),
            };
            self.push(instruction);
            return;
        }
        match self.random.u8(..16) {
            0..2 => self.value(ty, 0),
            2 => {
                let instruction = self
                    .global(ty)
                    .map_or_else(|| constant(ty, self.random), I::GlobalGet);
                self.push(instruction);
            }
            3..5 => {
                let wanted = [ty];
                let signatures = &self.plan.signatures;
                let fitting: Vec<usize> = (0..signatures.len())
                    .filter(|signature| signatures[*signature].1 == wanted)
                    .collect();
                let called = !fitting.is_empty() && {
                    let signature = fitting[self.random.usize(..fitting.len())];
                    self.call_of(signature, depth)
                };
                if !called {
                    self.value(ty, 0);
                }
            }
            5 => {
                self.value(ty, depth - 1);
                self.value(ty, depth - 1);
                self.value(ValType::I32, depth - 1);
                self.push(I::Select);
            }
            6 => {
                self.value(ValType::I32, depth - 1);
                self.push(I::If(BlockType::Result(ty)));
                self.labels.push(false);
                self.value(ty, depth - 1);
                self.push(I::Else);
                self.statement(depth - 1);
                self.value(ty, depth - 1);
                self.labels.pop();
                self.push(I::End);
            }
            7 => {
                self.push(I::Block(BlockType::Result(ty)));
                self.labels.push(false);
                self.value(ty, depth - 1);
                self.value(ValType::I32, depth - 1);
                self.push(I::BrIf(0));
                self.statement(depth - 1);
                self.labels.pop();
                self.push(I::End);
            }
            8 => {
                self.value(ty, depth - 1);
                if let Some(local) = self.local(ty) {
                    self.push(I::LocalTee(local));
                }
            }
            _ => self.arithmetic(ty, depth),
        }
    }

    fn arithmetic(&mut self, ty: ValType, depth: usize) {
        let memory = harness::at(harness::RESERVED);
        // Half of the operations turn one type into another.
        let other = TYPES[self.random.usize(..5)];
        let conversion = match (other, ty) {
            (ValType::I64, ValType::I32) => Some(I::I32WrapI64),
            (ValType::F32, ValType::I32) => Some(I::I32TruncSatF32S),
            (ValType::F64, ValType::I32) => Some(I::I32TruncSatF64U),
            (ValType::V128, ValType::I32) => Some(I::I32x4ExtractLane(2)),
            (ValType::I32, ValType::I64) => Some(I::I64ExtendI32S),
            (ValType::F64, ValType::I64) => Some(I::I64TruncSatF64S),
            (ValType::V128, ValType::I64) => Some(I::I64x2ExtractLane(0)),
            (ValType::I32, ValType::F32) => Some(I::F32ConvertI32S),
            (ValType::I64, ValType::F64) => Some(I::F64ConvertI64S),
            (ValType::I32, ValType::F64) => Some(I::F64ConvertI32U),
            (ValType::I32, ValType::V128) => Some(I::I32x4Splat),
            (ValType::I64, ValType::V128) => Some(I::I64x2Splat),
            _ => None,
        };
        if let Some(conversion) = conversion {
            self.value(other, depth - 1);
            self.push(conversion);
            return;
        }
        if ty == ValType::I64 && self.random.bool() {
            self.address(depth - 1);
            self.push(I::I64Load(memory));
            return;
        }
        self.value(ty, depth - 1);
        self.value(ty, depth - 1);
        let choice = self.random.usize(..3);
        self.push(match ty {
            ValType::I32 => [I::I32Add, I::I32Mul, I::I32Xor][choice].clone(),
            ValType::I64 => [I::I64Sub, I::I64Mul, I::I64Rotl][choice].clone(),
            ValType::F32 => [I::F32Add, I::F32Sub, I::F32Mul][choice].clone(),
            ValType::F64 => [I::F64Add, I::F64Sub, I::F64Mul][choice].clone(),
            _ => [I::I32x4Add, I::V128Xor, I::I16x8Sub][choice].clone(),
        });
    }
}
