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
//! The older form has its handlers inside of the instruction, and they stay there. `delegate` says
//! which landing pad its body has.

use std::collections::HashMap;

use wasm_encoder::reencode::Reencode;
use wasm_encoder::{BlockType, Function, Instruction as I, ValType};
use wasmparser::{
    Catch, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, ValidatorResources,
};

use super::tries::Tries;
use super::{Globals, Thrown, Types, WithoutExceptions, is_exception};
use crate::Error;

/// What a frame of the source has become.
enum Kind {
    /// The body itself.
    Function,
    /// Whatever needs nothing at its end.
    Block,
    /// A `try_table`, with where its exceptions go.
    TryTable(Vec<(Option<u32>, bool, u32)>),
    /// A `try` while its body is open; the local that keeps what a handler throws again.
    Try(Option<u32>),
    /// A `try` while the handler of one tag is open.
    Handler(Option<u32>),
    /// A `try` while the handler of everything is open.
    HandlesAll(Option<u32>),
}

/// An open block of the source.
struct Frame {
    kind: Kind,
    /// The label that branches to it now mean, counted from the outside.
    label: u32,
    /// The label of the landing pad for what is thrown inside, counted likewise.
    pad: u32,
}

/// A body while it is rewritten.
pub(super) struct Lowering<'a> {
    pub thrown: &'a Thrown<'a>,
    pub globals: &'a Globals,
    pub types: &'a mut Types,
    /// Whether the host calls it: what it throws is caught by nobody.
    pub entry: bool,
    frames: Vec<Frame>,
    /// How many blocks are open now.
    open: u32,
    code: Function,
    /// A local for a packed exception.
    scratch: u32,
}

impl<'a> Lowering<'a> {
    /// The body of the function with this type.
    pub(super) fn rewrite(
        thrown: &'a Thrown<'a>,
        globals: &'a Globals,
        types: &'a mut Types,
        entry: bool,
        body: &FunctionBody<'_>,
        to_validate: FuncToValidate<ValidatorResources>,
    ) -> Result<Function, Error> {
        let ty = thrown.scan.func_type(to_validate.ty);
        let results = ty.map_or(&[][..], |ty| ty.results());
        let mut checked = to_validate.into_validator(FuncValidatorAllocations::default());
        let mut reader = body.get_binary_reader();
        checked.read_locals(&mut reader).map_err(Error::malformed)?;
        let first_added = checked.len_locals();

        let operators = body.get_operators_reader().map_err(Error::malformed)?;
        let ops: Result<Vec<_>, _> = operators.into_iter_with_offsets().collect();
        let (ops, offsets): (Vec<_>, Vec<_>) = ops.map_err(Error::malformed)?.into_iter().unzip();
        let tries = Tries::of(&ops)?;
        let mut locals = Vec::new();
        for local in body.get_locals_reader().map_err(Error::malformed)? {
            let (count, ty) = local.map_err(Error::malformed)?;
            locals.push((
                count,
                WithoutExceptions.val_type(ty).map_err(super::encode)?,
            ));
        }
        let mut added = tries.rethrown.iter().copied().collect::<Vec<_>>();
        added.sort_unstable();
        locals.push((1 + added.len() as u32, ValType::I64));
        let kept: HashMap<usize, u32> = added.into_iter().zip(first_added + 1..).collect();

        let mut lowering = Lowering {
            thrown,
            globals,
            types,
            entry,
            frames: vec![Frame {
                kind: Kind::Function,
                label: 0,
                pad: 1,
            }],
            open: 1,
            code: Function::new(locals),
            scratch: first_added,
        };
        lowering.block(I::Block(BlockType::Empty));
        for (place, (op, offset)) in ops.iter().zip(offsets).enumerate() {
            if let Operator::RefIsNull = op {
                let operand = checked.get_operand_type(0).flatten();
                let exception = operand.is_none_or(is_exception);
                lowering.push(match exception {
                    true => I::I64Eqz,
                    false => I::RefIsNull,
                });
            } else {
                let kept = kept.get(&place).copied();
                lowering.op(op, tries.delegated.get(&place).copied(), kept, results)?;
            }
            checked.op(offset, op).map_err(Error::malformed)?;
        }
        Ok(lowering.code)
    }

    fn push(&mut self, instruction: I<'_>) {
        self.code.instruction(&instruction);
    }

    /// Opens a block, and gives its label.
    fn block(&mut self, instruction: I<'_>) -> u32 {
        self.push(instruction);
        self.open += 1;
        self.open - 1
    }

    fn end(&mut self) {
        self.push(I::End);
        self.open -= 1;
    }

    /// How far away a label is.
    fn depth(&self, label: u32) -> u32 {
        self.open - 1 - label
    }

    fn branch(&mut self, label: u32) {
        let depth = self.depth(label);
        self.push(I::Br(depth));
    }

