//! Code while it is written, in which calls of some functions have no index yet: which helpers a
//! module needs, and which loops have versions of their own, is known only when all of its bodies
//! are written.

use wasm_encoder::{Encode, Instruction};
use wasmparser::ValType;

use super::helpers::{Helper, Helpers};
use crate::error::Error;
use crate::module::encode::encoded_type;
use crate::module::sections::MAX_LEB128;

/// The body of a function: its locals and its instructions.
#[derive(Default)]
pub(super) struct Code {
    bytes: Vec<u8>,
    /// What is called, each with the position where its index belongs.
    calls: Vec<(usize, Callee)>,
}

/// A function whose index is not known yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    Helper(Helper),
    /// A version of this same function, by its position among those that begin at loops.
    AtLoop(usize),
}

/// The first byte of the instruction `call`.
const CALL: u8 = 0x10;
/// The first byte of the instruction `return_call`.
const RETURN_CALL: u8 = 0x12;

impl Code {
    /// Starts a body with these locals.
    pub(super) fn with_locals(types: &[ValType]) -> Result<Self, Error> {
        let mut groups: Vec<(u32, ValType)> = Vec::new();
        for ty in types {
            match groups.last_mut() {
                Some((count, of)) if of == ty => *count += 1,
                _ => groups.push((1, *ty)),
            }
        }
        let mut code = Self::default();
        groups.len().encode(&mut code.bytes);
        for (count, ty) in groups {
            count.encode(&mut code.bytes);
            encoded_type(ty)?.encode(&mut code.bytes);
        }
        Ok(code)
    }

    pub(super) fn push(&mut self, instruction: &Instruction<'_>) {
        instruction.encode(&mut self.bytes);
    }

    /// Adds instructions that are encoded already.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn call_helper(&mut self, helper: Helper) {
        self.bytes.push(CALL);
        self.calls.push((self.bytes.len(), Callee::Helper(helper)));
    }

    /// Calls the version that begins at a loop.
    pub(super) fn call_at_loop(&mut self, number: usize) {
        self.bytes.push(CALL);
        self.calls.push((self.bytes.len(), Callee::AtLoop(number)));
    }

    /// Goes on to the version that begins at a loop, as a tail call.
    pub(super) fn go_on_at_loop(&mut self, number: usize) {
        self.bytes.push(RETURN_CALL);
        self.calls.push((self.bytes.len(), Callee::AtLoop(number)));
    }

    pub(super) fn helpers(&self) -> impl Iterator<Item = Helper> {
        self.calls.iter().filter_map(|(_, callee)| match callee {
            Callee::Helper(helper) => Some(*helper),
            Callee::AtLoop(_) => None,
        })
    }

    /// Gives back what has been taken to grow.
    pub(super) fn give_back_spare_room(&mut self) {
        self.bytes.shrink_to_fit();
        self.calls.shrink_to_fit();
    }

    /// How many bytes it takes at most in a module.
    pub(super) fn most_bytes(&self) -> usize {
        MAX_LEB128 * (1 + self.calls.len()) + self.bytes.len()
    }

    /// Writes the body with its length in front, as it stands in a module. `at_loops` is the index
    /// of the first of the function's versions that begin at loops.
    pub(super) fn write(&self, helpers: &Helpers, at_loops: u32, out: &mut Vec<u8>) {
        let index = |callee: &Callee| {
            let mut index = Vec::new();
            match callee {
                Callee::Helper(helper) => helpers.index(*helper),
                // There are `osr::MAX_ENTRIES` at most.
                Callee::AtLoop(number) => at_loops + *number as u32,
            }
            .encode(&mut index);
            index
        };
        let calls = self.calls.iter();
        let indices: usize = calls.map(|(_, callee)| index(callee).len()).sum();
        (self.bytes.len() + indices).encode(out);
        let mut written = 0;
        for (position, callee) in &self.calls {
            out.extend_from_slice(&self.bytes[written..*position]);
            out.extend(index(callee));
            written = *position;
        }
        out.extend_from_slice(&self.bytes[written..]);
    }
}
