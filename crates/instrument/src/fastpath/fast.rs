//! Writes what a body of asyncify's does while no frame is restored.

use std::collections::HashMap;
use std::ops::Range;

use wasm_encoder::{Encode, Instruction};
use wasmparser::{Operator, ValType};

use super::branch::{Branch, Check};
use super::fold::{self, Op};
use super::liveness;
use super::{CallGraph, Defined, Error, UNWINDING};

/// Zeroes for each instruction at most: with many locals and many calls they would be most of the code. What compilers
/// write has less than one.
const ZEROS: usize = 4;

/// A body that can be written so.
pub(super) struct Fast<'a> {
    wasm: &'a [u8],
    pub ops: Vec<Op<'a>>,
    /// The types of its parameters and other locals.
    pub types: Vec<ValType>,
    /// Where the tests behind calls that may suspend read the state.
    pub tests: Vec<usize>,
    /// By the place of a test's branch, what is saved there and does not matter.
    dead: HashMap<usize, Vec<u32>>,
    pub state: u32,
    check: Option<Check>,
    range: Range<usize>,
}

impl<'a> Fast<'a> {
    /// `None` where a call has no test that can be recognised.
    pub fn of(
        wasm: &'a [u8],
        defined: &Defined<'a>,
        state: u32,
        graph: &CallGraph,
        check: Option<Check>,
    ) -> Result<Option<Self>, Error> {
        let (ops, types) = defined.decode().map_err(Error::malformed)?;
        let Some(tests) = tests(&ops, state, graph) else {
            return Ok(None);
        };
        let is_test = |place: usize| tests.binary_search(&place).is_ok();
        let checks = ops.iter().enumerate();
        let mut checks = checks.filter(|(_, op)| check.is_some_and(|check| check.is_called_by(op)));
        // A check is replaced together with its test.
        if !checks.all(|(place, _)| Branch::of(&ops[place + 1..]).is_some() && is_test(place + 2)) {
            return Ok(None);
        }
        let folded = fold::fold(&ops, state, &tests);
        let mut dead = liveness::dead(&ops, &folded).unwrap_or_default();
        let zeros: usize = dead.values().map(Vec::len).sum();
        if zeros > ops.len() * ZEROS {
            dead.clear();
        }
        Ok(Some(Self {
            wasm,
            ops,
            types,
            tests,
            dead,
            state,
            check,
            range: defined.range(),
        }))
    }

    /// The declarations of its locals.
    pub fn locals(&self) -> &[u8] {
        let start = self.ops.first().map_or(self.range.end, |op| op.start);
        &self.wasm[self.range.start..start]
    }

    /// How many bytes its instructions take from a place on.
    pub fn length(&self, from: usize) -> usize {
        self.range.end - self.ops[from].start
    }

    /// Writes the instruction at a place, and those that belong to it; gives the next place. `depth` says how deep a
    /// label lies in what is written.
    pub fn write(&self, place: usize, depth: impl Fn(u32) -> u32, out: &mut Vec<u8>) -> usize {
        let op = &self.ops[place];
        if let Some(check) = self.check.filter(|check| check.is_called_by(op))
            && let Some(branch) = Branch::of(&self.ops[place + 1..])
        {
            let branch = branch.at(depth);
            check.encode(&branch, self.state, self.dead(place + 2), &self.types, out);
            return place + 1 + Branch::LENGTH;
        }
        if self.is_test(place + 1)
            && let Some(branch) = Branch::of(&self.ops[place..])
            && !self.dead(place + 1).is_empty()
        {
            let branch = branch.at(depth);
            branch.encode(self.state, self.dead(place + 1), &self.types, out);
            return place + Branch::LENGTH;
        }
        match &op.operator {
            Operator::GlobalGet { global_index }
                if *global_index == self.state && !self.is_test(place) =>
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
        place + 1
    }

    /// Writes all instructions.
    pub fn write_all(&self, out: &mut Vec<u8>) {
        let mut place = 0;
        while place < self.ops.len() {
            place = self.write(place, |depth| depth, out);
        }
    }

    fn is_test(&self, place: usize) -> bool {
        self.tests.binary_search(&place).is_ok()
    }

    /// What does not matter where a test leaves; `read` is the place where it reads the state.
    fn dead(&self, read: usize) -> &[u32] {
        self.dead.get(&(read + 3)).map_or(&[], Vec::as_slice)
    }
}

fn reads_state(op: &Op<'_>, state: u32) -> bool {
    matches!(op.operator, Operator::GlobalGet { global_index } if global_index == state)
}

/// Where the tests behind calls that may suspend read the state; `None` where such a call has none
/// that can be recognised.
fn tests(ops: &[Op<'_>], state: u32, graph: &CallGraph) -> Option<Vec<usize>> {
    let mut tests = Vec::new();
    for (place, op) in ops.iter().enumerate() {
        let suspends = match op.operator {
            Operator::Call { function_index } => graph.may_suspend(function_index),
            Operator::CallIndirect {
                type_index,
                table_index,
            } => graph.indirect_may_suspend(type_index, table_index),
            _ => false,
        };
        if suspends {
            tests.push(place + 1 + test_behind(&ops[place + 1..], state)?);
        }
    }
    Some(tests)
}

/// How far behind a call its test is, with nothing but the call's result put away in between.
fn test_behind(rest: &[Op<'_>], state: u32) -> Option<usize> {
    let put_away = rest.iter().take_while(|op| {
        matches!(
            op.operator,
            Operator::LocalSet { .. } | Operator::Drop | Operator::I32Const { .. }
        )
    });
    let place = put_away.count();
    match rest.get(place..)? {
        [read, number, equal, ..]
            if reads_state(read, state)
                && matches!(number.operator, Operator::I32Const { value: UNWINDING })
                && matches!(equal.operator, Operator::I32Eq) =>
        {
            Some(place)
        }
        _ => None,
    }
}