    fn frame(&self, depth: u32) -> Result<&Frame, Error> {
        let place = self.frames.len().checked_sub(1 + depth as usize);
        place
            .map(|place| &self.frames[place])
            .ok_or(Error::Binaryen)
    }

    fn target(&self, depth: u32) -> Result<u32, Error> {
        Ok(self.depth(self.frame(depth)?.label))
    }

    fn pad(&self) -> u32 {
        self.frames.last().map_or(1, |frame| frame.pad)
    }

    /// Leaves for the landing pad, if an exception is on its way.
    fn check(&mut self) {
        let depth = self.depth(self.pad());
        self.push(I::GlobalGet(self.globals.pending));
        self.push(I::BrIf(depth));
    }

    fn clear(&mut self) {
        self.push(I::I32Const(0));
        self.push(I::GlobalSet(self.globals.pending));
    }

    /// Opens the code for one tag, if that is the one on its way.
    fn if_pending(&mut self, tag: u32) {
        self.push(I::GlobalGet(self.globals.pending));
        self.push(I::I32Const(Globals::number(tag)));
        self.push(I::I32Eq);
        self.block(I::If(BlockType::Empty));
    }

    fn payload(&mut self, tag: u32) {
        for global in &self.globals.payloads[tag as usize] {
            self.code.instruction(&I::GlobalGet(*global));
        }
    }

    /// The exception on its way as a number: its tag above, what it carries below.
    fn pack(&mut self) -> Result<(), Error> {
        let carried = self.globals.packed()?;
        self.push(I::GlobalGet(self.globals.pending));
        self.push(I::I64ExtendI32U);
        self.push(I::I64Const(32));
        self.push(I::I64Shl);
        if let Some(carried) = carried {
            self.push(I::GlobalGet(carried));
            self.push(I::I64ExtendI32U);
            self.push(I::I64Or);
        }
        Ok(())
    }

    /// Throws what the scratch local holds.
    fn throw_packed(&mut self) -> Result<(), Error> {
        let scratch = self.scratch;
        if let Some(carried) = self.globals.packed()? {
            self.push(I::LocalGet(scratch));
            self.push(I::I32WrapI64);
            self.push(I::GlobalSet(carried));
        }
        self.push(I::LocalGet(scratch));
        self.push(I::I64Const(32));
        self.push(I::I64ShrU);
        self.push(I::I32WrapI64);
        self.push(I::GlobalSet(self.globals.pending));
        self.branch(self.pad());
        Ok(())
    }

    /// A block's type, and that of a block which takes the same and gives nothing.
    fn block_types(&mut self, ty: wasmparser::BlockType) -> Result<[BlockType; 2], Error> {
        let encoded = WithoutExceptions.block_type(ty).map_err(super::encode)?;
        let wasmparser::BlockType::FuncType(index) = ty else {
            return Ok([encoded, BlockType::Empty]);
        };
        let ty = self.thrown.scan.func_type(index).ok_or(Error::Binaryen)?;
        let taking = match ty.params() {
            [] => BlockType::Empty,
            params => BlockType::FunctionType(self.types.taking(params)?),
        };
        Ok([encoded, taking])
    }

