//! Slow versions: they restore a frame's locals, go to its site, make the call again, and do the
//! rest.
//!
//! WebAssembly has no jump into a block. So each sequence of instructions that contains sites
//! starts with a dispatch on the number of the site ([`dispatch`](super::dispatch)), to the site
//! itself or to the block around it, which dispatches again:
//!
//! ```text
//!   block $1                          the body of a function, a block or a loop, a branch of an if
//!     block $0
//!       (br_table $0 $1 … (local.get $target))
//!     …
//!     operands into their homes
//!   end                               site 0 is entered here, in either way
//!   $target = none
//!   operands and arguments from their homes, (call $f), test and save as in the fast version
//!     …
//!   end                               here the next one
//! ```
//!
//! A slow version is entered only while frames are restored. So what leads to the first site is
//! not written at all, nor is what no site leads to. A call that is not being repeated goes to the
//! fast version of its callee.

use wasm_encoder::{BlockType, Instruction as I};
use wasmparser::{Operator, ValType};

use super::code::Code;
use super::context::Context;
use super::helpers::Helper;
use super::osr::LoopEntry;
use super::plan::{Block, Op, Operand, Plan, Role};
use super::reference_branch::reference_branch;
use super::version::{SHARED_END_LABELS, Saving, Version};
use crate::error::Error;

/// What the local with the site to go to holds when there is none.
pub(super) const NO_SITE: i32 = -1;

/// Writes the slow version of a function. It goes on to fast versions at the loops of `entries`.
pub(super) fn write<'a, 'p>(
    context: &'p Context<'a>,
    plan: &'p Plan<'a>,
    function: u32,
    entries: &'p [LoopEntry],
) -> Result<Code, Error> {
    let ty = context.calls.scan.type_of(function);
    let parameters = ty.map_or(0, |ty| ty.params().len());
    let locals = [&plan.locals[parameters..], &[ValType::I32]].concat();
    let mut slow = Slow {
        version: Version::new(context, plan, function, &locals, Saving::Calls)?,
        entries,
        target: plan.locals.len() as u32,
        open: 1,
        labels: vec![Label::of(0, None)],
        has_labels: Vec::new(),
        is_reached: false,
    };
    slow.version.code.call_helper(Helper::Number);
    slow.push(&I::LocalSet(slow.target));
    plan.frame.restore(&plan.locals, &mut slow.version.code);
    if slow.version.has_shared_end() {
        slow.version.open_shared_end();
        slow.open += 1;
    }
    slow.open_level(0);
    let mut position = 0;
    while position < plan.ops.len() {
        position = slow.step(position)?;
    }
    Ok(slow.version.code)
}

/// A slow version while it is written.
pub(super) struct Slow<'a, 'p> {
    pub version: Version<'a, 'p>,
    /// The loops at which fast versions begin.
    entries: &'p [LoopEntry],
    /// The local with the number of the site to go to, or [`NO_SITE`].
    pub target: u32,
    /// How many labels are open in what is written; the function's own is one.
    pub open: u32,
    /// The labels of the source that are open, the function's own first.
    labels: Vec<Label>,
    /// For each open level whether its entries have labels.
    pub has_labels: Vec<bool>,
    /// Whether control may come to this position.
    pub is_reached: bool,
}

/// A label of the source.
struct Label {
    /// How many labels were open in what is written when it was opened.
    before: u32,
    /// The position of its instruction; none for the function's own.
    start: Option<usize>,
    /// Whether a branch goes to it.
    is_target: bool,
    /// Whether control comes to its start.
    is_entered: bool,
    has_else: bool,
}

impl Label {
    fn of(before: u32, start: Option<usize>) -> Self {
        Self {
            before,
            start,
            is_target: false,
            is_entered: false,
            has_else: false,
        }
    }
}

const UNBALANCED: Error = Error::Internal("a block ends that was not opened");

impl<'a, 'p> Slow<'a, 'p> {
    pub(super) fn push(&mut self, instruction: &I<'_>) {
        self.version.code.push(instruction);
    }

