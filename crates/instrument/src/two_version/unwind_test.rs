//! The tests behind calls that may suspend: did the call start to unwind?
//!
//! ```text
//!   call f; (put its result away); number, state, 1, eq, br_if (the saving end), drop
//! ```
//!
//! The number says which call it was, and goes with the branch. A fast version keeps these tests.
//! On the way out it sets locals to zero that do not matter, so that they need not be kept until
//! then.

use wasm_encoder::{BlockType, Encode, Instruction};
use wasmparser::{Operator, ValType};

use super::asyncified::{Op, UNWINDING};
use crate::analyze::call_graph::CallGraph;

/// The instructions of a test from the call's number to the `drop`.
pub(super) struct UnwindTest {
    /// The number of the call.
    call: i32,
    /// The label of the end that saves the frame.
    depth: u32,
}

impl UnwindTest {
    /// How many instructions it is.
    pub(super) const LENGTH: usize = 6;
    /// Which of them reads the state.
    pub(super) const READ: usize = 1;
    /// How far its branch stands behind the instruction that reads the state.
    pub(super) const BRANCH_BEHIND_READ: usize = 3;

    /// The test that these instructions begin with.
    pub(super) fn of(ops: &[Op<'_>]) -> Option<Self> {
        let [call, _, _, _, branch, drop] = ops.get(..Self::LENGTH)? else {
            return None;
        };
        match (&call.operator, &branch.operator, &drop.operator) {
            (Operator::I32Const { value }, Operator::BrIf { relative_depth }, Operator::Drop) => {
                Some(Self {
                    call: *value,
                    depth: *relative_depth,
                })
            }
            _ => None,
        }
    }

    /// The same test where labels lie in other depths.
    pub(super) fn with_depth(self, depth: impl Fn(u32) -> u32) -> Self {
        Self {
            depth: depth(self.depth),
            ..self
        }
    }

    /// Writes the test so that it sets `dead` locals to zero on the way out.
    pub(super) fn encode(&self, state: u32, dead: &[u32], types: &[ValType], out: &mut Vec<u8>) {
        Instruction::GlobalGet(state).encode(out);
        Instruction::I32Const(UNWINDING).encode(out);
        Instruction::I32Eq.encode(out);
        Instruction::If(BlockType::Empty).encode(out);
        self.leave(dead, types, out);
        Instruction::End.encode(out);
    }

    /// Writes the way out, inside an `if`.
    pub(super) fn leave(&self, dead: &[u32], types: &[ValType], out: &mut Vec<u8>) {
        for local in dead {
            let zero = match types.get(*local as usize) {
                Some(ValType::I32) => Instruction::I32Const(0),
                Some(ValType::I64) => Instruction::I64Const(0),
                Some(ValType::F32) => Instruction::F32Const(0.0.into()),
                Some(ValType::F64) => Instruction::F64Const(0.0.into()),
                Some(ValType::V128) => Instruction::V128Const(0),
                // Asyncify saves no references.
                Some(ValType::Ref(_)) | None => continue,
            };
            zero.encode(out);
            Instruction::LocalSet(*local).encode(out);
        }
        Instruction::I32Const(self.call).encode(out);
        Instruction::Br(self.depth + 1).encode(out);
    }
}

/// Whether an instruction reads asyncify's state.
pub(super) fn reads_state(op: &Op<'_>, state: u32) -> bool {
    matches!(op.operator, Operator::GlobalGet { global_index } if global_index == state)
}

/// The positions where the tests behind calls that may suspend read the state, in rising order;
/// `None` where such a call has no test that can be recognized.
pub(super) fn tests(ops: &[Op<'_>], state: u32, graph: &CallGraph) -> Option<Vec<usize>> {
    let mut tests = Vec::new();
    for (position, op) in ops.iter().enumerate() {
        let suspends = match op.operator {
            Operator::Call { function_index } => graph.may_suspend(function_index),
            Operator::CallIndirect {
                type_index,
                table_index,
            } => graph.indirect_may_suspend(type_index, table_index),
            _ => false,
        };
        if suspends {
            tests.push(position + 1 + test_behind(&ops[position + 1..], state)?);
        }
    }
    Some(tests)
}

/// How far behind a call its test reads the state. In between the call's result is put away, and
/// the call's number is given.
fn test_behind(rest: &[Op<'_>], state: u32) -> Option<usize> {
    let between = rest.iter().take_while(|op| {
        matches!(
            op.operator,
            Operator::LocalSet { .. } | Operator::Drop | Operator::I32Const { .. }
        )
    });
    let position = between.count();
    match rest.get(position..)? {
        [read, number, equal, ..]
            if reads_state(read, state)
                && matches!(number.operator, Operator::I32Const { value: UNWINDING })
                && matches!(equal.operator, Operator::I32Eq) =>
        {
            Some(position)
        }
        _ => None,
    }
}
