//! One body without exceptions.
//!
//! ```text
//!   try_table T (catch t L) BODY end        block T                    <- the old label
//!                                             block                    <- the landing pad
//!                                               BODY; br 1
//!                                             end
//!                                             pending == t ? -> clear; payload; br L
//!                                             br (landing pad outside, or the way out)
//!                                           end
//!   call f                                  call f; pending ? -> br (landing pad)
//!   throw t                                 payload and pending := …; br (landing pad)
//! ```
//!
//! The landing pad is the place where an exception is compared with the tags that are caught there.
//! That of the body itself is its end, which returns zeros. The older form has its handlers inside
//! of the instruction, and they stay there. A `delegate` says which landing pad the body of its
//! `try` has.

use std::collections::HashMap;

use wasm_encoder::reencode::Reencode;
use wasm_encoder::{BlockType, Function, Instruction as I, ValType};
use wasmparser::{
    Catch, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, ValidatorResources,
};

use super::globals::Globals;
use super::throwers::Throwers;
use super::try_blocks::TryBlocks;
use super::types::{BlockTypes, WithoutExceptions, lowered};
use super::writer::Writer;
use crate::analyze::scan::Scan;
use crate::analyze::types::{is_exception, is_exception_heap};
use crate::error::Error;
use crate::module::encode::zero;

/// What a block of the source has become.
enum Kind {
    /// The body itself.
    Function,
    /// A block that needs nothing at its end.
    Block,
    /// A `try_table`, with where its exceptions go.
    TryTable(Vec<CatchClause>),
    /// A `try` while its body is open; the local that keeps what a handler rethrows.
    Try(Option<u32>),
    /// A `try` while the handler of one tag is open.
    Handler(Option<u32>),
    /// A `try` while the handler of everything is open.
    HandlesAll(Option<u32>),
}

/// A clause of a `try_table`.
struct CatchClause {
    /// What it catches; `None` for everything.
    tag: Option<u32>,
    /// Whether it hands on a reference to the exception.
    reference: bool,
    /// The label that it branches to, counted from the outside.
    label: u32,
}

/// An open block of the source.
struct Frame {
    kind: Kind,
    /// The label that branches to it mean now, counted from the outside.
    label: u32,
    /// The label of the landing pad for what is thrown inside, counted likewise.
    pad: u32,
}

