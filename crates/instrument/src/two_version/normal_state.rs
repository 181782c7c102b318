//! What a body of asyncify's does in the normal state: which branches it takes, and which locals it
//! reads only in other states.
//!
//! One pass over the body, with a stack of what is known of each operand. Asyncify guards code by
//! `state == 0 || …`. Binaryen turns a guarded `x = e` into `x = select(x, e, state)`, which reads
//! no `x` in the normal state.

use std::ops::Range;

use wasmparser::Operator;

use super::asyncified::Op;
use super::unwind_test::{UnwindTest, reads_state};

/// What is known of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Nothing.
    Unknown,
    /// An `if` or `br_if` whose condition always holds.
    Always,
    /// An `if` or `br_if` whose condition never holds.
    Never,
    /// The branch of a test behind a call that may suspend.
    UnwindingTest,
    /// A `local.get` whose value is not used.
    Discarded,
}

/// What is known of the value of an operand of type `i32`.
#[derive(Clone, Copy)]
enum Known {
    Nothing,
    Exactly(i32),
    NotZero,
}

impl Known {
    /// Whether a condition with this value holds.
    fn holds(self) -> Option<bool> {
        match self {
            Self::Nothing => None,
            Self::Exactly(value) => Some(value != 0),
            Self::NotZero => Some(true),
        }
    }

    /// What is known of the operand's `i32.eqz`.
    fn negated(self) -> Self {
        let holds = self.holds();
        holds.map_or(Self::Nothing, |holds| Self::Exactly(i32::from(!holds)))
    }
}

/// An operand on the stack.
#[derive(Clone, Copy)]
struct Operand {
    known: Known,
    /// The position of the first of the instructions that make it.
    first: usize,
}

/// What is known of a body's instructions, by their positions.
pub(super) struct NormalState {
    /// What is known of each instruction.
    pub facts: Vec<Fact>,
    /// For every call the first of the instructions whose values are needed when the call is made
    /// again: those of the operands that lie below the arguments, and of an indirect call those
    /// that say which function it means. The call itself where there are none.
    pub needed_again: Vec<usize>,
    /// For every `if` and `br_if` the first of the instructions that make its condition.
    pub conditions: Vec<usize>,
}

impl NormalState {
    /// Follows a body. `tests` has the positions at which tests behind calls read the state, in
    /// rising order; every other read gives the normal state.
    pub(super) fn of(ops: &[Op<'_>], state: u32, tests: &[usize]) -> Self {
        let mut pass = Pass {
            ops,
            state,
            tests,
            stack: Stack::default(),
            known: Self {
                facts: vec![Fact::Unknown; ops.len()],
                needed_again: (0..ops.len()).collect(),
                conditions: (0..ops.len()).collect(),
            },
        };
        for (position, op) in ops.iter().enumerate() {
            pass.step(position, op);
        }
        pass.known
    }
}

/// The pass over a body.
struct Pass<'a> {
    ops: &'a [Op<'a>],
    state: u32,
    tests: &'a [usize],
    stack: Stack,
    known: NormalState,
}

impl Pass<'_> {
    fn step(&mut self, position: usize, op: &Op<'_>) {
        let (takes, gives) = (op.arity.0 as usize, op.arity.1 as usize);
        match op.operator {
            Operator::GlobalGet { .. } if reads_state(op, self.state) => {
                let known = match self.tests.binary_search(&position) {
                    Ok(_) => Known::Nothing,
                    Err(_) => Known::Exactly(0),
                };
                self.stack.push(known, position);
            }
            Operator::I32Const { value } => self.stack.push(Known::Exactly(value), position),
            Operator::I32Eqz => {
                let a = self.stack.pop(position);
                self.stack.push(a.known.negated(), a.first);
            }
            Operator::I32Eq | Operator::I32Ne | Operator::I32Or | Operator::I32And => {
                let (b, a) = (self.stack.pop(position), self.stack.pop(position));
                let known = binary(&op.operator, a.known, b.known);
                self.stack.push(known, a.first);
            }
            Operator::Select => self.select(position),
            Operator::If { .. } => {
                self.condition(position);
                self.stack.open(takes - 1, position);
            }
            Operator::BrIf { .. } => self.condition(position),
            Operator::Block { .. } | Operator::Loop { .. } => self.stack.open(takes, position),
            Operator::Else => self.stack.reopen(gives, position),
            Operator::End => self.stack.close(gives),
            Operator::LocalTee { .. } => {}
            Operator::Br { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable => self.stack.leave(),
            _ => self.other(position, op),
        }
    }

    /// The condition of an `if` or a `br_if`.
    fn condition(&mut self, position: usize) {
        let condition = self.stack.pop(position);
        self.known.conditions[position] = condition.first;
        let read = position.checked_sub(UnwindTest::BRANCH_BEHIND_READ);
        let is_test = read.is_some_and(|read| self.tests.binary_search(&read).is_ok());
        self.known.facts[position] = match condition.known.holds() {
            _ if is_test => Fact::UnwindingTest,
            Some(true) => Fact::Always,
            Some(false) => Fact::Never,
            None => Fact::Unknown,
        };
    }

    fn select(&mut self, position: usize) {
        let condition = self.stack.pop(position);
        let (b, a) = (self.stack.pop(position), self.stack.pop(position));
        let known = match condition.known.holds() {
            Some(true) => {
                self.discard(b.first..condition.first);
                a.known
            }
            Some(false) => {
                self.discard(a.first..b.first);
                b.known
            }
            None => Known::Nothing,
        };
        self.stack.push(known, a.first);
    }

    /// Notes that an operand is not used, where a single instruction reads it from a local.
    fn discard(&mut self, made_by: Range<usize>) {
        let is_read = matches!(self.ops[made_by.start].operator, Operator::LocalGet { .. });
        if made_by.len() == 1 && is_read {
            self.known.facts[made_by.start] = Fact::Discarded;
        }
    }

    /// An instruction of whose results nothing is known. It may be a call.
    fn other(&mut self, position: usize, op: &Op<'_>) {
        let needed_again = &mut self.known.needed_again[position];
        let mut first = position;
        for number in 0..op.arity.0 {
            first = self.stack.pop(position).first;
            if number == 0 && matches!(op.operator, Operator::CallIndirect { .. }) {
                *needed_again = first;
            }
        }
        if let Some(lowest) = self.stack.lowest() {
            *needed_again = lowest.min(*needed_again);
        }
        for _ in 0..op.arity.1 {
            self.stack.push(Known::Nothing, first);
        }
    }
}

