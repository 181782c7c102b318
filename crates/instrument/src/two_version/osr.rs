//! Fast versions that begin at a loop, for frames that were restored in it.
//!
//! A frame that was on the stack at a suspend runs `F$slow` until it returns. A program whose work
//! is one loop, its own or an interpreter's, would stay there. So at the head of such a loop, in
//! the normal state, a slow version goes on to another function, with all its locals as arguments.
//! Compilers call this on-stack replacement (OSR).
//!
//! ```text
//!   F        block … loop k … end rest end
//!   F$slow   block … loop k (normal? return_call F$osr-k(locals)) … end rest end
//!   F$osr-k  block   loop k … end rest end
//! ```
//!
//! `F$osr-k` is the fast version without everything in front of the loop. Outside of loops control
//! only goes forward, so that none of it would run again. Where the loop lies in an outer one, the
//! part of that in front of it is missing too: a branch to the outer loop's head goes on to the
//! function for the outer loop.
//!
//! It is the fast version of the same body with the same locals. So what it saves when it is
//! suspended is a frame of `F`, which `F$slow` restores. What [`liveness`](super::liveness) finds
//! holds for all paths through the body, and so for these.

use std::cmp::Reverse;
use std::collections::HashMap;

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, Encode, Instruction};
use wasmparser::Operator;

use super::asyncified::{arguments, is_unfollowed};
use super::fast_body::FastBody;
use crate::error::Error;

/// The parameters that every engine allows ([WebAssembly JavaScript Interface], limits).
///
/// [WebAssembly JavaScript Interface]: https://webassembly.github.io/spec/js-api/#limits
const MAX_PARAMS: usize = 1000;

/// An estimate of what is written beside a loop itself, in bytes: for each block around it, ...
const BLOCK_BYTES: usize = 4;
/// ... in addition for each loop around it, ...
const OUTER_LOOP_BYTES: usize = 16;
/// ... and for each argument where a loop goes on to another function.
const ARGUMENT_BYTES: usize = 3;

/// The size that all versions of a body that begin at loops may have together: this many times the
/// size of the body, ...
const MAX_GROWTH: usize = 3;
/// ... and this many bytes more.
const SPARE_BYTES: usize = 2 << 10;

/// How many loops of a body may have versions.
const MAX_ENTRIES: usize = 16;

/// How many blocks may be around such a loop.
const MAX_BLOCKS_AROUND: usize = 1000;

/// A loop at which a version begins.
pub(super) struct LoopEntry {
    /// Where the loop stands in the body.
    pub position: usize,
    /// The blocks around it, from the outermost on.
    around: Vec<Around>,
}

/// A block around a loop.
#[derive(Clone, Copy)]
struct Around {
    /// Where it stands in the body.
    position: usize,
    /// If it is a loop, which of the entries is its.
    entry: Option<usize>,
}

/// A block, loop or `if`.
struct Block {
    position: usize,
    is_loop: bool,
    /// The next block around it.
    parent: Option<usize>,
    /// The next loop around it.
    outer_loop: Option<usize>,
    /// How many blocks are around it.
    depth: usize,
    /// The size of what is written for itself and the blocks around it, where they are around a
    /// loop, in bytes.
    written_bytes: usize,
    /// Whether no operand lies on the stack below it or below those around it.
    no_operands_below: bool,
}

/// Chooses loops of a body, in which it may be suspended, and which can be entered from outside.
/// The longest come first.
pub(super) fn entries(fast: &FastBody<'_>) -> Vec<LoopEntry> {
    let fits = fast.types.len() <= MAX_PARAMS
        && fast.types.iter().all(|ty| ty.is_defaultable())
        && !fast.ops.iter().any(|op| is_unfollowed(&op.operator));
    if !fits {
        return Vec::new();
    }
    let (blocks, mut loops) = blocks(fast);
    // A loop needs the version of the loop around it, which is longer and so comes before it.
    loops.sort_by_key(|(_, bytes)| Reverse(*bytes));
    let mut room = fast.size_from(0) * MAX_GROWTH + SPARE_BYTES;
    let mut entries: Vec<LoopEntry> = Vec::new();
    // The entries by their blocks.
    let mut entry_of: HashMap<usize, usize> = HashMap::new();
    for (number, _) in loops {
        if entries.len() == MAX_ENTRIES {
            break;
        }
        let block = &blocks[number];
        // The arguments in the slow version are counted in it too.
        let bytes = fast.size_from(block.position) + block.written_bytes;
        let lacks_outer = block
            .outer_loop
            .is_some_and(|outer| !entry_of.contains_key(&outer));
        if bytes > room || block.depth > MAX_BLOCKS_AROUND || lacks_outer {
            continue;
        }
        room -= bytes;
        let parents = std::iter::successors(block.parent, |number| blocks[*number].parent);
        let around = parents.map(|number| Around {
            position: blocks[number].position,
            entry: entry_of.get(&number).copied(),
        });
        let mut around: Vec<_> = around.collect();
        around.reverse();
        entry_of.insert(number, entries.len());
        entries.push(LoopEntry {
            position: block.position,
            around,
        });
    }
    entries
}

/// All blocks in their order; and of the loops that have a test in them and no operands below,
/// their numbers among the blocks, and their sizes in bytes.
fn blocks(fast: &FastBody<'_>) -> (Vec<Block>, Vec<(usize, usize)>) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut loops = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (position, op) in fast.ops.iter().enumerate() {
        match op.operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                let block = block(fast, position, &open, &blocks);
                open.push(blocks.len());
                blocks.push(block);
            }
            Operator::End => {
                // The last `end` is that of the body, which no instruction has opened.
                let Some(number) = open.pop() else { continue };
                let block = &blocks[number];
                let suspends = fast.tests.partition_point(|test| *test < block.position)
                    < fast.tests.partition_point(|test| *test < position);
                if block.is_loop && suspends && block.no_operands_below {
                    loops.push((number, op.end - fast.ops[block.position].start));
                }
            }
            _ => {}
        }
    }
    (blocks, loops)
}

