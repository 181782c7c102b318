//! What the writing of both versions has in common.

use wasm_encoder::{BlockType, Instruction as I};
use wasmparser::Operator;

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
}

impl<'a, 'p> Version<'a, 'p> {
    /// Starts a version, whose parameters are the first of the plan's locals.
    pub(super) fn new(
        context: &'p Context<'a>,
        plan: &'p Plan<'a>,
        function: u32,
        more_locals: &[wasmparser::ValType],
    ) -> Result<Self, Error> {
        let ty = context.calls.scan.type_of(function);
        let parameters = ty.map_or(0, |ty| ty.params().len());
        let locals = [&plan.locals[parameters..], more_locals].concat();
        Ok(Self {
            context,
            plan,
            function,
            code: Code::with_locals(&locals)?,
        })
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
    /// frame is saved, and the function returns. What it returns does not matter.
    pub(super) fn leave_if_unwinding(&mut self, number: usize) -> Result<(), Error> {
        self.code.push(&I::GlobalGet(self.context.state));
        self.code.push(&I::If(BlockType::Empty));
        self.leave(number)?;
        self.code.push(&I::End);
        Ok(())
    }

    fn leave(&mut self, number: usize) -> Result<(), Error> {
        let site = &self.plan.sites[number];
        // A function has fewer instructions than that.
        site.frame
            .save(number as u32, &self.plan.locals, &mut self.code);
        let ty = self.context.calls.scan.type_of(self.function);
        for ty in ty.map_or(&[][..], |ty| ty.results()) {
            self.code.push(&zero(encoded_type(*ty)?));
        }
        self.code.push(&I::Return);
        Ok(())
    }

    /// Writes a check (`preempt`) in the fast version: where the host has set the flag, the guest
    /// starts to unwind by itself.
    pub(super) fn check(&mut self, number: usize) -> Result<(), Error> {
        self.context.load_flag(&mut self.code);
        self.code.push(&I::If(BlockType::Empty));
        self.code.push(&I::I32Const(UNWINDING));
        self.code.push(&I::GlobalSet(self.context.state));
        self.leave(number)?;
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
