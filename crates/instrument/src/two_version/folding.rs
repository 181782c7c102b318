//! A fast version without the code that only other states reach.
//!
//! Asyncify guards each stretch of code by the state. In the normal state it is known which of the
//! guarded branches are taken ([`normal_state`](super::normal_state)):
//!
//! ```text
//!   if (always) A else B end    ->   block A end
//!   if (never) A else B end     ->   block B end
//!   if (never) A end            ->   nothing
//!   br_if l (always)            ->   br l
//!   br_if l (never)             ->   nothing
//! ```
//!
//! The condition goes with its branch where nothing else happens in it, and is dropped otherwise.
//! Engines would find most of this themselves. But the guards take them longer to compile than the
//! code between them.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{Encode, Instruction};
use wasmparser::{BlockType, Operator};

use super::fast_body::FastBody;
use super::normal_state::Fact;
use crate::error::Error;

/// The other parts of an `if`, by its position.
#[derive(Clone, Copy, Default)]
struct Parts {
    /// The position of its `else`.
    otherwise: Option<usize>,
    /// The position of its `end`.
    end: usize,
}

/// Writes the instructions of a body.
pub(super) fn write(fast: &FastBody<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut writer = Writer {
        fast,
        parts: parts(fast),
        starts: vec![None; fast.ops.len()],
        ends_at_else: vec![None; fast.ops.len()],
    };
    let mut position = 0;
    while position < fast.ops.len() {
        position = writer.step(position, out)?;
    }
    Ok(())
}

struct Writer<'a> {
    fast: &'a FastBody<'a>,
    parts: Vec<Parts>,
    /// Where in what is written each instruction starts; `None` for those that were left out or
    /// written together with others.
    starts: Vec<Option<usize>>,
    /// For the `else` of an `if` whose condition always holds, the position of the `end`.
    ends_at_else: Vec<Option<usize>>,
}

impl Writer<'_> {
    /// Writes the instruction at a position, and gives the position of the next one.
    fn step(&mut self, position: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
        if let Some(end) = self.ends_at_else[position] {
            return Ok(end);
        }
        self.starts[position] = Some(out.len());
        let holds = match self.fast.known.facts[position] {
            Fact::Always => true,
            Fact::Never => false,
            Fact::Unknown | Fact::UnwindingTest | Fact::Discarded => {
                return Ok(self.fast.write(position, |depth| depth, out));
            }
        };
        self.leave_out_condition(position, out);
        match self.fast.ops[position].operator {
            Operator::BrIf { relative_depth } => {
                if holds {
                    Instruction::Br(relative_depth).encode(out);
                }
                Ok(position + 1)
            }
            Operator::If { blockty } => self.branch(position, blockty, holds, out),
            _ => Err(Error::Internal("a condition belongs to no branch")),
        }
    }

    /// Writes the start of a block in place of an `if`, and gives the position where its branch that
    /// is taken starts.
    fn branch(
        &mut self,
        position: usize,
        ty: BlockType,
        holds: bool,
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let Parts { otherwise, end } = self.parts[position];
        let start = match (holds, otherwise) {
            (false, None) => return Ok(end + 1),
            (false, Some(otherwise)) => otherwise + 1,
            (true, None) => position + 1,
            (true, Some(otherwise)) => {
                self.ends_at_else[otherwise] = Some(end);
                position + 1
            }
        };
        let ty = RoundtripReencoder.block_type(ty).map_err(Error::encoding)?;
        Instruction::Block(ty).encode(out);
        Ok(start)
    }

    /// Takes back the instructions that make the condition at a position, or drops it.
    fn leave_out_condition(&self, position: usize, out: &mut Vec<u8>) {
        let made_by = self.fast.known.conditions[position]..position;
        let is_pure = made_by.clone().all(|position| {
            self.starts[position].is_some() && is_pure(&self.fast.ops[position].operator)
        });
        match self.starts[made_by.start].filter(|_| is_pure && !made_by.is_empty()) {
            Some(start) => out.truncate(start),
            None => Instruction::Drop.encode(out),
        }
    }
}

/// The parts of every `if`.
fn parts(fast: &FastBody<'_>) -> Vec<Parts> {
    let mut parts = vec![Parts::default(); fast.ops.len()];
    let mut open = Vec::new();
    for (position, op) in fast.ops.iter().enumerate() {
        match op.operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                open.push(position);
            }
            Operator::Else => {
                if let Some(start) = open.last() {
                    parts[*start].otherwise = Some(position);
                }
            }
            Operator::End => {
                // The last `end` is that of the body, which no instruction has opened.
                if let Some(start) = open.pop() {
                    parts[start].end = position;
                }
            }
            _ => {}
        }
    }
    parts
}

/// Whether an instruction does nothing but give a value.
fn is_pure(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::LocalGet { .. }
            | Operator::GlobalGet { .. }
            | Operator::I32Const { .. }
            | Operator::I32Eq
            | Operator::I32Ne
            | Operator::I32Eqz
            | Operator::I32Or
            | Operator::I32And
            | Operator::Select
    )
}
