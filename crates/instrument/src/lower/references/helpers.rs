//! The functions that do with numbers what instructions do with references. Each is never on the
//! stack at a suspend, so that references may pass through it.

use std::collections::BTreeMap;

use wasm_encoder::{
    BlockType, Function, FunctionSection, HeapType, Instruction as I, MemArg, MemArgTarget,
    TypeSection, ValType,
};

use super::tables::{Changed, NUMBER_SHIFT, PAGE_SHIFT, Tables};
use crate::analyze::scan::Scan;

/// A function that is added. Its parameters are the operands of the instruction in whose place it
/// is called. Tables are given by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Helper {
    /// `ref.is_null`
    IsNull,
    /// `table.get`
    Get(u32),
    /// `table.set`
    Set(u32),
    /// `table.grow`
    Grow(u32),
    /// `table.fill`
    Fill(u32),
    /// `table.copy`
    Copy { to: u32, from: u32 },
}

/// The helpers that are called somewhere.
pub(super) struct Helpers {
    /// The index of the first.
    first: u32,
    /// In the order in which they were asked for.
    called: Vec<Helper>,
    indices: BTreeMap<Helper, u32>,
}

impl Helper {
    /// How many parameters it has, and how many results; all are of type `i32`.
    fn arity(self) -> (usize, usize) {
        match self {
            Self::IsNull | Self::Get(_) => (1, 1),
            Self::Set(_) => (2, 0),
            Self::Grow(_) => (2, 1),
            Self::Fill(_) | Self::Copy { .. } => (3, 0),
        }
    }
}

impl Helpers {
    pub(super) fn new(scan: &Scan) -> Self {
        Self {
            first: scan.functions.len() as u32,
            called: Vec::new(),
            indices: BTreeMap::new(),
        }
    }

    /// The index of a helper.
    pub(super) fn index(&mut self, helper: Helper) -> u32 {
        let next = self.first + self.called.len() as u32;
        let index = *self.indices.entry(helper).or_insert(next);
        if index == next {
            self.called.push(helper);
        }
        index
    }

    /// The types of the helpers, in order.
    pub(super) fn types(&self) -> TypeSection {
        let mut section = TypeSection::new();
        for helper in &self.called {
            let (params, results) = helper.arity();
            let numbers = |count| std::iter::repeat_n(ValType::I32, count);
            section.ty().function(numbers(params), numbers(results));
        }
        section
    }

    /// The helpers by their types, of which the first has this index.
    pub(super) fn functions(&self, first_type: u32) -> FunctionSection {
        let mut section = FunctionSection::new();
        for (ty, _) in (first_type..).zip(&self.called) {
            section.function(ty);
        }
        section
    }

    pub(super) fn bodies(&self, tables: &Tables) -> Vec<Function> {
        let called = self.called.iter();
        called.map(|helper| body(*helper, tables)).collect()
    }
}

/// The parameters, in order, and the local behind them.
const FIRST: u32 = 0;
const SECOND: u32 = 1;
const THIRD: u32 = 2;
const FOURTH: u32 = 3;

fn body(helper: Helper, tables: &Tables) -> Function {
    let mut code = Code {
        tables,
        function: Function::new([(2, ValType::I32)]),
    };
    match helper {
        Helper::IsNull => code.push(&[
            I::LocalGet(FIRST),
            I::TableGet(tables.numbered),
            I::RefIsNull,
        ]),
        Helper::Get(table) => match tables.changed.get(&table) {
            Some(changed) => code.get(changed),
            None => code.get_fixed(table),
        },
        Helper::Set(table) => match tables.changed.get(&table) {
            Some(changed) => code.set(changed),
            None => code.push(&[I::LocalGet(FIRST), NO_OBJECT, I::TableSet(table)]),
        },
        Helper::Grow(table) => match tables.changed.get(&table) {
            Some(changed) => code.grow(changed),
            None => code.push(&[NO_OBJECT, I::LocalGet(SECOND), I::TableGrow(table)]),
        },
        Helper::Fill(table) => match tables.changed.get(&table) {
            Some(changed) => code.fill(changed),
            None => code.push(&[
                I::LocalGet(FIRST),
                NO_OBJECT,
                I::LocalGet(THIRD),
                I::TableFill(table),
            ]),
        },
        Helper::Copy { to, from } => code.copy(to, from),
    }
    code.push(&[I::End]);
    code.function
}

/// All references to host objects are null.
const NO_OBJECT: I<'static> = I::RefNull(HeapType::EXTERN);

/// A body while it is written.
struct Code<'a> {
    tables: &'a Tables,
    function: Function,
}

