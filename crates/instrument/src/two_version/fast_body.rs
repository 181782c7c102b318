//! The body of a fast version: what asyncify's body does while no frame is restored.

use std::collections::HashMap;
use std::ops::Range;

use wasm_encoder::{Encode, Instruction};
use wasmparser::{Operator, ValType};

use super::asyncified::{Body, Op};
use super::check::Check;
use super::liveness;
use super::normal_state::NormalState;
use super::unwind_test::{UnwindTest, reads_state, tests};
use crate::analyze::call_graph::CallGraph;
use crate::error::Error;

/// How many locals all ways out of a body together may set to zero, for each of its instructions.
/// With many locals and many calls these instructions would be most of the code. What compilers
/// write has less than one.
const MAX_ZEROS_PER_INSTRUCTION: usize = 4;

/// A body of asyncify's of which a fast version can be written.
pub(super) struct FastBody<'a> {
    wasm: &'a [u8],
    pub ops: Vec<Op<'a>>,
    /// The types of its parameters and other locals.
    pub types: Vec<ValType>,
    /// The positions where the tests behind calls that may suspend read the state, in rising order.
    pub tests: Vec<usize>,
    /// What is known of its instructions in the normal state.
    pub known: NormalState,
    /// The locals that are saved and do not matter, by the position of a test's branch.
    dead: HashMap<usize, Vec<u32>>,
    /// The global with asyncify's state.
    pub state: u32,
    check: Option<Check>,
    /// Where the body stands in the module.
    range: Range<usize>,
}

impl<'a> FastBody<'a> {
    /// `None` where a call that may suspend has no test that can be recognized.
    pub(super) fn of(
        wasm: &'a [u8],
        body: &Body<'a>,
        state: u32,
        graph: &CallGraph,
        check: Option<Check>,
    ) -> Result<Option<Self>, Error> {
        let (ops, types) = body.decode().map_err(Error::malformed)?;
        let Some(tests) = tests(&ops, state, graph) else {
            return Ok(None);
        };
        let is_test = |position: usize| tests.binary_search(&position).is_ok();
        let checks = ops.iter().enumerate();
        let mut checks = checks.filter(|(_, op)| check.is_some_and(|check| check.is_called_by(op)));
        // A check is replaced together with its test.
        if !checks.all(|(position, _)| {
            let test = position + 1;
            UnwindTest::of(&ops[test..]).is_some() && is_test(test + UnwindTest::READ)
        }) {
            return Ok(None);
        }
        let known = NormalState::of(&ops, state, &tests);
        let mut dead = liveness::dead(&ops, &known).unwrap_or_default();
        let zeros: usize = dead.values().map(Vec::len).sum();
        if zeros > ops.len() * MAX_ZEROS_PER_INSTRUCTION {
            dead.clear();
        }
        Ok(Some(Self {
            wasm,
            ops,
            types,
            tests,
            known,
            dead,
            state,
            check,
            range: body.range(),
        }))
    }

    /// The declarations of its locals, encoded.
    pub(super) fn locals(&self) -> &[u8] {
        let start = self.ops.first().map_or(self.range.end, |op| op.start);
        &self.wasm[self.range.start..start]
    }

    /// The size of its instructions from a position on, in bytes.
    pub(super) fn size_from(&self, position: usize) -> usize {
        self.range.end - self.ops[position].start
    }

    /// Writes the instruction at a position, or the whole test that begins there; gives the place
    /// behind it.
    /// `depth` says in what depth a label lies in what is written.
    pub(super) fn write(
        &self,
        position: usize,
        depth: impl Fn(u32) -> u32,
        out: &mut Vec<u8>,
    ) -> usize {
        let op = &self.ops[position];
        if let Some(check) = self.check.filter(|check| check.is_called_by(op))
            && let Some(test) = UnwindTest::of(&self.ops[position + 1..])
        {
            let dead = self.dead_at(position + 1);
            let test = test.with_depth(depth);
            check.encode(&test, self.state, dead, &self.types, out);
            return position + 1 + UnwindTest::LENGTH;
        }
        if self.is_read_of_test(position + UnwindTest::READ)
            && let Some(test) = UnwindTest::of(&self.ops[position..])
            && !self.dead_at(position).is_empty()
        {
            let test = test.with_depth(depth);
            test.encode(self.state, self.dead_at(position), &self.types, out);
            return position + UnwindTest::LENGTH;
        }
        match &op.operator {
            Operator::GlobalGet { .. }
                if reads_state(op, self.state) && !self.is_read_of_test(position) =>
            {
                Instruction::I32Const(0).encode(out);
            }
            Operator::Br { relative_depth } => Instruction::Br(depth(*relative_depth)).encode(out),
            Operator::BrIf { relative_depth } => {
                Instruction::BrIf(depth(*relative_depth)).encode(out);
            }
            Operator::BrTable { targets } => {
                let others: wasmparser::Result<Vec<u32>> = targets.targets().collect();
                // It has been validated.
                let others = others.unwrap_or_default().into_iter().map(&depth);
                let others = others.collect::<Vec<_>>().into();
                Instruction::BrTable(others, depth(targets.default())).encode(out);
            }
            _ => out.extend_from_slice(&self.wasm[op.start..op.end]),
        }
        position + 1
    }

    /// Whether the instruction at a position reads the state for a test behind a call.
    fn is_read_of_test(&self, position: usize) -> bool {
        self.tests.binary_search(&position).is_ok()
    }

    /// The locals that do not matter where the test at a position branches.
    fn dead_at(&self, test: usize) -> &[u32] {
        let branch = test + UnwindTest::READ + UnwindTest::BRANCH_BEHIND_READ;
        self.dead.get(&branch).map_or(&[], Vec::as_slice)
    }
}
