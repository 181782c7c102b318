//! Fast versions: the source's own bodies, byte for byte, with a test behind each call that may
//! suspend.
//!
//! ```text
//!   …             …
//!   (call $f)     (call $f)
//!                 (if (global.get $state) (then save locals and the site's number; return))
//!   …             …
//! ```
//!
//! Operands that lie below the call's arguments, or below a block around the call, are in locals
//! too. The compiler sees that a value is in two places, and keeps one.

use wasm_encoder::Instruction as I;
use wasmparser::Operator;

use super::code::Code;
use super::context::Context;
use super::enter;
use super::plan::{Home, Op, Operand, Plan, Role, Site};
use super::version::Version;
use crate::error::Error;

/// Writes the fast version of a function, which is `body` in the module, from byte to byte.
pub(super) fn write<'a>(
    context: &Context<'a>,
    plan: &Plan<'a>,
    function: u32,
    end: usize,
) -> Result<Code, Error> {
    let mut fast = Version::new(context, plan, function, &[])?;
    enter::go_on_to_slow(context, function, &mut fast.code);
    let mut copied = plan.ops.first().map_or(end, |op| op.start);
    for op in &plan.ops {
        if op.role == Role::Plain {
            continue;
        }
        fast.code.copy(&context.wasm[copied..op.start]);
        match op.role {
            Role::Site(number) => fast.site(op, number)?,
            Role::Block(number) => {
                let block = &plan.blocks[number];
                let condition = block.condition.as_slice();
                fast.give_homes(&block.below, condition)?;
                fast.copy(op);
            }
            Role::Plain => {}
        }
        copied = op.end;
    }
    fast.code.copy(&context.wasm[copied..end]);
    Ok(fast.code)
}

impl Version<'_, '_> {
    fn site(&mut self, op: &Op<'_>, number: usize) -> Result<(), Error> {
        let site = &self.plan.sites[number];
        if !self.give_homes(&site.below, &site.arguments)? {
            self.keep_index(site);
        }
        let check = self.context.versions.check;
        if matches!(op.operator, Operator::Call { function_index } if Some(function_index) == check)
        {
            return self.check(number);
        }
        self.call(op, site, |callee| callee);
        self.leave_if_unwinding(number)?;
        if site.is_tail {
            self.code.push(&I::Return);
        }
        Ok(())
    }

    /// Puts operands into their homes that are in none yet, where others lie above them. Gives
    /// whether there were any.
    fn give_homes(&mut self, below: &[Operand], above: &[Operand]) -> Result<bool, Error> {
        let Some(first) = below.iter().position(|operand| operand.is_new) else {
            return Ok(false);
        };
        self.take(above);
        self.take(&below[first..]);
        self.give(&below[first..])?;
        self.give(above)?;
        Ok(true)
    }

    /// Puts the index of an indirect call into its home. It is the topmost operand.
    fn keep_index(&mut self, site: &Site) {
        if site.is_indirect
            && let Some(index) = site.arguments.last()
            && index.is_new
            && let Home::Local(local) = index.home
        {
            self.code.push(&I::LocalTee(local));
        }
    }
}
