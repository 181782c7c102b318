//! The tests that stay in a fast version, and what is made of checks.
//!
//! ```text
//!   call check; state == 1? -> out     becomes     flag? -> state = 1, out
//! ```
//!
//! A check in a fast version does not call the host. Where the host has set the flag, it begins to
//! unwind by itself, as if the call had been made and the host had answered so. A call, even one that
//! is never made, would have every local that a loop uses kept out of registers.
//!
//! The flag is a byte at the start of asyncify's memory. The load is an atomic one, which no compiler
//! moves out of a loop.

use wasm_encoder::{BlockType, Encode, Instruction, MemArg, MemArgTarget};
use wasmparser::{ExternalKind, Operator, ValType};

use super::fold::Op;
use super::{Scan, UNWINDING};
use crate::model::shape;

/// A test as the pass writes it: `number, state, 1, eq, br_if, drop`. The number says which call it
/// was, and goes with the branch.
pub(super) struct Branch {
    number: i32,
    depth: u32,
}

impl Branch {
    pub(super) const LENGTH: usize = 6;

    pub(super) fn of(ops: &[Op<'_>]) -> Option<Self> {
        match ops.get(..Self::LENGTH)? {
            [number, _, _, _, branch, drop] => {
                match (&number.operator, &branch.operator, &drop.operator) {
                    (
                        Operator::I32Const { value },
                        Operator::BrIf { relative_depth },
                        Operator::Drop,
                    ) => Some(Self {
                        number: *value,
                        depth: *relative_depth,
                    }),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The same, where labels lie in other depths.
    pub(super) fn at(self, depth: impl Fn(u32) -> u32) -> Self {
        Self {
            depth: depth(self.depth),
            ..self
        }
    }

    /// The same, but on the way out zeroes what does not matter, so that it need not be kept.
    pub(super) fn encode(&self, state: u32, dead: &[u32], types: &[ValType], out: &mut Vec<u8>) {
        Instruction::GlobalGet(state).encode(out);
        Instruction::I32Const(UNWINDING).encode(out);
        Instruction::I32Eq.encode(out);
        Instruction::If(BlockType::Empty).encode(out);
        self.leave(dead, types, out);
        Instruction::End.encode(out);
    }

    /// Within an `if`.
    fn leave(&self, dead: &[u32], types: &[ValType], out: &mut Vec<u8>) {
        for local in dead {
            let zero = match types.get(*local as usize) {
                Some(ValType::I32) => Instruction::I32Const(0),
                Some(ValType::I64) => Instruction::I64Const(0),
                Some(ValType::F32) => Instruction::F32Const(0.0.into()),
                Some(ValType::F64) => Instruction::F64Const(0.0.into()),
                Some(ValType::V128) => Instruction::V128Const(0),
                // A reference is never saved.
                Some(ValType::Ref(_)) | None => continue,
            };
            zero.encode(out);
            Instruction::LocalSet(*local).encode(out);
        }
        Instruction::I32Const(self.number).encode(out);
        Instruction::Br(self.depth + 1).encode(out);
    }
}

/// The check of a module that has checks.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) import: u32,
    /// Asyncify's memory.
    memory: u32,
}

impl Check {
    pub(super) fn of(scan: &Scan) -> Option<Self> {
        let mut imports = scan.imports.iter();
        let import = imports
            .position(|import| (import.module.as_str(), import.name.as_str()) == shape::PREEMPT)?;
        let memory = scan.exports.iter().find_map(|(name, kind, index)| {
            (*kind == ExternalKind::Memory && name == shape::ASYNCIFY_MEMORY).then_some(*index)
        })?;
        Some(Self {
            // Only functions are imported.
            import: import as u32,
            memory,
        })
    }

    pub(super) fn is_called_by(&self, op: &Op<'_>) -> bool {
        matches!(op.operator, Operator::Call { function_index } if function_index == self.import)
    }

    fn load(&self, out: &mut Vec<u8>) {
        Instruction::I32Const(0).encode(out);
        Instruction::I32AtomicLoad8U(MemArg {
            offset: 0,
            align: 0,
            target: MemArgTarget::Memory(self.memory),
            ordering: None,
        })
        .encode(out);
    }

    /// In a fast version, for a call with this test behind it.
    pub(super) fn encode(
        &self,
        branch: &Branch,
        state: u32,
        dead: &[u32],
        types: &[ValType],
        out: &mut Vec<u8>,
    ) {
        self.load(out);
        Instruction::If(BlockType::Empty).encode(out);
        Instruction::I32Const(UNWINDING).encode(out);
        Instruction::GlobalSet(state).encode(out);
        branch.leave(dead, types, out);
        Instruction::End.encode(out);
    }

    /// The body of what all other versions call in place of the import: it calls the host only where
    /// that wants something, or where the frame is being restored.
    pub(super) fn restoring(&self, state: u32) -> Vec<u8> {
        let mut body = vec![0];
        Instruction::GlobalGet(state).encode(&mut body);
        self.load(&mut body);
        Instruction::I32Or.encode(&mut body);
        Instruction::If(BlockType::Empty).encode(&mut body);
        Instruction::Call(self.import).encode(&mut body);
        Instruction::End.encode(&mut body);
        Instruction::End.encode(&mut body);
        body
    }
}
