//! What of a function's state is saved and restored.
//!
//! ```text
//!   ◀── earlier frames ── | locals by type, … | number of the site | ── stack's end
//! ```
//!
//! A frame holds the locals that matter at any site of the function, as asyncify's do, so that one
//! piece of code saves them for all sites. A local that does not matter at a site is set to zero on
//! the way there: then it need not be kept over the call.

use wasm_encoder::Instruction as I;
use wasmparser::ValType;

use super::code::Code;
use super::helpers::{Helper, Stack, TYPES, Values, bytes};
use crate::error::Error;

/// How many values one call saves or restores at most.
const MAX_VALUES: usize = 64;

/// The locals that a function's frames hold, in their order.
#[derive(Default)]
pub(super) struct Frame {
    locals: Vec<u32>,
}

impl Frame {
    /// The frame that holds these locals, each once.
    pub(super) fn of<'a>(
        locals: impl Iterator<Item = &'a u32>,
        types: &[ValType],
    ) -> Result<Self, Error> {
        let mut is_saved = vec![false; types.len()];
        for local in locals {
            is_saved[*local as usize] = true;
        }
        let saved = (0..).zip(&is_saved).filter(|(_, is_saved)| **is_saved);
        let mut locals: Vec<u32> = saved.map(|(local, _)| local).collect();
        let rank = |local: &u32| TYPES.iter().position(|ty| *ty == types[*local as usize]);
        if locals.iter().any(|local| rank(local).is_none()) {
            return Err(Error::Internal("a reference would have to be saved"));
        }
        locals.sort_unstable_by_key(|local| (rank(local), *local));
        Ok(Self { locals })
    }

    /// The locals of the frame that are not among these, which are in rising order.
    pub(super) fn without(&self, saved: &[u32]) -> impl Iterator<Item = u32> {
        let locals = self.locals.iter().copied();
        locals.filter(|local| saved.binary_search(local).is_err())
    }

    /// Writes what saves the frame, by stores, with the local `end` for the stack's end. The number
    /// of the site is on the operand stack.
    ///
    /// A call would tie the values to its argument registers, which the engine's compiler then has
    /// to keep free of others for as long as these live.
    pub(super) fn store(&self, types: &[ValType], stack: Stack, end: u32, code: &mut Code) {
        if !self.locals.is_empty() {
            code.push(&I::GlobalGet(stack.data));
            code.push(&stack.load(ValType::I32, 0));
            code.push(&I::LocalSet(end));
        }
        let mut size = 0;
        for local in &self.locals {
            let ty = types[*local as usize];
            code.push(&I::LocalGet(end));
            code.push(&I::LocalGet(*local));
            code.push(&stack.store(ty, size));
            size += bytes(ty);
        }
        // A function has 50,000 locals at most.
        code.push(&I::I32Const(size as i32));
        code.call_helper(Helper::Finish);
    }

    /// Writes what saves the frame, by calls, which are shorter. The number of the site is on the
    /// operand stack.
    pub(super) fn save(&self, types: &[ValType], code: &mut Code) {
        for part in self.locals.chunks(MAX_VALUES) {
            for local in part {
                code.push(&I::LocalGet(*local));
            }
            code.call_helper(Helper::Save(Values::of(part, types)));
        }
        code.push(&I::I32Const(0));
        code.call_helper(Helper::Finish);
    }

    /// Writes what restores the frame's locals. The number is not there any more.
    pub(super) fn restore(&self, types: &[ValType], code: &mut Code) {
        for part in self.locals.chunks(MAX_VALUES).rev() {
            code.call_helper(Helper::Restore(Values::of(part, types)));
            for local in part.iter().rev() {
                code.push(&I::LocalSet(*local));
            }
        }
    }
}