    fn op(
        &mut self,
        op: &Operator<'_>,
        delegated: Option<u32>,
        kept: Option<u32>,
        results: &[wasmparser::ValType],
    ) -> Result<(), Error> {
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                let instruction = self.encoded(op)?;
                let pad = self.pad();
                let label = self.block(instruction);
                let kind = Kind::Block;
                self.frames.push(Frame { kind, label, pad });
            }
            Operator::TryTable { try_table } => {
                let mut catches = Vec::new();
                for catch in &try_table.catches {
                    let (tag, reference, label) = match *catch {
                        Catch::One { tag, label } => (Some(tag), false, label),
                        Catch::OneRef { tag, label } => (Some(tag), true, label),
                        Catch::All { label } => (None, false, label),
                        Catch::AllRef { label } => (None, true, label),
                    };
                    catches.push((tag, reference, self.frame(label)?.label));
                }
                self.open_try(try_table.ty, Kind::TryTable(catches))?;
            }
            Operator::Try { blockty } => match delegated {
                Some(depth) => {
                    let pad = self.frame(depth)?.pad;
                    let [ty, _] = self.block_types(*blockty)?;
                    let label = self.block(I::Block(ty));
                    let kind = Kind::Block;
                    self.frames.push(Frame { kind, label, pad });
                }
                None => self.open_try(*blockty, Kind::Try(kept))?,
            },
            Operator::Catch { .. } | Operator::CatchAll => self.handler(op)?,
            Operator::Delegate { .. } => {
                self.frames.pop();
                self.end();
            }
            Operator::End => self.close(results)?,
            Operator::Throw { tag_index } => {
                for global in self.globals.payloads[*tag_index as usize].iter().rev() {
                    self.code.instruction(&I::GlobalSet(*global));
                }
                self.push(I::I32Const(Globals::number(*tag_index)));
                self.push(I::GlobalSet(self.globals.pending));
                self.branch(self.pad());
            }
            Operator::ThrowRef => {
                self.push(I::LocalTee(self.scratch));
                self.push(I::I64Eqz);
                self.push(I::If(BlockType::Empty));
                self.push(I::Unreachable);
                self.push(I::End);
                self.throw_packed()?;
            }
            Operator::Rethrow { relative_depth } => {
                let kept = match self.frame(*relative_depth)?.kind {
                    Kind::Handler(kept) | Kind::HandlesAll(kept) => kept,
                    _ => None,
                };
                self.push(I::LocalGet(kept.ok_or(Error::Binaryen)?));
                self.push(I::LocalSet(self.scratch));
                self.throw_packed()?;
            }
            Operator::Br { relative_depth } => {
                let depth = self.target(*relative_depth)?;
                self.push(I::Br(depth));
            }
            Operator::BrIf { relative_depth } => {
                let depth = self.target(*relative_depth)?;
                self.push(I::BrIf(depth));
            }
            Operator::BrTable { targets } => {
                let mut depths = Vec::new();
                for target in targets.targets() {
                    depths.push(self.target(target.map_err(Error::malformed)?)?);
                }
                let default = self.target(targets.default())?;
                self.push(I::BrTable(depths.into(), default));
            }
            Operator::Call { function_index } => {
                self.push(I::Call(*function_index));
                if self.thrown.graph.may_suspend(*function_index) {
                    self.check();
                }
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            } => {
                self.push(I::CallIndirect {
                    type_index: *type_index,
                    table_index: *table_index,
                });
                let graph = self.thrown.graph;
                if graph.indirect_may_suspend(*type_index, *table_index) {
                    self.check();
                }
            }
            Operator::RefNull { hty } if super::is_exception_heap(*hty) => {
                self.push(I::I64Const(0))
            }
            _ => {
                let instruction = self.encoded(op)?;
                self.push(instruction);
            }
        }
        Ok(())
    }

    fn encoded<'o>(&self, op: &Operator<'o>) -> Result<I<'o>, Error> {
        WithoutExceptions
            .instruction(op.clone())
            .map_err(super::encode)
    }

    fn open_try(&mut self, ty: wasmparser::BlockType, kind: Kind) -> Result<(), Error> {
        let [ty, taking] = self.block_types(ty)?;
        let label = self.block(I::Block(ty));
        let pad = self.block(I::Block(taking));
        self.frames.push(Frame { kind, label, pad });
        Ok(())
    }

    /// The start of a handler of a `try`.
    fn handler(&mut self, op: &Operator<'_>) -> Result<(), Error> {
        let Frame { kind, label, .. } = self.frames.pop().ok_or(Error::Binaryen)?;
        let (Kind::Try(kept) | Kind::Handler(kept)) = kind else {
            return Err(Error::Binaryen);
        };
        let pad = self.pad();
        self.branch(label);
        self.end();
        let tag = match op {
            Operator::Catch { tag_index } => Some(*tag_index),
            _ => None,
        };
        if let Some(tag) = tag {
            self.if_pending(tag);
        }
        if let Some(kept) = kept {
            self.pack()?;
            self.push(I::LocalSet(kept));
        }
        self.clear();
        if let Some(tag) = tag {
            self.payload(tag);
        }
        let kind = match tag {
            Some(_) => Kind::Handler(kept),
            None => Kind::HandlesAll(kept),
        };
        self.frames.push(Frame { kind, label, pad });
        Ok(())
    }

    fn close(&mut self, results: &[wasmparser::ValType]) -> Result<(), Error> {
        let Frame { kind, label, .. } = self.frames.pop().ok_or(Error::Binaryen)?;
        let outside = self.pad();
        match kind {
            Kind::Function => {
                self.push(I::Return);
                self.end();
                if self.entry {
                    self.push(I::Unreachable);
                } else {
                    for ty in results {
                        let ty = WithoutExceptions.val_type(*ty).map_err(super::encode)?;
                        self.push(super::zero(ty));
                    }
                }
            }
            Kind::Block | Kind::HandlesAll(_) => {}
            Kind::Try(_) | Kind::Handler(_) => {
                self.branch(label);
                self.end();
                self.branch(outside);
            }
            Kind::TryTable(catches) => {
                self.branch(label);
                self.end();
                for (tag, reference, target) in catches {
                    match tag {
                        Some(tag) => {
                            self.if_pending(tag);
                            self.payload(tag);
                        }
                        None => {
                            self.block(I::Block(BlockType::Empty));
                        }
                    }
                    if reference {
                        self.pack()?;
                    }
                    self.clear();
                    self.branch(target);
                    self.end();
                }
                self.branch(outside);
            }
        }
        self.end();
        Ok(())
    }
}
