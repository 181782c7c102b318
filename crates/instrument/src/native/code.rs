//! Code while it is written, in which the calls of helpers have no index yet: which helpers a
//! module needs is known only when all of its bodies are written.

use wasm_encoder::{Encode, Instruction};
use wasmparser::ValType;

use super::helpers::{Helper, Helpers};
use crate::error::Error;
use crate::module::encode::encoded_type;

/// The body of a function: its locals and its instructions.
#[derive(Default)]
pub(super) struct Code {
    bytes: Vec<u8>,
    /// The helpers that are called, each with the place where its index belongs.
    calls: Vec<(usize, Helper)>,
}

/// The first byte of the instruction `call`.
const CALL: u8 = 0x10;

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
        self.calls.push((self.bytes.len(), helper));
    }

    pub(super) fn helpers(&self) -> impl Iterator<Item = Helper> {
        self.calls.iter().map(|(_, helper)| *helper)
    }

    /// Writes the body with its length in front, as it stands in a module.
    pub(super) fn write(&self, helpers: &Helpers, out: &mut Vec<u8>) {
        let index = |helper: &Helper| {
            let mut index = Vec::new();
            helpers.index(*helper).encode(&mut index);
            index
        };
        let calls = self.calls.iter();
        let indices: usize = calls.map(|(_, helper)| index(helper).len()).sum();
        (self.bytes.len() + indices).encode(out);
        let mut written = 0;
        for (place, helper) in &self.calls {
            out.extend_from_slice(&self.bytes[written..*place]);
            out.extend(index(helper));
            written = *place;
        }
        out.extend_from_slice(&self.bytes[written..]);
    }
}
