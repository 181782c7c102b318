//! One function: its statements, with branches, loops and calls.

use std::borrow::Cow;

use fastrand::Rng;
use wasm_encoder::{
    AbstractHeapType, BlockType, Function, HeapType, Instruction as I, RefType, ValType,
};

use super::{BUDGET, EXIT, LOG, Plan, SLOTS, TYPES, TypeIndex, constant};
use crate::harness;

/// One function while it is made.
pub(super) struct Body<'a> {
    pub(super) plan: &'a Plan,
    pub(super) index: TypeIndex,
    /// Whether it must never suspend.
    pub(super) quiet: bool,
    pub(super) random: &'a mut Rng,
    /// Parameters, then other locals; counters of loops come behind.
    pub(super) locals: Vec<ValType>,
    pub(super) params: usize,
    pub(super) results: Vec<ValType>,
    pub(super) code: Vec<I<'static>>,
    /// Open blocks, by whether a branch may go there without a value.
    pub(super) labels: Vec<bool>,
    /// Of open loops, their places among the labels, and the locals that count how often they go on.
    pub(super) heads: Vec<(usize, u32)>,
    /// How much may still be made.
    pub(super) room: usize,
}

/// Loops within loops at most.
pub(super) const LOOPS: usize = 3;
/// A reference to an exception.
pub(super) const EXCEPTION: ValType = ValType::Ref(RefType {
    nullable: true,
    heap_type: HeapType::Abstract {
        shared: false,
        ty: AbstractHeapType::Exn,
    },
});

impl<'a> Body<'a> {
    pub(super) fn new(
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

    pub(super) fn function(mut self) -> Function {
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
            .chain(&kept)
            .copied()
            .chain(self.plan.held_locals())
            .chain(self.plan.object_locals(self.index.objects));
        let mut function = Function::new_with_locals_types(declared);
        for instruction in &self.code {
            function.instruction(instruction);
        }
        function.instruction(&I::End);
        function
    }

    pub(super) fn push(&mut self, instruction: I<'static>) {
        self.code.push(instruction);
        self.room = self.room.saturating_sub(1);
    }

    /// Returns constants.
    pub(super) fn leave(&mut self) {
        for ty in self.results.clone() {
            let constant = constant(ty, self.random);
            self.push(constant);
        }
        self.push(I::Return);
    }

    pub(super) fn local(&mut self, ty: ValType) -> Option<u32> {
        let fitting: Vec<usize> = (0..self.locals.len())
            .filter(|local| self.locals[*local] == ty)
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.random.usize(..fitting.len())] as u32)
    }

    pub(super) fn global(&mut self, ty: ValType) -> Option<u32> {
        let globals = &self.plan.globals;
        let fitting: Vec<usize> = (1..globals.len()).filter(|g| globals[*g] == ty).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.usize(..fitting.len())] as u32)
    }

    pub(super) fn address(&mut self, depth: usize) {
        self.value(ValType::I32, depth);
        self.push(I::I32Const(0x7ff0));
        self.push(I::I32And);
    }

    pub(super) fn statements(&mut self, depth: usize) {
        for _ in 0..self.random.usize(1..=3) {
            self.statement(depth);
        }
    }

    pub(super) fn statement(&mut self, depth: usize) {
        let memory = harness::at(harness::RESERVED);
        if depth == 0 || self.room == 0 {
            self.pause();
            return;
        }
        match self.random.u8(..42) {
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
    pub(super) fn go_on(&mut self) {
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

    pub(super) fn branch(&mut self, depth: usize) {
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

    pub(super) fn switch(&mut self, depth: usize) {
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

    pub(super) fn change_table(&mut self, depth: usize) {
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
    pub(super) fn slot(&mut self, signature: usize, depth: usize) {
        self.value(ValType::I32, depth - 1);
        self.push(I::I32Const(SLOTS as i32 - 1));
        self.push(I::I32And);
        self.push(I::I32Const((signature as u32 * SLOTS) as i32));
        self.push(I::I32Add);
    }

    /// Calls any function and puts its results away.
    pub(super) fn call(&mut self, depth: usize) {
        let signature = self.random.usize(..self.plan.signatures.len());
        if self.call_of(signature, depth) {
            for ty in self.plan.signatures[signature].1.iter().rev() {
                let instruction = self.local(*ty).map_or(I::Drop, I::LocalSet);
                self.push(instruction);
            }
        }
    }

    /// Calls a function of this signature, if there is one.
    pub(super) fn call_of(&mut self, signature: usize, depth: usize) -> bool {
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
}