/// A body while it is rewritten.
pub(super) struct Lowering<'a> {
    scan: &'a Scan,
    throwers: &'a Throwers,
    types: &'a mut BlockTypes,
    frames: Vec<Frame>,
    out: Writer<'a>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        scan: &'a Scan,
        throwers: &'a Throwers,
        globals: &'a Globals,
        types: &'a mut BlockTypes,
    ) -> Self {
        Self {
            scan,
            throwers,
            types,
            frames: vec![Frame {
                kind: Kind::Function,
                label: 0,
                pad: 1,
            }],
            out: Writer::new(globals),
        }
    }

    /// Rewrites a body.
    pub(super) fn rewrite(
        mut self,
        body: &FunctionBody<'_>,
        to_validate: FuncToValidate<ValidatorResources>,
    ) -> Result<Function, Error> {
        let function = to_validate.index;
        let mut checked = to_validate.into_validator(FuncValidatorAllocations::default());
        let mut reader = body.get_binary_reader();
        checked.read_locals(&mut reader).map_err(Error::malformed)?;
        self.out.scratch = checked.len_locals();

        let operators = body.get_operators_reader().map_err(Error::malformed)?;
        let ops: Result<Vec<_>, _> = operators.into_iter_with_offsets().collect();
        let (ops, offsets): (Vec<_>, Vec<_>) = ops.map_err(Error::malformed)?.into_iter().unzip();
        let tries = TryBlocks::of(&ops)?;
        let kept = self.declare_locals(body, &tries)?;

        self.out.block(I::Block(BlockType::Empty));
        for (position, (op, offset)) in ops.iter().zip(offsets).enumerate() {
            if let Operator::RefIsNull = op {
                let operand = checked.get_operand_type(0).flatten();
                let exception = operand.is_none_or(is_exception);
                self.out.push(match exception {
                    true => I::I64Eqz,
                    false => I::RefIsNull,
                });
            } else if let (Operator::End, 1) = (op, self.frames.len()) {
                self.end_body(function)?;
            } else {
                let delegated = tries.delegated.get(&position).copied();
                self.op(op, delegated, kept.get(&position).copied())?;
            }
            checked.op(offset, op).map_err(Error::malformed)?;
        }
        Ok(self.out.code)
    }

    /// Declares the body's own locals, the scratch local, and one for each `try` whose exception is
    /// rethrown; gives those by the positions of the `try`s.
    fn declare_locals(
        &mut self,
        body: &FunctionBody<'_>,
        tries: &TryBlocks,
    ) -> Result<HashMap<usize, u32>, Error> {
        let mut locals = Vec::new();
        for local in body.get_locals_reader().map_err(Error::malformed)? {
            let (count, ty) = local.map_err(Error::malformed)?;
            locals.push((count, lowered(ty)?));
        }
        let mut rethrown: Vec<usize> = tries.rethrown.iter().copied().collect();
        rethrown.sort_unstable();
        locals.push((1 + rethrown.len() as u32, ValType::I64));
        self.out.code = Function::new(locals);
        Ok(rethrown.into_iter().zip(self.out.scratch + 1..).collect())
    }

    fn frame(&self, depth: u32) -> Result<&Frame, Error> {
        let position = self.frames.len().checked_sub(1 + depth as usize);
        position
            .map(|position| &self.frames[position])
            .ok_or(Error::Internal("a branch leads out of its function"))
    }

    /// The depth, in what is written, of the label at this depth of the source.
    fn target(&self, depth: u32) -> Result<u32, Error> {
        Ok(self.out.depth(self.frame(depth)?.label))
    }

    /// The landing pad for what is thrown here.
    fn pad(&self) -> u32 {
        self.frames.last().map_or(1, |frame| frame.pad)
    }

    /// Throws the packed exception in the scratch local.
    fn throw_packed(&mut self) -> Result<(), Error> {
        self.out.unpack()?;
        self.out.branch(self.pad());
        Ok(())
    }

    /// A block's type, and that of a block that takes the same and gives nothing.
    fn block_types(&mut self, ty: wasmparser::BlockType) -> Result<[BlockType; 2], Error> {
        let encoded = WithoutExceptions.block_type(ty).map_err(Error::encoding)?;
        let wasmparser::BlockType::FuncType(index) = ty else {
            return Ok([encoded, BlockType::Empty]);
        };
        let ty = self.scan.func_type(index);
        let taking = match ty.map_or(&[][..], |ty| ty.params()) {
            [] => BlockType::Empty,
            params => BlockType::FunctionType(self.types.taking(params)?),
        };
        Ok([encoded, taking])
    }

    /// Writes an instruction. Of a `try`, `delegated` has the label that its `delegate` names, and
    /// `kept` the local that keeps its exception.
    fn op(
        &mut self,
        op: &Operator<'_>,
        delegated: Option<u32>,
        kept: Option<u32>,
    ) -> Result<(), Error> {
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                let instruction = self.encoded(op)?;
                let pad = self.pad();
                let label = self.out.block(instruction);
                let kind = Kind::Block;
                self.frames.push(Frame { kind, label, pad });
            }
            Operator::TryTable { try_table } => {
                let clauses = try_table.catches.iter();
                let clauses = clauses.map(|catch| self.clause(catch));
                let clauses = clauses.collect::<Result<_, _>>()?;
                self.open_try(try_table.ty, Kind::TryTable(clauses))?;
            }
            Operator::Try { blockty } => match delegated {
                Some(depth) => {
                    let pad = self.frame(depth)?.pad;
                    let [ty, _] = self.block_types(*blockty)?;
                    let label = self.out.block(I::Block(ty));
                    let kind = Kind::Block;
                    self.frames.push(Frame { kind, label, pad });
                }
                None => self.open_try(*blockty, Kind::Try(kept))?,
            },
            Operator::Catch { .. } | Operator::CatchAll => self.handler(op)?,
            Operator::Delegate { .. } => {
                self.frames.pop();
                self.out.end();
            }
            Operator::End => self.close()?,
            Operator::Throw { .. } | Operator::ThrowRef | Operator::Rethrow { .. } => {
                self.throw(op)?;
            }
            Operator::Br { .. } | Operator::BrIf { .. } | Operator::BrTable { .. } => {
                self.branch_as_before(op)?;
            }
            Operator::Call { function_index } => {
                self.out.push(I::Call(*function_index));
                if self.throwers.may_throw(*function_index) {
                    self.out.leave_if_pending(self.pad());
                }
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            } => {
                self.out.push(I::CallIndirect {
                    type_index: *type_index,
                    table_index: *table_index,
                });
                if self.throwers.indirect_may_throw(*type_index, *table_index) {
                    self.out.leave_if_pending(self.pad());
                }
            }
            Operator::RefNull { hty } if is_exception_heap(*hty) => self.out.push(I::I64Const(0)),
            _ => {
                let instruction = self.encoded(op)?;
                self.out.push(instruction);
            }
        }
        Ok(())
    }

    fn clause(&self, catch: &Catch) -> Result<CatchClause, Error> {
        let (tag, reference, depth) = match *catch {
            Catch::One { tag, label } => (Some(tag), false, label),
            Catch::OneRef { tag, label } => (Some(tag), true, label),
            Catch::All { label } => (None, false, label),
            Catch::AllRef { label } => (None, true, label),
        };
        let label = self.frame(depth)?.label;
        Ok(CatchClause {
            tag,
            reference,
            label,
        })
    }

    /// Writes what throws an exception.
    fn throw(&mut self, op: &Operator<'_>) -> Result<(), Error> {
        match op {
            Operator::Throw { tag_index } => {
                self.out.set_pending(*tag_index);
                self.out.branch(self.pad());
                Ok(())
            }
            Operator::Rethrow { relative_depth } => {
                let (Kind::Handler(Some(kept)) | Kind::HandlesAll(Some(kept))) =
                    self.frame(*relative_depth)?.kind
                else {
                    return Err(Error::Internal(
                        "a `rethrow` has no exception that was kept",
                    ));
                };
                self.out.push(I::LocalGet(kept));
                self.out.push(I::LocalSet(self.out.scratch));
                self.throw_packed()
            }
            _ => {
                self.out.push(I::LocalTee(self.out.scratch));
                self.out.push(I::I64Eqz);
                self.out.push(I::If(BlockType::Empty));
                self.out.push(I::Unreachable);
                self.out.push(I::End);
                self.throw_packed()
            }
        }
    }

    /// Writes a branch to the labels that it had in the source.
    fn branch_as_before(&mut self, op: &Operator<'_>) -> Result<(), Error> {
        match op {
            Operator::Br { relative_depth } => {
                let depth = self.target(*relative_depth)?;
                self.out.push(I::Br(depth));
            }
            Operator::BrIf { relative_depth } => {
                let depth = self.target(*relative_depth)?;
                self.out.push(I::BrIf(depth));
            }
            Operator::BrTable { targets } => {
                let mut depths = Vec::new();
                for target in targets.targets() {
                    depths.push(self.target(target.map_err(Error::malformed)?)?);
                }
                let default = self.target(targets.default())?;
                self.out.push(I::BrTable(depths.into(), default));
            }
            _ => {}
        }
        Ok(())
    }

    fn encoded<'o>(&self, op: &Operator<'o>) -> Result<I<'o>, Error> {
        WithoutExceptions
            .instruction(op.clone())
            .map_err(Error::encoding)
    }

    /// Opens the two blocks of a `try`: the one that has its label, and the one that ends at the
    /// landing pad.
    fn open_try(&mut self, ty: wasmparser::BlockType, kind: Kind) -> Result<(), Error> {
        let [ty, taking] = self.block_types(ty)?;
        let label = self.out.block(I::Block(ty));
        let pad = self.out.block(I::Block(taking));
        self.frames.push(Frame { kind, label, pad });
        Ok(())
    }

    /// Ends the body of a `try` or its handler before, and starts the next handler.
    fn handler(&mut self, op: &Operator<'_>) -> Result<(), Error> {
        let Frame { kind, label, .. } = self.pop()?;
        let (Kind::Try(kept) | Kind::Handler(kept)) = kind else {
            return Err(Error::Internal("a handler stands outside of a `try`"));
        };
        let pad = self.pad();
        self.out.branch(label);
        self.out.end();
        let tag = match op {
            Operator::Catch { tag_index } => Some(*tag_index),
            _ => None,
        };
        if let Some(tag) = tag {
            self.out.if_pending(tag);
        }
        if let Some(kept) = kept {
            self.out.pack()?;
            self.out.push(I::LocalSet(kept));
        }
        self.out.clear();
        if let Some(tag) = tag {
            self.out.payload(tag);
        }
        let kind = match tag {
            Some(_) => Kind::Handler(kept),
            None => Kind::HandlesAll(kept),
        };
        self.frames.push(Frame { kind, label, pad });
        Ok(())
    }

    /// Ends a block of the source.
    fn close(&mut self) -> Result<(), Error> {
        let Frame { kind, label, .. } = self.pop()?;
        let outside = self.pad();
        match kind {
            Kind::Function | Kind::Block | Kind::HandlesAll(_) => {}
            Kind::Try(_) | Kind::Handler(_) => {
                self.out.branch(label);
                self.out.end();
                self.out.branch(outside);
            }
            Kind::TryTable(clauses) => {
                self.out.branch(label);
                self.out.end();
                for clause in clauses {
                    self.catch(&clause)?;
                }
                self.out.branch(outside);
            }
        }
        self.out.end();
        Ok(())
    }

    /// Writes the landing pad's part for one clause.
    fn catch(&mut self, clause: &CatchClause) -> Result<(), Error> {
        match clause.tag {
            Some(tag) => {
                self.out.if_pending(tag);
                self.out.payload(tag);
            }
            None => {
                self.out.block(I::Block(BlockType::Empty));
            }
        }
        if clause.reference {
            self.out.pack()?;
        }
        self.out.clear();
        self.out.branch(clause.label);
        self.out.end();
        Ok(())
    }

    /// Ends the body: behind the return stands its landing pad. A caller of the guest's finds the
    /// exception in `pending`; the host would not look there, so that an entry traps.
    fn end_body(&mut self, function: u32) -> Result<(), Error> {
        self.frames.pop();
        self.out.push(I::Return);
        self.out.end();
        if self.throwers.is_entry(function) {
            self.out.push(I::Unreachable);
        } else {
            let ty = self.scan.type_of(function);
            for ty in ty.map_or(&[][..], |ty| ty.results()) {
                self.out.push(zero(lowered(*ty)?));
            }
        }
        self.out.end();
        Ok(())
    }

    fn pop(&mut self) -> Result<Frame, Error> {
        let frame = self.frames.pop();
        frame.ok_or(Error::Internal("a block ends that was not opened"))
    }
}
