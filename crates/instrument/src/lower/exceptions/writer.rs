//! The code of a body while it is written: its labels, and what it does with the exception on its
//! way.

use wasm_encoder::{BlockType, Function, Instruction as I};

use super::globals::Globals;
use crate::error::Error;

/// How far the tag stands above the value in an exception that is packed into a number, in bits.
const TAG_SHIFT: i64 = 32;

/// Writes a body. Labels are counted from the outside, so that they stay the same while blocks are
/// opened and closed.
pub(super) struct Writer<'a> {
    globals: &'a Globals,
    /// What is written so far.
    pub code: Function,
    /// How many blocks are open; the body itself is one.
    open: u32,
    /// A local of type `i64` for a packed exception.
    pub scratch: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(globals: &'a Globals) -> Self {
        Self {
            globals,
            code: Function::new([]),
            open: 1,
            scratch: 0,
        }
    }

    /// Writes an instruction that opens and closes no block.
    pub(super) fn push(&mut self, instruction: I<'_>) {
        self.code.instruction(&instruction);
    }

    /// Opens a block, and gives its label.
    pub(super) fn block(&mut self, instruction: I<'_>) -> u32 {
        self.push(instruction);
        self.open += 1;
        self.open - 1
    }

    /// Closes the innermost block.
    pub(super) fn end(&mut self) {
        self.push(I::End);
        self.open -= 1;
    }

    /// How far away a label is, in blocks.
    pub(super) fn depth(&self, label: u32) -> u32 {
        self.open - 1 - label
    }

    /// Branches to a label.
    pub(super) fn branch(&mut self, label: u32) {
        let depth = self.depth(label);
        self.push(I::Br(depth));
    }

    /// Branches to the landing pad, if an exception is on its way.
    pub(super) fn leave_if_pending(&mut self, pad: u32) {
        let depth = self.depth(pad);
        self.push(I::GlobalGet(self.globals.pending));
        self.push(I::BrIf(depth));
    }

    /// Notes that no exception is on its way any more.
    pub(super) fn clear(&mut self) {
        self.push(I::I32Const(0));
        self.push(I::GlobalSet(self.globals.pending));
    }

    /// Notes an exception with this tag, whose values are on the stack.
    pub(super) fn set_pending(&mut self, tag: u32) {
        for global in self.globals.payload(tag).iter().rev() {
            self.push(I::GlobalSet(*global));
        }
        self.push(I::I32Const(Globals::number(tag)));
        self.push(I::GlobalSet(self.globals.pending));
    }

    /// Opens the code that runs if the exception on its way has this tag.
    pub(super) fn if_pending(&mut self, tag: u32) {
        self.push(I::GlobalGet(self.globals.pending));
        self.push(I::I32Const(Globals::number(tag)));
        self.push(I::I32Eq);
        self.block(I::If(BlockType::Empty));
    }

    /// Puts the values that the tag carries on the stack.
    pub(super) fn payload(&mut self, tag: u32) {
        for global in self.globals.payload(tag) {
            self.push(I::GlobalGet(*global));
        }
    }

    /// Puts the exception on its way on the stack as a number: the tag above, the value below.
    pub(super) fn pack(&mut self) -> Result<(), Error> {
        let carried = self.globals.packed()?;
        self.push(I::GlobalGet(self.globals.pending));
        self.push(I::I64ExtendI32U);
        self.push(I::I64Const(TAG_SHIFT));
        self.push(I::I64Shl);
        if let Some(carried) = carried {
            self.push(I::GlobalGet(carried));
            self.push(I::I64ExtendI32U);
            self.push(I::I64Or);
        }
        Ok(())
    }

    /// Notes the packed exception in the scratch local as the one on its way.
    pub(super) fn unpack(&mut self) -> Result<(), Error> {
        let scratch = self.scratch;
        if let Some(carried) = self.globals.packed()? {
            self.push(I::LocalGet(scratch));
            self.push(I::I32WrapI64);
            self.push(I::GlobalSet(carried));
        }
        self.push(I::LocalGet(scratch));
        self.push(I::I64Const(TAG_SHIFT));
        self.push(I::I64ShrU);
        self.push(I::I32WrapI64);
        self.push(I::GlobalSet(self.globals.pending));
        Ok(())
    }
}
