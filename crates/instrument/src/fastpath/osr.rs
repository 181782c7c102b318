//! The way back to full speed for a frame that was restored in a loop.
//!
//! A frame that was on the stack at a suspend runs `F$slow` until it returns, and a program whose work is one loop,
//! its own or an interpreter's, would stay there. So at the head of such a loop, in the normal state, a slow version
//! goes on to another function, with all its locals as arguments: what compilers call on-stack replacement (OSR).
//!
//! ```text
//!   F        block … loop k … end rest end
//!   F$slow   block … loop k (normal? return_call F$osr-k(locals)) … end rest end
//!   F$osr-k  block   loop k … end rest end
//! ```
//!
//! `F$osr-k` is the fast version without all that lies in front of the loop. Outside of loops control only goes forward, so
//! none of it would run again. Where the loop lies in another one, what that repeats is not there: a branch to the head
//! of the outer loop goes on to the function for that loop.
//!
//! It is the fast version of the same body with the same locals. So what it saves when it is suspended is a frame of `F`,
//! and `F$slow` restores it; `liveness.rs` speaks of all paths through the body, and these are some of them.

use std::cmp::Reverse;
use std::collections::HashMap;

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, Encode, Instruction};
use wasmparser::Operator;

use super::arguments;
use super::fast::Fast;
use super::fold::is_foreign;
use crate::Error;

/// As many parameters as every engine takes ([WebAssembly JavaScript Interface], limits).
///
/// [WebAssembly JavaScript Interface]: https://webassembly.github.io/spec/js-api/#limits
const MOST_PARAMS: usize = 1000;

/// What a block around a loop takes, what a loop around takes beside, and an argument where one goes on to another
/// function, in bytes.
const BLOCK: usize = 4;
const GO_ON: usize = 16;
const ARGUMENT: usize = 3;

/// All functions of a body for its loops are not longer than so many times the body, and so many bytes.
const GROWTH: usize = 3;
const SPARE: usize = 2 << 10;

/// A body has so many at most, and they so many blocks around their loops.
const MOST: usize = 16;
const MOST_AROUND: usize = 1000;

/// A loop that has a function.
pub(super) struct LoopEntry {
    /// Where the loop stands in the body.
    pub place: usize,
    /// The blocks around it, from the outermost on: their places and, of loops, which entry is theirs.
    around: Vec<(usize, Option<usize>)>,
}

/// A block, loop or `if`.
struct Block {
    place: usize,
    is_loop: bool,
    /// Which blocks are around it: the next one, and the next loop.
    parent: Option<usize>,
    outer_loop: Option<usize>,
    /// How many blocks are around it.
    depth: usize,
    /// How many bytes itself and those around take, where it is around a loop.
    written: usize,
    /// No operand lies on the stack below it or those around it.
    alone: bool,
}

/// The loops of a body in which it may be suspended, and that can be entered from outside.
pub(super) fn entries(fast: &Fast<'_>) -> Vec<LoopEntry> {
    let fits = fast.types.len() <= MOST_PARAMS
        && fast.types.iter().all(|ty| ty.is_defaultable())
        && !fast.ops.iter().any(|op| is_foreign(&op.operator));
    if !fits {
        return Vec::new();
    }
    let (blocks, mut loops) = blocks(fast);
    // The longest first, and so outer ones before those within, which need them.
    loops.sort_by_key(|(_, length)| Reverse(*length));
    let mut room = fast.length(0) * GROWTH + SPARE;
    let mut entries: Vec<LoopEntry> = Vec::new();
    // Which entry is for which block.
    let mut known: HashMap<usize, usize> = HashMap::new();
    for (number, _) in loops {
        if entries.len() == MOST {
            break;
        }
        let block = &blocks[number];
        let outer = block.outer_loop;
        // What its own arguments take in the slow version is in it too.
        let length = fast.length(block.place) + block.written;
        if length > room
            || block.depth > MOST_AROUND
            || outer.is_some_and(|outer| !known.contains_key(&outer))
        {
            continue;
        }
        room -= length;
        let parents = std::iter::successors(block.parent, |number| blocks[*number].parent);
        let around = parents.map(|number| (blocks[number].place, known.get(&number).copied()));
        let mut around: Vec<_> = around.collect();
        around.reverse();
        known.insert(number, entries.len());
        entries.push(LoopEntry {
            place: block.place,
            around,
        });
    }
    entries
}