/// The block that starts at a position, inside the open ones.
fn block(fast: &FastBody<'_>, position: usize, open: &[usize], blocks: &[Block]) -> Block {
    let op = &fast.ops[position];
    let parent = open.last().copied();
    let around = parent.map(|parent| &blocks[parent]);
    let is_loop = matches!(op.operator, Operator::Loop { .. });
    let outer_loop = match around.filter(|block| block.is_loop) {
        Some(_) => parent,
        None => around.and_then(|block| block.outer_loop),
    };
    let call_bytes = match is_loop {
        true => OUTER_LOOP_BYTES + fast.types.len() * ARGUMENT_BYTES,
        false => 0,
    };
    let around_bytes = around.map_or(0, |block| block.written_bytes);
    Block {
        position,
        is_loop,
        parent,
        outer_loop,
        depth: open.len(),
        written_bytes: around_bytes + BLOCK_BYTES + call_bytes,
        no_operands_below: op.no_operands_below
            && around.is_none_or(|block| block.no_operands_below),
    }
}

/// What stands at the head of a loop in a slow version: it goes on to the function for the loop, if
/// no frame is being restored.
pub(super) fn go_on(state: u32, locals: usize, function: u32) -> Vec<Instruction<'static>> {
    let mut instructions = vec![
        Instruction::GlobalGet(state),
        Instruction::I32Eqz,
        Instruction::If(BlockType::Empty),
    ];
    instructions.extend(arguments(locals as u32));
    instructions.extend([Instruction::ReturnCall(function), Instruction::End]);
    instructions
}

/// The body of the function for a loop; `first` is the function for the first of the entries.
pub(super) fn body(fast: &FastBody<'_>, entry: &LoopEntry, first: u32) -> Result<Vec<u8>, Error> {
    // All locals are parameters.
    let mut out = vec![0];
    let mut labels = Labels::default();
    open_around(fast, &entry.around, &mut labels, &mut out)?;
    let mut around = entry.around.clone();
    // How many blocks are open that start with the loop or behind it.
    let mut inner = 0;
    let mut position = entry.position;
    while position < fast.ops.len() {
        match fast.ops[position].operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                inner += 1;
                labels.open();
            }
            // The loop stands in the first branch of this `if`, so that the second does not run.
            Operator::Else if inner == 0 => {
                position = end_of_else(fast, position)?;
                continue;
            }
            Operator::End if inner > 0 => {
                inner -= 1;
                labels.close();
            }
            Operator::End => {
                if let Some(outer) = around.pop() {
                    labels.close();
                    if let Some(entry) = outer.entry {
                        Instruction::Br(1).encode(&mut out);
                        Instruction::End.encode(&mut out);
                        for argument in arguments(fast.types.len() as u32) {
                            argument.encode(&mut out);
                        }
                        Instruction::Call(first + entry as u32).encode(&mut out);
                        Instruction::Return.encode(&mut out);
                        labels.close_extra();
                    }
                }
            }
            _ => {}
        }
        position = fast.write(position, |depth| labels.depth(depth), &mut out);
    }
    Ok(out)
}

/// Opens the blocks around a loop. Each loop among them becomes two blocks: a branch to its head
/// leaves the inner one, and its end leaves the outer one.
fn open_around(
    fast: &FastBody<'_>,
    around: &[Around],
    labels: &mut Labels,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    for outer in around {
        let (ty, is_loop) = match fast.ops[outer.position].operator {
            Operator::Loop { blockty } => (blockty, true),
            Operator::Block { blockty } | Operator::If { blockty } => (blockty, false),
            _ => {
                return Err(Error::Internal(
                    "something that is no block is around a loop",
                ));
            }
        };
        let ty = RoundtripReencoder.block_type(ty);
        Instruction::Block(ty.map_err(Error::encoding)?).encode(out);
        if is_loop {
            labels.open_extra();
            Instruction::Block(BlockType::Empty).encode(out);
        }
        labels.open();
    }
    Ok(())
}

/// The position where the block of an `else` ends.
fn end_of_else(fast: &FastBody<'_>, otherwise: usize) -> Result<usize, Error> {
    let mut open = 0;
    for (position, op) in fast.ops.iter().enumerate().skip(otherwise + 1) {
        match op.operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open += 1,
            Operator::End if open == 0 => return Ok(position),
            Operator::End => open -= 1,
            _ => {}
        }
    }
    Err(Error::Internal("a block has no end"))
}

/// The labels that are open in what is written, and which of them the body has.
#[derive(Default)]
struct Labels {
    /// For each open label of the body, how many labels were written in front of it.
    before: Vec<u32>,
    /// How many are open in what is written.
    count: u32,
}

impl Labels {
    fn open(&mut self) {
        self.before.push(self.count);
        self.count += 1;
    }

    fn close(&mut self) {
        self.before.pop();
        self.count -= 1;
    }

    /// Opens a label that the body does not have.
    fn open_extra(&mut self) {
        self.count += 1;
    }

    fn close_extra(&mut self) {
        self.count -= 1;
    }

    /// The depth, in what is written, of the label in this depth of the body.
    fn depth(&self, depth: u32) -> u32 {
        let position = self.before.len().checked_sub(1 + depth as usize);
        match position {
            Some(position) => self.count - 1 - self.before[position],
            // The function's own.
            None => self.count,
        }
    }
}