    fn plan(&self) -> &'p Plan<'a> {
        self.version.plan
    }

    /// Writes what is made of an instruction; gives the position of the next one.
    fn step(&mut self, position: usize) -> Result<usize, Error> {
        let op = &self.plan().ops[position];
        match (op.role, &op.operator) {
            (Role::Site(number), _) => self.site(op, number)?,
            (Role::Block(number), _) => self.block(position, op, number)?,
            (Role::Plain, Operator::Else) => self.otherwise(op)?,
            (Role::Plain, Operator::End) => self.end(op)?,
            (Role::Plain, Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. }) => {
                if !self.is_reached {
                    return Ok(op.partner + 1);
                }
                self.version.copy(op);
                self.open_label(position);
            }
            (Role::Plain, _) if self.is_reached => self.plain(op)?,
            (Role::Plain, _) => {}
        }
        Ok(position + 1)
    }

    fn open_label(&mut self, start: usize) {
        let mut label = Label::of(self.open, Some(start));
        label.is_entered = self.is_reached;
        self.labels.push(label);
        self.open += 1;
    }

    /// The depth in what is written of a label of the source, to which a branch goes.
    fn depth(&mut self, depth: u32) -> Result<u32, Error> {
        let position = self.labels.len().checked_sub(1 + depth as usize);
        let label = &mut self.labels[position.ok_or(UNBALANCED)?];
        label.is_target = true;
        Ok(self.open - 1 - label.before)
    }

    /// An instruction that is no site, and starts and ends no block.
    fn plain(&mut self, op: &Op<'_>) -> Result<(), Error> {
        match &op.operator {
            Operator::Br { relative_depth } => {
                let depth = self.depth(*relative_depth)?;
                self.push(&I::Br(depth));
                self.is_reached = false;
            }
            Operator::BrIf { relative_depth } => {
                let depth = self.depth(*relative_depth)?;
                self.push(&I::BrIf(depth));
            }
            Operator::BrTable { targets } => {
                let mut depths = Vec::new();
                for target in targets.targets() {
                    depths.push(self.depth(target.map_err(Error::malformed)?)?);
                }
                let default = self.depth(targets.default())?;
                self.push(&I::BrTable(depths.into(), default));
                self.is_reached = false;
            }
            Operator::Return
            | Operator::Unreachable
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => {
                self.version.copy(op);
                self.is_reached = false;
            }
            operator => match reference_branch(operator)? {
                Some(branch) => {
                    let depth = self.depth(branch.depth)?;
                    self.push(&branch.to(depth));
                }
                None => self.version.copy(op),
            },
        }
        Ok(())
    }

    /// Takes operands off the stack in front of the label of an entry, which has no parameters.
    fn close_entry(&mut self, below: &[Operand], above: &[Operand]) {
        if self.is_reached {
            self.version.take(above);
            self.version.take(below);
        }
        if self.has_labels.last() == Some(&true) {
            self.push(&I::End);
            self.open -= 1;
        }
    }

    fn site(&mut self, op: &Op<'_>, number: usize) -> Result<(), Error> {
        let site = &self.plan().sites[number];
        self.close_entry(&site.below, &site.arguments);
        self.push(&I::I32Const(NO_SITE));
        self.push(&I::LocalSet(self.target));
        if !site.is_tail {
            self.version.give(&site.below)?;
        }
        self.version.give(&site.arguments)?;
        let versions = &self.version.context.versions;
        self.version
            .call(op, site, |callee| versions.restoring(callee));
        let depth = self.open.saturating_sub(SHARED_END_LABELS);
        self.version.leave_if_unwinding(number, depth)?;
        self.is_reached = !site.is_tail;
        if site.is_tail {
            self.push(&I::Return);
        }
        Ok(())
    }

    fn block(&mut self, position: usize, op: &Op<'_>, number: usize) -> Result<(), Error> {
        let block = &self.plan().blocks[number];
        self.close_entry(&block.below, block.condition.as_slice());
        if block.condition.is_some() {
            self.condition(block)?;
        }
        self.version.copy(op);
        self.open_label(position);
        if matches!(op.operator, Operator::Loop { .. }) {
            // By a branch from inside it.
            self.is_reached = true;
            self.go_on_at_loop(position);
        }
        self.open_level(block.level);
        Ok(())
    }

    /// Writes what stands at the head of a loop at which a fast version begins: where no call is
    /// being repeated, it goes on to that.
    fn go_on_at_loop(&mut self, position: usize) {
        let mut entries = self.entries.iter();
        let Some(entry) = entries.position(|entry| entry.position == position) else {
            return;
        };
        self.push(&I::LocalGet(self.target));
        self.push(&I::I32Const(0));
        self.push(&I::I32LtS);
        self.push(&I::If(BlockType::Empty));
        for local in 0..self.plan().own_locals as u32 {
            self.push(&I::LocalGet(local));
        }
        self.version.code.go_on_at_loop(entry);
        self.push(&I::End);
    }

    /// Writes the condition of an `if`: which of its branches the site is in, if there is one.
    fn condition(&mut self, block: &Block) -> Result<(), Error> {
        let has_sites = |level: usize| !self.plan().levels[level].entries.is_empty();
        let only_one = match (
            has_sites(block.level),
            block.otherwise.is_some_and(has_sites),
        ) {
            (true, true) => None,
            (first, _) => Some(first),
        };
        if self.is_reached {
            self.version.give(block.condition.as_slice())?;
        }
        match only_one {
            Some(first) => self.push(&I::I32Const(i32::from(first))),
            None => {
                self.push(&I::LocalGet(self.target));
                self.push(&I::I32Const(block.middle as i32));
                self.push(&I::I32LtS);
            }
        }
        if self.is_reached {
            self.push(&I::LocalGet(self.target));
            self.push(&I::I32Const(0));
            self.push(&I::I32LtS);
            self.push(&I::Select);
        }
        Ok(())
    }

    /// The block that a label belongs to, if it contains sites.
    fn block_of(&self, label: &Label) -> Option<&'p Block> {
        match self.plan().ops[label.start?].role {
            Role::Block(number) => Some(&self.plan().blocks[number]),
            _ => None,
        }
    }

    fn otherwise(&mut self, op: &Op<'_>) -> Result<(), Error> {
        let label = self.labels.last_mut().ok_or(UNBALANCED)?;
        label.has_else = true;
        // What the first branch leads to counts as a branch to the end.
        label.is_target |= self.is_reached;
        self.is_reached = label.is_entered;
        self.version.copy(op);
        let label = self.labels.last().ok_or(UNBALANCED)?;
        if let Some(level) = self.block_of(label).and_then(|block| block.otherwise) {
            self.has_labels.pop();
            self.open_level(level);
        }
        Ok(())
    }

    fn end(&mut self, op: &Op<'_>) -> Result<(), Error> {
        let label = self.labels.pop().ok_or(UNBALANCED)?;
        let Some(start) = label.start else {
            return self.version.end();
        };
        self.version.copy(op);
        self.open -= 1;
        let started = &self.plan().ops[start];
        self.is_reached |= match started.operator {
            Operator::Loop { .. } => false,
            Operator::If { .. } if !label.has_else => label.is_target || label.is_entered,
            _ => label.is_target,
        };
        let block = self.block_of(&label);
        if block.is_some() {
            self.has_labels.pop();
        }
        if !self.is_reached {
            self.push(&I::Unreachable);
        } else if let Some(block) = block.filter(|block| !block.below.is_empty()) {
            for (_, local) in block.results.iter().rev() {
                self.push(&I::LocalSet(*local));
            }
            self.version.give(&block.below)?;
            for (ty, local) in &block.results {
                self.push(&I::LocalGet(*local));
                if matches!(ty, ValType::Ref(ty) if !ty.is_nullable()) {
                    self.push(&I::RefAsNonNull);
                }
            }
        }
        Ok(())
    }

    /// Opens the label of an entry.
    pub(super) fn open_entry_label(&mut self) {
        self.push(&I::Block(BlockType::Empty));
        self.open += 1;
    }
}