/// What is known of the result of an instruction with two operands.
fn binary(operator: &Operator<'_>, a: Known, b: Known) -> Known {
    match (operator, a, b) {
        (Operator::I32Eq, Known::Exactly(a), Known::Exactly(b)) => {
            Known::Exactly(i32::from(a == b))
        }
        (Operator::I32Ne, Known::Exactly(a), Known::Exactly(b)) => {
            Known::Exactly(i32::from(a != b))
        }
        (Operator::I32Or, Known::Exactly(a), Known::Exactly(b)) => Known::Exactly(a | b),
        (Operator::I32And, Known::Exactly(a), Known::Exactly(b)) => Known::Exactly(a & b),
        (Operator::I32And, Known::Exactly(0), _) | (Operator::I32And, _, Known::Exactly(0)) => {
            Known::Exactly(0)
        }
        (Operator::I32Or, a, b) if a.holds() == Some(true) || b.holds() == Some(true) => {
            Known::NotZero
        }
        (Operator::I32Or, Known::Exactly(0), known)
        | (Operator::I32Or, known, Known::Exactly(0)) => known,
        _ => Known::Nothing,
    }
}

/// The operand stack, in frames of blocks.
#[derive(Default)]
struct Stack {
    operands: Vec<Operand>,
    /// For each open block the height of the stack below it, and the position where it starts.
    frames: Vec<(usize, usize)>,
}

impl Stack {
    /// The height of the stack below the innermost block.
    fn floor(&self) -> usize {
        self.frames.last().map_or(0, |(height, _)| *height)
    }

    fn push(&mut self, known: Known, first: usize) {
        self.operands.push(Operand { known, first });
    }

    /// Behind a branch that is always taken, the stack has as many operands as are asked for.
    fn pop(&mut self, position: usize) -> Operand {
        let nothing = Operand {
            known: Known::Nothing,
            first: position,
        };
        match self.operands.len() > self.floor() {
            true => self.operands.pop().unwrap_or(nothing),
            false => nothing,
        }
    }

    /// The position of the first of the instructions that have made what is on the stack.
    fn lowest(&self) -> Option<usize> {
        self.operands.iter().map(|operand| operand.first).min()
    }

    /// Opens a block.
    fn open(&mut self, params: usize, position: usize) {
        for _ in 0..params {
            self.pop(position);
        }
        self.frames.push((self.operands.len(), position));
        for _ in 0..params {
            self.push(Known::Nothing, position);
        }
    }

    /// Goes from an `if`'s first branch to its second.
    fn reopen(&mut self, params: usize, position: usize) {
        self.leave();
        for _ in 0..params {
            self.push(Known::Nothing, position);
        }
    }

    /// Closes a block.
    fn close(&mut self, results: usize) {
        self.leave();
        // The last `end` is that of the body, which no instruction has opened.
        let (_, start) = self.frames.pop().unwrap_or_default();
        for _ in 0..results {
            self.push(Known::Nothing, start);
        }
    }

    /// Drops all operands of the innermost block.
    fn leave(&mut self) {
        self.operands.truncate(self.floor());
    }
}
