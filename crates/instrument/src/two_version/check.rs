//! What becomes of checks (`preempt`).
//!
//! ```text
//!   call check; state == 1? -> out     becomes     flag? -> state = 1, out
//! ```
//!
//! A check in a fast version does not call the host. Where the host has set the flag, the guest
//! starts to unwind by itself, as if it had made the call and the host had answered so. A call,
//! even one that is never made, would keep every local that a loop uses out of registers.
//!
//! The flag is a byte at the start of asyncify's memory. The load is an atomic one, which no
//! compiler moves out of a loop.

use dormouse_model::shape;
use wasm_encoder::{BlockType, Encode, Instruction, MemArg, MemArgTarget};
use wasmparser::{ExternalKind, Operator, ValType};

use super::asyncified::{Op, UNWINDING};
use super::unwind_test::UnwindTest;
use crate::analyze::scan::Scan;

/// The check of a module that has checks.
#[derive(Clone, Copy)]
pub(super) struct Check {
    /// The function that is imported for it.
    pub import: u32,
    /// Asyncify's memory.
    memory: u32,
}

impl Check {
    pub(super) fn of(scan: &Scan) -> Option<Self> {
        let mut imports = scan.imports.iter();
        let import = imports
            .position(|import| (import.module.as_str(), import.name.as_str()) == shape::PREEMPT)?;
        Some(Self {
            // Only functions are imported.
            import: import as u32,
            memory: scan.exported(shape::ASYNCIFY_MEMORY, ExternalKind::Memory)?,
        })
    }

    /// Whether an instruction is a check.
    pub(super) fn is_called_by(&self, op: &Op<'_>) -> bool {
        matches!(op.operator, Operator::Call { function_index } if function_index == self.import)
    }

    fn load_flag(&self, out: &mut Vec<u8>) {
        Instruction::I32Const(0).encode(out);
        Instruction::I32AtomicLoad8U(MemArg {
            offset: 0,
            align: 0,
            target: MemArgTarget::Memory(self.memory),
            ordering: None,
        })
        .encode(out);
    }

    /// Writes the check of a fast version, in place of the call and its test.
    pub(super) fn encode(
        &self,
        test: &UnwindTest,
        state: u32,
        dead: &[u32],
        types: &[ValType],
        out: &mut Vec<u8>,
    ) {
        self.load_flag(out);
        Instruction::If(BlockType::Empty).encode(out);
        Instruction::I32Const(UNWINDING).encode(out);
        Instruction::GlobalSet(state).encode(out);
        test.leave(dead, types, out);
        Instruction::End.encode(out);
    }

    /// The body of the function that all other versions call in place of the import. It calls the
    /// host only where the flag is set, or where the frame is being restored.
    pub(super) fn restoring_body(&self, state: u32) -> Vec<u8> {
        let mut body = vec![0];
        Instruction::GlobalGet(state).encode(&mut body);
        self.load_flag(&mut body);
        Instruction::I32Or.encode(&mut body);
        Instruction::If(BlockType::Empty).encode(&mut body);
        Instruction::Call(self.import).encode(&mut body);
        Instruction::End.encode(&mut body);
        Instruction::End.encode(&mut body);
        body
    }
}
