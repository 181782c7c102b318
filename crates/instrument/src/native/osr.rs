//! Which loops a slow version leaves for a fast one.
//!
//! A frame that was on the stack at a suspend runs its slow version until it returns. A program
//! whose work is one loop would stay there. So at the head of such a loop, where no call is being
//! repeated, the slow version goes on to a fast one that begins at that loop, with all of the
//! body's own locals as arguments (`two_version/osr.rs` has the picture). It saves the same frames.
//!
//! Outside of loops control only goes forward, so that nothing in front of the loop is needed.
//! Where the loop lies in an outer one, the part of that in front of it is missing too: a branch to
//! the outer loop's head goes on to the version that begins there.
//!
//! No operand may lie below such a loop. So none is in an added local there, and these need not be
//! passed on.

use std::cmp::Reverse;
use std::collections::HashMap;

use wasmparser::Operator;

use super::plan::{Plan, Role, has_value_unset};

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

/// Which loops get versions.
struct Rule {
    /// How long a loop must be, in bytes.
    min_bytes: usize,
    /// The size that all versions of a body may have together: this many times the size of the
    /// body, ...
    growth: usize,
    /// ... and this many bytes more.
    spare_bytes: usize,
}

/// With checks, a program may be suspended in any loop.
const WITH_CHECKS: Rule = Rule {
    min_bytes: 0,
    growth: 3,
    spare_bytes: 2 << 10,
};
/// Without them it is suspended only where it waits. What is much slower then are large loops with
/// many calls, such as those of interpreters.
const WITHOUT_CHECKS: Rule = Rule {
    min_bytes: 4 << 10,
    growth: 3,
    spare_bytes: 1 << 6,
};

/// How many loops of a body may have versions.
const MAX_ENTRIES: usize = 16;

/// How many blocks may be around such a loop.
const MAX_BLOCKS_AROUND: usize = 1000;

/// A loop at which a version begins.
pub(super) struct LoopEntry {
    /// Its position among the plan's instructions.
    pub position: usize,
    /// The blocks around it, from the outermost on.
    pub around: Vec<Around>,
}

/// A block around a loop.
#[derive(Clone, Copy)]
pub(super) struct Around {
    /// Its position among the plan's instructions.
    pub position: usize,
    /// If it is a loop, which of the entries is its.
    pub entry: Option<usize>,
}

/// A block with sites.
struct Block {
    position: usize,
    is_loop: bool,
    /// The next block around it.
    parent: Option<usize>,
    /// How many blocks are around it.
    depth: usize,
    /// The size of what is written for itself and the blocks around it, where they are around a
    /// loop, in bytes.
    written_bytes: usize,
    /// Whether no operand lies on the stack below it or below those around it.
    no_operands_below: bool,
}

/// Chooses loops of a body, the longest first.
pub(super) fn entries(plan: &Plan<'_>, has_checks: bool) -> Vec<LoopEntry> {
    if plan.own_locals > MAX_PARAMS || !plan.locals.iter().all(|ty| has_value_unset(*ty)) {
        return Vec::new();
    }
    let rule = match has_checks {
        true => WITH_CHECKS,
        false => WITHOUT_CHECKS,
    };
    let loop_bytes = |block: &Block| {
        let start = &plan.ops[block.position];
        plan.ops[start.partner].end - start.start
    };
    let size_from = |position: usize| {
        let end = plan.ops.last().map_or(0, |op| op.end);
        end - plan.ops[position].start
    };
    let blocks = blocks(plan);
    let loops = blocks.iter().enumerate();
    let loops = loops.filter(|(_, block)| {
        block.is_loop && block.no_operands_below && loop_bytes(block) >= rule.min_bytes
    });
    let mut loops: Vec<usize> = loops.map(|(number, _)| number).collect();
    // A loop needs the version of the loop around it, which is longer and so comes before it.
    loops.sort_by_key(|number| Reverse(loop_bytes(&blocks[*number])));
    let mut room = size_from(0) * rule.growth + rule.spare_bytes;
    let mut entries: Vec<LoopEntry> = Vec::new();
    // The entries by their blocks.
    let mut entry_of: HashMap<usize, usize> = HashMap::new();
    for number in loops {
        if entries.len() == MAX_ENTRIES {
            break;
        }
        let block = &blocks[number];
        // The arguments in the slow version are counted in it too.
        let bytes = size_from(block.position) + block.written_bytes;
        let parents = std::iter::successors(block.parent, |number| blocks[*number].parent);
        let parents: Vec<usize> = parents.collect();
        let lacks_outer = parents
            .iter()
            .any(|parent| blocks[*parent].is_loop && !entry_of.contains_key(parent));
        if bytes > room || block.depth > MAX_BLOCKS_AROUND || lacks_outer {
            continue;
        }
        room -= bytes;
        let around = parents.iter().rev().map(|number| Around {
            position: blocks[*number].position,
            entry: entry_of.get(number).copied(),
        });
        entries.push(LoopEntry {
            position: block.position,
            around: around.collect(),
        });
        entry_of.insert(number, entries.len() - 1);
    }
    entries
}

/// The blocks that contain sites, in their order.
fn blocks(plan: &Plan<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // The ends of the open blocks, with their numbers.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (position, op) in plan.ops.iter().enumerate() {
        while open.last().is_some_and(|(end, _)| *end < position) {
            open.pop();
        }
        let Role::Block(number) = op.role else {
            continue;
        };
        let parent = open.last().map(|(_, parent)| *parent);
        let around = parent.map(|parent| &blocks[parent]);
        let is_loop = matches!(op.operator, Operator::Loop { .. });
        let call_bytes = match is_loop {
            true => OUTER_LOOP_BYTES + plan.own_locals * ARGUMENT_BYTES,
            false => 0,
        };
        let around_bytes = around.map_or(0, |block| block.written_bytes);
        let block = Block {
            position,
            is_loop,
            parent,
            depth: open.len(),
            written_bytes: around_bytes + BLOCK_BYTES + call_bytes,
            no_operands_below: plan.blocks[number].below.is_empty()
                && around.is_none_or(|block| block.no_operands_below),
        };
        open.push((op.partner, blocks.len()));
        blocks.push(block);
    }
    blocks
}
