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

use wasm_encoder::Instruction as I;
use wasmparser::{Operator, ValType};

use super::code::Code;
use super::context::Context;
use super::enter;
use super::plan::{Home, Op, Operand, Plan, Role, Site};
use super::version::{Saving, Version};
use crate::error::Error;

/// Writes the fast version of a function.
pub(super) fn write<'a>(
    context: &Context<'a>,
    plan: &Plan<'a>,
    function: u32,
) -> Result<Code, Error> {
    let saving = Saving::Stores(plan.locals.len() as u32);
    let mut version = Version::new(context, plan, function, &[ValType::I32], saving)?;
    enter::go_on_to_slow(context, function, &mut version.code);
    version.open_shared_end();
    let mut fast = Fast {
        version,
        open: 0,
        run: 0..0,
    };
    for op in &plan.ops {
        fast.step(op)?;
    }
    Ok(fast.version.code)
}

/// A fast version while it is written.
struct Fast<'a, 'p> {
    version: Version<'a, 'p>,
    /// How many blocks of the source are open.
    open: u32,
    /// Instructions in a row that are going to be copied together, by their place in the module.
    run: Range<usize>,
}

impl Fast<'_, '_> {
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
                self.open += 1;
            }
            (_, Operator::End) if self.open == 0 => {
                self.copy_run();
                self.version.end()?;
            }
            (_, operator) => {
                match operator {
                    Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                        self.open += 1;
                    }
                    Operator::End => self.open -= 1,
                    _ => {}
                }
                if !self.leaves_function(op)? {
                    self.copy(op);
                }
            }
        }
        Ok(())
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

    /// Writes a branch to the function's own label, which is a block further away than in the
    /// source; says whether it was one.
    fn leaves_function(&mut self, op: &Op<'_>) -> Result<bool, Error> {
        if !self.version.has_shared_end() {
            return Ok(false);
        }
        let open = self.open;
        let depth = |depth: u32| depth + u32::from(depth == open);
        let branch = match &op.operator {
            Operator::Br { relative_depth } if *relative_depth == open => I::Br(open + 1),
            Operator::BrIf { relative_depth } if *relative_depth == open => I::BrIf(open + 1),
            Operator::BrTable { targets } => {
                let mut depths = Vec::new();
                for target in targets.targets() {
                    depths.push(depth(target.map_err(Error::malformed)?));
                }
                I::BrTable(depths.into(), depth(targets.default()))
            }
            _ => return Ok(false),
        };
        self.copy_run();
        self.version.code.push(&branch);
        Ok(true)
    }

    fn site(&mut self, op: &Op<'_>, number: usize) -> Result<(), Error> {
        let site = &self.version.plan.sites[number];
        if !self.give_homes(&site.below, &site.arguments)? {
            self.keep_index(site);
        }
        let check = self.version.context.versions.check;
        if matches!(op.operator, Operator::Call { function_index } if Some(function_index) == check)
        {
            return self.version.check(number, self.open);
        }
        self.version.call(op, site, |callee| callee);
        self.version.leave_if_unwinding(number, self.open)?;
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
