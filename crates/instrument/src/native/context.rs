//! What the writing of all functions has to know about the module.

use wasm_encoder::{Instruction as I, MemArg, MemArgTarget};

use super::code::Code;
use super::helpers::Stack;
use super::plan::Calls;
use super::versions::Versions;

/// A module while its versions are written.
pub(super) struct Context<'a> {
    pub wasm: &'a [u8],
    pub calls: Calls<'a>,
    /// The global with asyncify's state.
    pub state: u32,
    pub stack: Stack,
    pub versions: Versions,
}

impl Context<'_> {
    /// Writes the load of the flag of checks, a byte at the start of asyncify's memory. It is an
    /// atomic one, which no compiler moves out of a loop.
    pub(super) fn load_flag(&self, code: &mut Code) {
        code.push(&I::I32Const(0));
        code.push(&I::I32AtomicLoad8U(MemArg {
            offset: 0,
            align: 0,
            target: MemArgTarget::Memory(self.stack.memory),
            ordering: None,
        }));
    }
}
