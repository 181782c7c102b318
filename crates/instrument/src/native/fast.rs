//! Fast versions: the source's own bodies, byte for byte, with a test behind each call that may
//! suspend.
//!
//! ```text
//!                 (block $end (result i32)
//!   …               …
//!   (call $f)       (call $f)
//!                   (if (global.get $state)
//!                     (then set to zero what does not matter, (br $end (the site's number))))
//!   …               …
//!                   return)
//!                 save the frame
//! ```
//!
//! Operands that lie below the call's arguments, or below a block around the call, are in locals
//! too. The compiler sees that a value is in two places, and keeps one.

use std::ops::Range;

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, Instruction as I};
use wasmparser::{Operator, ValType};

use super::code::Code;
use super::context::Context;
use super::enter;
use super::osr::{Around, LoopEntry};
use super::plan::{Home, Op, Operand, Plan, Role, Site};
use super::reference_branch::reference_branch;
use super::version::{SHARED_END_LABELS, Saving, Version};
use crate::error::Error;

/// Writes the fast version of a function.
pub(super) fn write<'a>(
    context: &Context<'a>,
    plan: &Plan<'a>,
    function: u32,
) -> Result<Code, Error> {
    let ty = context.calls.scan.type_of(function);
    let parameters = ty.map_or(0, |ty| ty.params().len());
    let mut fast = Fast::new(context, plan, function, parameters)?;
    enter::go_on_to_slow(context, function, &mut fast.version.code);
    fast.from(0)
}

/// Writes the version of a function that begins at a loop, with all of the body's own locals as
/// parameters.
pub(super) fn write_at_loop<'a>(
    context: &Context<'a>,
    plan: &Plan<'a>,
    function: u32,
    entry: &LoopEntry,
) -> Result<Code, Error> {
    let mut fast = Fast::new(context, plan, function, plan.own_locals)?;
    fast.around.clone_from(&entry.around);
    fast.from(entry.position)
}

/// A fast version while it is written.
struct Fast<'a, 'p> {
    version: Version<'a, 'p>,
    /// How many labels are open in what is written; the function's own is one.
    open: u32,
    /// The labels of the source that are open, the function's own first: how many labels were open
    /// in what is written when each was opened.
    labels: Vec<u32>,
    /// Blocks that were opened only because they are around the loop at which this version begins.
    around: Vec<Around>,
    /// Instructions in a row that are going to be copied together, by their position in the module.
    run: Range<usize>,
}

impl<'a, 'p> Fast<'a, 'p> {
    fn new(
        context: &'p Context<'a>,
        plan: &'p Plan<'a>,
        function: u32,
        parameters: usize,
    ) -> Result<Self, Error> {
        let locals = [&plan.locals[parameters..], &[ValType::I32]].concat();
        let saving = Saving::Stores(plan.locals.len() as u32);
        Ok(Self {
            version: Version::new(context, plan, function, &locals, saving)?,
            open: 1,
            labels: vec![0],
            around: Vec::new(),
            run: 0..0,
        })
    }

    /// Writes the body from an instruction on.
    fn from(mut self, mut position: usize) -> Result<Code, Error> {
        if self.version.has_shared_end() {
            self.version.open_shared_end();
            self.open += 1;
        }
        self.open_around()?;
        while let Some(op) = self.version.plan.ops.get(position) {
            position = match op.operator {
                // The loop stands in the first branch of this `if`, so the second does not run.
                Operator::Else if self.inner() == 0 => op.partner,
                _ => {
                    self.step(op)?;
                    position + 1
                }
            };
        }
        Ok(self.version.code)
    }

    /// Opens the blocks around a loop. Each loop among them becomes two blocks: a branch to its
    /// head leaves the inner one, and its end leaves the outer one.
    fn open_around(&mut self) -> Result<(), Error> {
        for position in 0..self.around.len() {
            let outer = &self.version.plan.ops[self.around[position].position];
            let (ty, is_loop) = match outer.operator {
                Operator::Loop { blockty } => (blockty, true),
                Operator::Block { blockty } | Operator::If { blockty } => (blockty, false),
                _ => {
                    return Err(Error::Internal(
                        "something else than a block is around a loop",
                    ));
                }
            };
            let ty = RoundtripReencoder.block_type(ty);
            let ty = ty.map_err(Error::encoding)?;
            self.version.code.push(&I::Block(ty));
            if is_loop {
                self.open += 1;
                self.version.code.push(&I::Block(BlockType::Empty));
            }
            self.open_label();
        }
        Ok(())
    }

    fn open_label(&mut self) {
        self.labels.push(self.open);
        self.open += 1;
    }

    /// How many blocks are open that start with the loop or behind it.
    fn inner(&self) -> usize {
        self.labels.len() - 1 - self.around.len()
    }

