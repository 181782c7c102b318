//! What the writing of both versions has in common.

use wasm_encoder::{BlockType, Instruction as I};
use wasmparser::{Operator, ValType};

use super::code::Code;
use super::context::Context;
use super::plan::{Home, Op, Operand, Plan, Site};
use crate::error::Error;
use crate::module::encode::{encoded_type, zero};

/// Asyncify's state while frames are saved. It is 0 in between, and 2 while they are restored.
const UNWINDING: i32 = 1;

/// One version of a function while it is written.
pub(super) struct Version<'a, 'p> {
    pub context: &'p Context<'a>,
    pub plan: &'p Plan<'a>,
    pub function: u32,
    pub code: Code,
    /// How its frames are saved.
    saving: Saving,
    /// Whether each site sets to zero what does not matter at it.
    sets_to_zero: bool,
}

/// The labels that are open in the block that is left to save the frame: the function's own and
/// that of the block.
pub(super) const SHARED_END_LABELS: u32 = 2;

/// How a version saves its frames.
#[derive(Clone, Copy)]
pub(super) enum Saving {
    /// By stores, with this local for the stack's end.
    Stores(u32),
    /// By calls.
    Calls,
}

/// How many locals all sites of a body together may set to zero, for each of its instructions.
/// With many locals and many sites these instructions would be most of the code. What compilers
/// write has less than one.
const MAX_ZEROS_PER_INSTRUCTION: usize = 4;

/// Whether each site sets to zero what does not matter at it. Slow versions do not: how fast they
/// are matters less than how large.
fn sets_to_zero(plan: &Plan<'_>, saving: Saving) -> bool {
    let zeros = plan
        .sites
        .iter()
        .map(|site| plan.frame.without(&site.saved));
    let zeros: usize = zeros.map(Iterator::count).sum();
    match saving {
        Saving::Stores(_) => zeros <= plan.ops.len() * MAX_ZEROS_PER_INSTRUCTION,
        Saving::Calls => false,
    }
}

impl<'a, 'p> Version<'a, 'p> {
    /// Starts a version. `locals` are those that are no parameters.
    pub(super) fn new(
        context: &'p Context<'a>,
        plan: &'p Plan<'a>,
        function: u32,
        locals: &[ValType],
        saving: Saving,
    ) -> Result<Self, Error> {
        Ok(Self {
            context,
            plan,
            function,
            code: Code::with_locals(locals)?,
            saving,
            sets_to_zero: sets_to_zero(plan, saving),
        })
    }

    /// Whether the frame is saved at one place for all sites. It is a block around the body, which
    /// is left with the number of the site.
    pub(super) fn has_shared_end(&self) -> bool {
        self.plan.sites.len() > 1
    }

    /// Starts the block that is left to save the frame, if there is one.
    pub(super) fn open_shared_end(&mut self) {
        if self.has_shared_end() {
            let number = BlockType::Result(wasm_encoder::ValType::I32);
            self.code.push(&I::Block(number));
        }
    }

    /// Ends the body.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        if self.has_shared_end() {
            self.code.push(&I::Return);
            self.code.push(&I::End);
            self.save()?;
        }
        self.code.push(&I::End);
        Ok(())
    }

    /// Copies an instruction.
    pub(super) fn copy(&mut self, op: &Op<'_>) {
        self.code.copy(&self.context.wasm[op.start..op.end]);
    }

    /// Takes operands off the stack, the last one first, so that each can be had in its home.
    pub(super) fn take(&mut self, operands: &[Operand]) {
        for operand in operands.iter().rev() {
            match operand.home {
                Home::Local(local) if operand.is_new => self.code.push(&I::LocalSet(local)),
                _ => self.code.push(&I::Drop),
            }
        }
    }

    /// Puts operands on the stack from their homes.
    pub(super) fn give(&mut self, operands: &[Operand]) -> Result<(), Error> {
        for operand in operands {
            match operand.home {
                Home::Local(local) => self.code.push(&I::LocalGet(local)),
                Home::Constant(start, end) => self.code.copy(&self.context.wasm[start..end]),
                Home::Stack => return Err(Error::Internal("an operand at a call has no home")),
            }
        }
        Ok(())
    }

    /// Writes the test behind a call whether it has started to unwind, and what is done then: the
    /// frame is saved, and the function returns. `depth` is that of the block around the body.
    pub(super) fn leave_if_unwinding(&mut self, number: usize, depth: u32) -> Result<(), Error> {
        self.code.push(&I::GlobalGet(self.context.state));
        self.code.push(&I::If(BlockType::Empty));
        self.leave(number, depth + 1)?;
        self.code.push(&I::End);
        Ok(())
    }

    fn leave(&mut self, number: usize, depth: u32) -> Result<(), Error> {
        let site = &self.plan.sites[number];
        if self.sets_to_zero {
            for local in self.plan.frame.without(&site.saved) {
                let ty = self.plan.locals[local as usize];
                self.code.push(&zero(encoded_type(ty)?));
                self.code.push(&I::LocalSet(local));
            }
        }
        // A function has fewer instructions than that.
        self.code.push(&I::I32Const(number as i32));
        match self.has_shared_end() {
            true => self.code.push(&I::Br(depth)),
            false => {
                self.save()?;
                self.code.push(&I::Return);
            }
        }
        Ok(())
    }

    /// Saves the frame, and gives what the function returns, which does not matter.
    fn save(&mut self) -> Result<(), Error> {
        let (frame, types) = (&self.plan.frame, &self.plan.locals);
        match self.saving {
            Saving::Stores(end) => {
                frame.store(types, self.context.stack, end, &mut self.code);
            }
            Saving::Calls => frame.save(types, &mut self.code),
        }
        let ty = self.context.calls.scan.type_of(self.function);
        for ty in ty.map_or(&[][..], |ty| ty.results()) {
            self.code.push(&zero(encoded_type(*ty)?));
        }
        Ok(())
    }

    /// Writes a check (`preempt`) in the fast version: where the host has set the flag, the guest
    /// starts to unwind by itself.
    pub(super) fn check(&mut self, number: usize, depth: u32) -> Result<(), Error> {
        self.context.load_flag(&mut self.code);
        self.code.push(&I::If(BlockType::Empty));
        self.code.push(&I::I32Const(UNWINDING));
        self.code.push(&I::GlobalSet(self.context.state));
        self.leave(number, depth + 1)?;
        self.code.push(&I::End);
        Ok(())
    }

    /// Writes the call of a site, where a direct call goes to the function that `callee` gives.
    pub(super) fn call(&mut self, op: &Op<'_>, site: &Site, callee: impl Fn(u32) -> u32) {
        match op.operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                self.code.push(&I::Call(callee(function_index)));
            }
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => self.code.push(&I::CallIndirect {
                type_index,
                table_index,
            }),
            _ => {
                debug_assert!(site.is_indirect);
                self.copy(op);
            }
        }
    }
}
