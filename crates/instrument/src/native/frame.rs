//! What of a function's state is saved at a site, and the functions that save and restore it.
//!
//! ```text
//!   ◀── earlier frames ── | locals by type, … | number of the site | ── stack's end
//! ```
//!
//! A frame holds the locals that matter at its site and no others, so that every site has a layout
//! of its own ([`helpers`](super::helpers)).

use wasm_encoder::Instruction as I;
use wasmparser::ValType;

use super::code::Code;
use super::helpers::{Helper, TYPES, Values};
use crate::error::Error;

/// How many values one call saves or restores at most.
const MAX_VALUES: usize = 64;

/// The locals that are saved at a site.
#[derive(Clone, Default)]
pub(super) struct Frame {
    locals: Vec<u32>,
}

impl Frame {
    pub(super) fn new(locals: Vec<u32>) -> Self {
        Self { locals }
    }

    pub(super) fn add(&mut self, local: u32) {
        self.locals.push(local);
    }

    /// Brings the locals into the order in which they are saved, each once.
    pub(super) fn finish(&mut self, types: &[ValType]) -> Result<(), Error> {
        let rank = |local: &u32| TYPES.iter().position(|ty| *ty == types[*local as usize]);
        if self.locals.iter().any(|local| rank(local).is_none()) {
            return Err(Error::Internal("a reference would have to be saved"));
        }
        self.locals
            .sort_unstable_by_key(|local| (rank(local), *local));
        self.locals.dedup();
        Ok(())
    }

    /// Writes what saves the frame, with the number of its site.
    pub(super) fn save(&self, number: u32, types: &[ValType], code: &mut Code) {
        let mut parts = self.locals.chunks(MAX_VALUES).peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            for local in part {
                code.push(&I::LocalGet(*local));
            }
            let values = Values::of(part, types);
            if parts.peek().is_some() {
                code.call_helper(Helper::Save(values));
            } else {
                code.push(&I::I32Const(number as i32));
                code.call_helper(Helper::SaveLast(values));
                return;
            }
        }
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
