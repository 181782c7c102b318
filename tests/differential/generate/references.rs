//! References to functions, kept in locals and on the operand stack.

use fastrand::Rng;
use wasm_encoder::{BlockType, Instruction as I, RefType, TableSection, TableType, ValType};

use super::Plan;
use super::body::{Body, LOOPS};

/// The table through which they are called. It has one slot.
const TABLE: u32 = 2;

/// How many locals of a function hold references.
const LOCALS: u32 = 2;

impl Plan {
    /// Chooses the signature of the functions to which references are kept, if any are.
    pub(super) fn with_references(mut self, random: &mut Rng) -> Self {
        let fitting = (0..self.slots.len()).filter(|signature| !self.slots[*signature].is_empty());
        let fitting: Vec<usize> = fitting.collect();
        if random.u8(..3) == 0 && !fitting.is_empty() {
            self.held = Some(fitting[random.usize(..fitting.len())]);
        }
        self
    }

    pub(super) fn held_table(&self, table: &mut TableSection) {
        if self.held.is_some() {
            table.table(TableType {
                element_type: RefType::FUNCREF,
                minimum: 1,
                maximum: None,
                table64: false,
                shared: false,
            });
        }
    }

    /// The types of the locals that hold references.
    pub(super) fn held_locals(&self) -> impl Iterator<Item = ValType> {
        let count = self.held.map_or(0, |_| LOCALS as usize);
        std::iter::repeat_n(ValType::FUNCREF, count)
    }
}

impl Body<'_> {
    /// Keeps a reference, or calls what one refers to. Whether the program has references.
    pub(super) fn reference(&mut self, depth: usize) -> bool {
        let Some(signature) = self.plan.held else {
            return false;
        };
        let local = self.held();
        if self.random.bool() {
            self.make(signature, depth);
            self.push(I::LocalSet(local));
            return true;
        }
        self.push(I::LocalGet(local));
        self.push(I::RefIsNull);
        self.push(I::I32Eqz);
        self.push(I::If(BlockType::Empty));
        self.labels.push(true);
        self.push(I::I32Const(0));
        self.push(I::LocalGet(local));
        // While it is on the operand stack.
        self.statement(depth - 1);
        self.push(I::TableSet(TABLE));
        for ty in &self.plan.signatures[signature].0 {
            self.value(*ty, depth - 1);
        }
        self.push(I::I32Const(0));
        self.push(I::CallIndirect {
            type_index: self.index.signatures + signature as u32,
            table_index: TABLE,
        });
        self.put_away(signature);
        self.end();
        true
    }

    /// A local that holds one.
    fn held(&mut self) -> u32 {
        let behind = self.locals.len() + LOOPS + usize::from(self.plan.references);
        behind as u32 + self.random.u32(..LOCALS)
    }

    /// A reference to a function of this signature, or null.
    fn make(&mut self, signature: usize, depth: usize) {
        let plan = self.plan;
        let fitting = &plan.slots[signature];
        let function = fitting[self.random.usize(..fitting.len())];
        match self.random.u8(..8) {
            0..3 => self.push(I::RefFunc(function)),
            3..5 => {
                self.slot(signature, depth);
                self.push(I::TableGet(0));
            }
            5 => {
                let local = self.held();
                self.push(I::LocalGet(local));
            }
            6 => {
                let local = self.held();
                self.push(I::RefFunc(function));
                self.push(I::LocalGet(local));
                self.value(ValType::I32, depth - 1);
                self.push(I::TypedSelect(ValType::FUNCREF));
            }
            _ => self.push(I::RefNull(wasm_encoder::HeapType::FUNC)),
        }
    }
}