/// All blocks in their order, and of those that are loops with a test in them the number and the length.
fn blocks(fast: &Fast<'_>) -> (Vec<Block>, Vec<(usize, usize)>) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut loops = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (place, op) in fast.ops.iter().enumerate() {
        match op.operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                let parent = open.last().copied();
                let around = parent.map(|parent| &blocks[parent]);
                let is_loop = matches!(op.operator, Operator::Loop { .. });
                let outer_loop = match around.filter(|block| block.is_loop) {
                    Some(_) => parent,
                    None => around.and_then(|block| block.outer_loop),
                };
                let alone = op.alone && around.is_none_or(|block| block.alone);
                let call = match is_loop {
                    true => GO_ON + fast.types.len() * ARGUMENT,
                    false => 0,
                };
                let block = Block {
                    place,
                    is_loop,
                    parent,
                    outer_loop,
                    depth: open.len(),
                    written: around.map_or(0, |block| block.written) + BLOCK + call,
                    alone,
                };
                open.push(blocks.len());
                blocks.push(block);
            }
            Operator::End => {
                // The last one is the body's own.
                let Some(number) = open.pop() else { continue };
                let block = &blocks[number];
                let suspends = fast.tests.partition_point(|test| *test < block.place)
                    < fast.tests.partition_point(|test| *test < place);
                if block.is_loop && suspends && block.alone {
                    loops.push((number, op.end - fast.ops[block.place].start));
                }
            }
            _ => {}
        }
    }
    (blocks, loops)
}

/// At the head of a loop in a slow version: goes on to the function for the loop, if nothing is being restored.
pub(super) fn leave(state: u32, locals: usize, function: u32, out: &mut Vec<u8>) {
    Instruction::GlobalGet(state).encode(out);
    Instruction::I32Eqz.encode(out);
    Instruction::If(BlockType::Empty).encode(out);
    arguments(locals as u32, out);
    Instruction::ReturnCall(function).encode(out);
    Instruction::End.encode(out);
}

/// The body of the function for a loop; `first` is that for the first of the entries.
pub(super) fn body(fast: &Fast<'_>, entry: &LoopEntry, first: u32) -> Result<Vec<u8>, Error> {
    // All locals are parameters.
    let mut out = vec![0];
    let mut labels = Labels::default();
    let mut around: Vec<Option<usize>> = Vec::new();
    for (place, outer) in &entry.around {
        let (ty, repeats) = match fast.ops[*place].operator {
            Operator::Loop { blockty } => (blockty, true),
            Operator::Block { blockty } | Operator::If { blockty } => (blockty, false),
            _ => return Err(Error::Binaryen),
        };
        let ty = RoundtripReencoder.block_type(ty);
        Instruction::Block(ty.map_err(|_| Error::Binaryen)?).encode(&mut out);
        if repeats {
            // A branch to its head leaves this block, and its end the one around.
            labels.extra();
            Instruction::Block(BlockType::Empty).encode(&mut out);
        }
        labels.open();
        around.push(*outer);
    }
    // How many blocks are open that begin with the loop or behind it.
    let mut inner = 0;
    let mut place = entry.place;
    while place < fast.ops.len() {
        match fast.ops[place].operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                inner += 1;
                labels.open();
            }
            // The loop was in the first branch, and the second is not run.
            Operator::Else if inner == 0 => {
                place = end(fast, place)?;
                continue;
            }
            Operator::End if inner > 0 => {
                inner -= 1;
                labels.close();
            }
            Operator::End => {
                if let Some(outer) = around.pop() {
                    labels.close();
                    if let Some(outer) = outer {
                        Instruction::Br(1).encode(&mut out);
                        Instruction::End.encode(&mut out);
                        arguments(fast.types.len() as u32, &mut out);
                        Instruction::Call(first + outer as u32).encode(&mut out);
                        Instruction::Return.encode(&mut out);
                        labels.close_extra();
                    }
                }
            }
            _ => {}
        }
        place = fast.write(place, |depth| labels.depth(depth), &mut out);
    }
    Ok(out)
}

/// Where the block ends whose `else` this is.
fn end(fast: &Fast<'_>, otherwise: usize) -> Result<usize, Error> {
    let mut open = 0;
    for (place, op) in fast.ops.iter().enumerate().skip(otherwise + 1) {
        match op.operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open += 1,
            Operator::End if open == 0 => return Ok(place),
            Operator::End => open -= 1,
            _ => {}
        }
    }
    Err(Error::Binaryen)
}

/// The labels that are open: which of those written are the body's.
#[derive(Default)]
struct Labels {
    /// How many were written in front of each.
    written: Vec<u32>,
    count: u32,
}

impl Labels {
    fn open(&mut self) {
        self.written.push(self.count);
        self.count += 1;
    }

    fn close(&mut self) {
        self.written.pop();
        self.count -= 1;
    }

    /// One that the body does not have.
    fn extra(&mut self) {
        self.count += 1;
    }

    fn close_extra(&mut self) {
        self.count -= 1;
    }

    /// How deep a label of the body lies.
    fn depth(&self, depth: u32) -> u32 {
        let place = self.written.len().checked_sub(1 + depth as usize);
        match place {
            Some(place) => self.count - 1 - self.written[place],
            // The function's own.
            None => self.count,
        }
    }
}