    fn step(&mut self, op: &Op<'_>) -> Result<(), Error> {
        let plan = self.version.plan;
        match (op.role, &op.operator) {
            (Role::Site(number), _) => {
                self.copy_run();
                self.site(op, number)?;
            }
            (Role::Block(number), _) => {
                self.copy_run();
                let block = &plan.blocks[number];
                self.give_homes(&block.below, block.condition.as_slice())?;
                self.copy(op);
                self.open_label();
            }
            (_, Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. }) => {
                self.copy(op);
                self.open_label();
            }
            (_, Operator::End) => self.end(op)?,
            (_, Operator::Br { relative_depth } | Operator::BrIf { relative_depth })
                if self.depth(*relative_depth)? == *relative_depth =>
            {
                self.copy(op);
            }
            (_, Operator::Br { relative_depth }) => {
                let branch = I::Br(self.depth(*relative_depth)?);
                self.write(&branch);
            }
            (_, Operator::BrIf { relative_depth }) => {
                let branch = I::BrIf(self.depth(*relative_depth)?);
                self.write(&branch);
            }
            (_, Operator::BrTable { targets }) => {
                let mut depths = Vec::new();
                for target in targets.targets() {
                    depths.push(self.depth(target.map_err(Error::malformed)?)?);
                }
                let default = self.depth(targets.default())?;
                self.write(&I::BrTable(depths.into(), default));
            }
            _ => match reference_branch(&op.operator)? {
                Some(branch) => {
                    let depth = self.depth(branch.depth)?;
                    self.write(&branch.to(depth));
                }
                None => self.copy(op),
            },
        }
        Ok(())
    }

    fn end(&mut self, op: &Op<'_>) -> Result<(), Error> {
        if self.labels.len() == 1 {
            self.copy_run();
            return self.version.end();
        }
        if self.inner() == 0
            && let Some(outer) = self.around.pop()
            && let Some(entry) = outer.entry
        {
            self.write(&I::Br(1));
            self.write(&I::End);
            for local in 0..self.version.plan.own_locals as u32 {
                self.write(&I::LocalGet(local));
            }
            self.version.code.call_at_loop(entry);
            self.write(&I::Return);
            self.open -= 1;
        }
        self.labels.pop();
        self.open -= 1;
        self.copy(op);
        Ok(())
    }

    /// The depth in what is written of a label of the source.
    fn depth(&self, depth: u32) -> Result<u32, Error> {
        let position = self.labels.len().checked_sub(1 + depth as usize);
        let before = position.map(|position| self.labels[position]);
        let before = before.ok_or(Error::Internal("a branch leads out of its function"))?;
        Ok(self.open - 1 - before)
    }

    fn write(&mut self, instruction: &I<'_>) {
        self.copy_run();
        self.version.code.push(instruction);
    }

    /// Copies an instruction, together with those in front of it. What control cannot reach between
    /// them is left out.
    fn copy(&mut self, op: &Op<'_>) {
        if self.run.end != op.start {
            self.copy_run();
            self.run.start = op.start;
        }
        self.run.end = op.end;
    }

    fn copy_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        self.version.code.copy(&self.version.context.wasm[run]);
    }

    /// The depth of the block that is left to save the frame.
    fn end_depth(&self) -> u32 {
        self.open.saturating_sub(SHARED_END_LABELS)
    }

    fn site(&mut self, op: &Op<'_>, number: usize) -> Result<(), Error> {
        let site = &self.version.plan.sites[number];
        if !self.give_homes(&site.below, &site.arguments)? {
            self.keep_index(site);
        }
        let check = self.version.context.versions.check;
        if matches!(op.operator, Operator::Call { function_index } if Some(function_index) == check)
        {
            return self.version.check(number, self.end_depth());
        }
        self.version.call(op, site, |callee| callee);
        self.version.leave_if_unwinding(number, self.end_depth())?;
        if site.is_tail {
            self.version.code.push(&I::Return);
        }
        Ok(())
    }

    /// Puts operands into their homes that are in none yet, where others lie above them. Gives
    /// whether there were any.
    fn give_homes(&mut self, below: &[Operand], above: &[Operand]) -> Result<bool, Error> {
        let Some(first) = below.iter().position(|operand| operand.is_new) else {
            return Ok(false);
        };
        let version = &mut self.version;
        version.take(above);
        version.take(&below[first..]);
        version.give(&below[first..])?;
        version.give(above)?;
        Ok(true)
    }

    /// Puts the index of an indirect call into its home. It is the topmost operand.
    fn keep_index(&mut self, site: &Site) {
        if site.is_indirect
            && let Some(index) = site.arguments.last()
            && index.is_new
            && let Home::Local(local) = index.home
        {
            self.version.code.push(&I::LocalTee(local));
        }
    }
}