impl Code<'_> {
    fn push(&mut self, instructions: &[I<'_>]) {
        for instruction in instructions {
            self.function.instruction(instruction);
        }
    }

    /// Traps as an access out of a table's bounds does, if the operand is not zero.
    fn trap_if(&mut self) {
        self.push(&[
            I::If(BlockType::Empty),
            I::I32Const(-1),
            I::TableGet(self.tables.numbered),
            I::Drop,
            I::End,
        ]);
    }

    /// Traps if an index lies out of a table.
    fn check_index(&mut self, index: u32, table: &Changed) {
        self.push(&[I::LocalGet(index), I::GlobalGet(table.size), I::I32GeU]);
        self.trap_if();
    }

    /// Traps if some of the elements from `first` on lie out of a table.
    fn check_range(&mut self, first: u32, count: u32, table: &Changed) {
        self.sum(first, count);
        self.push(&[I::GlobalGet(table.size), I::I64ExtendI32U, I::I64GtU]);
        self.trap_if();
    }

    /// The sum of two locals, which takes more than 32 bits.
    fn sum(&mut self, first: u32, second: u32) {
        self.push(&[
            I::LocalGet(first),
            I::I64ExtendI32U,
            I::LocalGet(second),
            I::I64ExtendI32U,
            I::I64Add,
        ]);
    }

    /// The address of an element.
    fn address(&mut self, index: u32) {
        self.push(&[I::LocalGet(index), I::I32Const(NUMBER_SHIFT), I::I32Shl]);
    }

    fn get(&mut self, table: &Changed) {
        self.check_index(FIRST, table);
        self.address(FIRST);
        self.push(&[I::I32Load(in_memory(table))]);
    }

    /// Reads a table that nothing changes, or one of references to host objects.
    fn get_fixed(&mut self, table: u32) {
        self.push(&[I::LocalGet(FIRST), I::TableGet(table), I::Drop]);
        match self.tables.copies.get(&table) {
            Some(start) => self.push(&[I::LocalGet(FIRST), I::I32Const(*start as i32), I::I32Add]),
            None => self.push(&[I::I32Const(0)]),
        }
    }

    fn set(&mut self, table: &Changed) {
        self.check_index(FIRST, table);
        self.address(FIRST);
        self.push(&[I::LocalGet(SECOND), I::I32Store(in_memory(table))]);
    }

    fn grow(&mut self, table: &Changed) {
        let (number, count, old, new) = (FIRST, SECOND, THIRD, FOURTH);
        let fails = [I::If(BlockType::Empty), I::I32Const(-1), I::Return, I::End];
        self.push(&[I::GlobalGet(table.size), I::LocalSet(old)]);
        self.sum(old, count);
        self.push(&[I::I64Const(table.maximum as i64), I::I64GtU]);
        self.push(&fails);
        // The pages that are missing: a table is far smaller than a memory may be.
        self.push(&[
            I::LocalGet(old),
            I::LocalGet(count),
            I::I32Add,
            I::LocalTee(new),
            I::I32Const(NUMBER_SHIFT),
            I::I32Shl,
            I::I32Const((1 << PAGE_SHIFT) - 1),
            I::I32Add,
            I::I32Const(PAGE_SHIFT),
            I::I32ShrU,
            I::MemorySize(table.memory),
            I::I32Sub,
            I::LocalTee(new),
            I::I32Const(0),
            I::I32GtS,
            I::If(BlockType::Empty),
            I::LocalGet(new),
            I::MemoryGrow(table.memory),
            I::I32Const(-1),
            I::I32Eq,
        ]);
        self.push(&fails);
        self.push(&[
            I::End,
            I::LocalGet(old),
            I::LocalGet(count),
            I::I32Add,
            I::LocalTee(new),
            I::GlobalSet(table.size),
            // The first of the elements that are still to be written.
            I::LocalGet(old),
            I::LocalSet(count),
        ]);
        self.write(count, new, number, 0, table);
        self.push(&[I::LocalGet(old)]);
    }

    fn fill(&mut self, table: &Changed) {
        let (first, number, count, behind) = (FIRST, SECOND, THIRD, FOURTH);
        self.check_range(first, count, table);
        self.set_behind(behind, first, count);
        self.write(first, behind, number, 0, table);
    }

    /// Copies to a table of functions that becomes a memory.
    fn copy(&mut self, to: u32, from: u32) {
        let (first, source, count, behind) = (FIRST, SECOND, THIRD, FOURTH);
        let Some(table) = self.tables.changed.get(&to) else {
            // What is copied to is changed.
            return self.push(&[I::Unreachable]);
        };
        if let Some(other) = self.tables.changed.get(&from) {
            self.check_range(source, count, other);
            self.check_range(first, count, table);
            self.address(first);
            self.address(source);
            self.address(count);
            return self.push(&[I::MemoryCopy {
                src_mem: other.memory,
                dst_mem: table.memory,
            }]);
        }
        let start = self.tables.copies.get(&from).copied().unwrap_or_default();
        self.sum(source, count);
        self.push(&[I::TableSize(from), I::I64ExtendI32U, I::I64GtU]);
        self.trap_if();
        self.check_range(first, count, table);
        self.set_behind(behind, first, count);
        self.push(&[
            I::LocalGet(source),
            I::I32Const(start as i32),
            I::I32Add,
            I::LocalSet(source),
        ]);
        self.write(first, behind, source, 1, table);
    }

    /// Makes the local `behind` the index behind `count` elements from `first` on.
    fn set_behind(&mut self, behind: u32, first: u32, count: u32) {
        self.push(&[
            I::LocalGet(first),
            I::LocalGet(count),
            I::I32Add,
            I::LocalSet(behind),
        ]);
    }

    /// Writes a number to the elements from `first` to `behind`, all in locals, and adds `step` to
    /// the number each time.
    fn write(&mut self, first: u32, behind: u32, number: u32, step: i32, table: &Changed) {
        self.push(&[
            I::Block(BlockType::Empty),
            I::Loop(BlockType::Empty),
            I::LocalGet(first),
            I::LocalGet(behind),
            I::I32GeU,
            I::BrIf(1),
        ]);
        self.address(first);
        self.push(&[I::LocalGet(number), I::I32Store(in_memory(table))]);
        for (local, step) in [(first, 1), (number, step)] {
            if step > 0 {
                self.push(&[
                    I::LocalGet(local),
                    I::I32Const(step),
                    I::I32Add,
                    I::LocalSet(local),
                ]);
            }
        }
        self.push(&[I::Br(0), I::End, I::End]);
    }
}

/// An element of a table in its memory, at the address on the stack.
fn in_memory(table: &Changed) -> MemArg {
    MemArg {
        offset: 0,
        align: NUMBER_SHIFT as u32,
        target: MemArgTarget::Memory(table.memory),
        ordering: None,
    }
}
