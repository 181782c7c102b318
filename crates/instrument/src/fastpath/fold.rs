//! What a body of asyncify's does in the normal state: which branches it takes, and which locals
//! it only seems to read.
//!
//! One pass over the body with a stack of what is known of each operand. Asyncify guards code by
//! `state == 0 || …`, and Binaryen turns a guarded `x = e` into `x = select(x, e, state)`, which
//! in the normal state reads no `x`.

use wasmparser::Operator;

/// One instruction of a body.
pub(super) struct Op<'a> {
    pub operator: Operator<'a>,
    /// Where it starts and ends in the module.
    pub start: usize,
    pub end: usize,
    /// How many operands it takes and gives.
    pub arity: (u32, u32),
    /// Control may come here, and there are no operands in the function but an `if`'s condition.
    pub alone: bool,
}

/// Whether an instruction moves control in a way that is not followed here: none of these is left in what Binaryen has
/// rewritten.
pub(super) fn is_foreign(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. }
            | Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Rethrow { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
    )
}

/// What is known of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Nothing,
    /// An `if` or `br_if` whose condition always holds.
    Always,
    /// An `if` or `br_if` whose condition never holds.
    Never,
    /// The branch of a test whether the guest unwinds.
    UnwindingTest,
    /// A `local.get` whose value goes nowhere.
    Discarded,
}

#[derive(Clone, Copy)]
enum Known {
    Nothing,
    Exactly(i32),
    /// Some number, but not zero.
    NotZero,
}

impl Known {
    fn holds(self) -> Option<bool> {
        match self {
            Self::Nothing => None,
            Self::Exactly(value) => Some(value != 0),
            Self::NotZero => Some(true),
        }
    }
}

#[derive(Clone, Copy)]
struct Operand {
    known: Known,
    /// The first of the instructions that make it.
    first: usize,
}

/// What is known of a body's instructions, by their places.
pub(super) struct Folded {
    pub facts: Vec<Fact>,
    /// For every call, the first of the instructions whose values are still needed when it is made
    /// again: those that stay on the operand stack, and of an indirect call which function it
    /// means. The call itself where there are none.
    pub held: Vec<usize>,
}

/// Finds out what is known. `kept` has the places at which reads of the state stand that begin a
/// test whether the guest unwinds; every other read gives the normal state.
pub(super) fn fold(ops: &[Op<'_>], state: u32, kept: &[usize]) -> Folded {
    let mut facts = vec![Fact::Nothing; ops.len()];
    let mut held: Vec<usize> = (0..ops.len()).collect();
    let mut stack = Stack::default();
    for (place, op) in ops.iter().enumerate() {
        let (takes, gives) = (op.arity.0 as usize, op.arity.1 as usize);
        match op.operator {
            Operator::GlobalGet { global_index } if global_index == state => {
                let known = match kept.binary_search(&place) {
                    Ok(_) => Known::Nothing,
                    Err(_) => Known::Exactly(0),
                };
                stack.push(known, place);
            }
            Operator::I32Const { value } => stack.push(Known::Exactly(value), place),
            Operator::I32Eqz => {
                let a = stack.pop(place);
                let known = a
                    .known
                    .holds()
                    .map_or(Known::Nothing, |holds| Known::Exactly(i32::from(!holds)));
                stack.push(known, a.first);
            }
            Operator::I32Eq | Operator::I32Ne | Operator::I32Or | Operator::I32And => {
                let (b, a) = (stack.pop(place), stack.pop(place));
                stack.push(binary(&op.operator, a.known, b.known), a.first);
            }
            Operator::Select => {
                let (condition, b, a) = (stack.pop(place), stack.pop(place), stack.pop(place));
                let known = match condition.known.holds() {
                    Some(true) => {
                        discard(&mut facts, ops, b.first..condition.first);
                        a.known
                    }
                    Some(false) => {
                        discard(&mut facts, ops, a.first..b.first);
                        b.known
                    }
                    None => Known::Nothing,
                };
                stack.push(known, a.first);
            }
            Operator::If { .. } | Operator::BrIf { .. } => {
                let condition = stack.pop(place);
                let test = place.checked_sub(3).map(|read| kept.binary_search(&read));
                facts[place] = match (test, condition.known.holds()) {
                    (Some(Ok(_)), _) => Fact::UnwindingTest,
                    (_, Some(true)) => Fact::Always,
                    (_, Some(false)) => Fact::Never,
                    _ => Fact::Nothing,
                };
                if matches!(op.operator, Operator::If { .. }) {
                    stack.open(takes - 1, place);
                }
            }
            Operator::Block { .. } | Operator::Loop { .. } => stack.open(takes, place),
            Operator::Else => stack.reopen(gives, place),
            Operator::End => stack.close(gives),
            Operator::LocalTee { .. } => {}
            Operator::Br { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable => stack.leave(),
            _ => {
                let mut first = place;
                for number in 0..takes {
                    first = stack.pop(place).first;
                    if number == 0 && matches!(op.operator, Operator::CallIndirect { .. }) {
                        held[place] = first;
                    }
                }
                if let Some(lowest) = stack.lowest() {
                    held[place] = held[place].min(lowest);
                }
                for _ in 0..gives {
                    stack.push(Known::Nothing, first);
                }
            }
        }
    }
    Folded { facts, held }
}

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

/// Notes that an operand is not used, where a single instruction reads it from a local.
fn discard(facts: &mut [Fact], ops: &[Op<'_>], made_by: std::ops::Range<usize>) {
    if made_by.len() == 1 && matches!(ops[made_by.start].operator, Operator::LocalGet { .. }) {
        facts[made_by.start] = Fact::Discarded;
    }
}

/// The operand stack, in frames of blocks.
#[derive(Default)]
struct Stack {
    operands: Vec<Operand>,
    /// Height below each open block, and where the block starts.
    frames: Vec<(usize, usize)>,
}

impl Stack {
    fn floor(&self) -> usize {
        self.frames.last().map_or(0, |(height, _)| *height)
    }

    fn push(&mut self, known: Known, first: usize) {
        self.operands.push(Operand { known, first });
    }

    /// Behind a branch that is always taken there are as many operands as are asked for.
    fn pop(&mut self, place: usize) -> Operand {
        let nothing = Operand {
            known: Known::Nothing,
            first: place,
        };
        match self.operands.len() > self.floor() {
            true => self.operands.pop().unwrap_or(nothing),
            false => nothing,
        }
    }

    /// The first of the instructions that have made what is on the stack.
    fn lowest(&self) -> Option<usize> {
        self.operands.iter().map(|operand| operand.first).min()
    }

    fn open(&mut self, params: usize, place: usize) {
        for _ in 0..params {
            self.pop(place);
        }
        self.frames.push((self.operands.len(), place));
        for _ in 0..params {
            self.push(Known::Nothing, place);
        }
    }

    fn reopen(&mut self, params: usize, place: usize) {
        self.leave();
        for _ in 0..params {
            self.push(Known::Nothing, place);
        }
    }

    fn close(&mut self, results: usize) {
        self.leave();
        // The last `end` is that of the body, which no instruction has opened.
        let (_, start) = self.frames.pop().unwrap_or_default();
        for _ in 0..results {
            self.push(Known::Nothing, start);
        }
    }

    fn leave(&mut self) {
        self.operands.truncate(self.floor());
    }
}
