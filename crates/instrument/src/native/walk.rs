//! Makes the plan of a body: one walk forward, which follows the operand stack.

use std::collections::HashMap;

use wasmparser::{
    BlockType, FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody, Operator,
    ValType, ValidatorResources,
};

use super::frame::Frame;
use super::liveness;
use super::plan::{
    Block, Call, Calls, Home, Level, Op, Operand, Plan, Role, Site, has_value_unset, locals,
    nullable,
};
use crate::error::Error;

/// The locals that a function may have, with its parameters: a limit of every engine.
const MAX_LOCALS: usize = 50_000;

/// Makes the plan of a body.
pub(super) fn plan<'a>(
    types: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'a>,
    calls: Calls<'_>,
) -> Result<Plan<'a>, Error> {
    let decoded = Decoded::of(body, calls)?;
    let locals = locals(calls.scan, types.index, body)?;
    let mut validator = types.into_validator(FuncValidatorAllocations::default());
    validator
        .read_locals(&mut body.get_binary_reader())
        .map_err(Error::malformed)?;
    let mut walk = Walk {
        calls,
        validator,
        operands: Vec::new(),
        open: vec![Open::body()],
        unreachable: 0,
        spills: HashMap::new(),
        plan: Plan {
            ops: Vec::with_capacity(decoded.ops.len()),
            sites: Vec::new(),
            blocks: Vec::new(),
            levels: vec![Level::default()],
            frame: Frame::default(),
            own_locals: locals.len(),
            locals,
        },
    };
    let mut contains = decoded.contains_site.iter();
    for (operator, start, end) in decoded.ops {
        let opens = opens_block(&operator);
        let contains_site = opens && contains.next().copied().unwrap_or(false);
        walk.step(operator, start, end, contains_site)?;
    }
    let mut plan = walk.plan;
    liveness::add_live_locals(&mut plan)?;
    let saved = plan.sites.iter().flat_map(|site| &site.saved);
    plan.frame = Frame::of(saved, &plan.locals)?;
    if plan.locals.len() >= MAX_LOCALS {
        return Err(Error::Unsupported {
            what: format!("a function with {} locals", plan.own_locals),
            why: "it takes more locals than engines allow to save its frame; split it",
        });
    }
    Ok(plan)
}

fn opens_block(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. }
    )
}

/// The instructions of a body with their positions, and for each block, in their order, whether it
/// contains a site.
struct Decoded<'a> {
    ops: Vec<(Operator<'a>, usize, usize)>,
    contains_site: Vec<bool>,
}

impl<'a> Decoded<'a> {
    fn of(body: &FunctionBody<'a>, calls: Calls<'_>) -> Result<Self, Error> {
        let mut reader = body.get_operators_reader().map_err(Error::malformed)?;
        let mut ops = Vec::new();
        let mut contains_site = Vec::new();
        let mut open = Vec::new();
        while !reader.eof() {
            let start = reader.original_position() as usize;
            let operator = reader.read().map_err(Error::malformed)?;
            if opens_block(&operator) {
                open.push(contains_site.len());
                contains_site.push(false);
            } else if matches!(operator, Operator::End) {
                // The last `end` is that of the body, which no instruction has opened.
                if let Some(block) = open.pop()
                    && contains_site[block]
                    && let Some(around) = open.last()
                {
                    contains_site[*around] = true;
                }
            } else if let Some(block) = open.last()
                && calls.site(&operator).is_some()
            {
                contains_site[*block] = true;
            }
            ops.push((operator, start, reader.original_position() as usize));
        }
        Ok(Self { ops, contains_site })
    }
}

/// A block that has been started and not ended.
struct Open {
    /// The position of the instruction that starts it; none for the body.
    start: Option<usize>,
    /// How many operands lie below it.
    height: usize,
    results: Vec<ValType>,
    /// The instructions under way, if they may contain sites.
    level: Option<usize>,
    /// Its position among the blocks with sites, the same.
    block: Option<usize>,
    /// The position of its `else`.
    otherwise: Option<usize>,
    /// The number of its first site.
    first_site: u32,
}

impl Open {
    fn body() -> Self {
        Self {
            start: None,
            height: 0,
            results: Vec::new(),
            level: Some(0),
            block: None,
            otherwise: None,
            first_site: 0,
        }
    }
}

/// The walk over a body.
struct Walk<'a, 'c> {
    calls: Calls<'c>,
    validator: FuncValidator<ValidatorResources>,
    /// The operand stack.
    operands: Vec<Operand>,
    /// The blocks that are open, the body first.
    open: Vec<Open>,
    /// In code that control cannot reach, how many blocks of that code are open, and one.
    unreachable: u32,
    /// The added locals by the position on the operand stack and the type.
    spills: HashMap<(usize, ValType), u32>,
    plan: Plan<'a>,
}

const UNBALANCED: Error = Error::Internal("a block ends that was not opened");

impl<'a> Walk<'a, '_> {
    fn step(
        &mut self,
        operator: Operator<'a>,
        start: usize,
        end: usize,
        contains_site: bool,
    ) -> Result<(), Error> {
        if self.skips(&operator) {
            return self.validate(start, &operator);
        }
        let position = self.plan.ops.len();
        let mut op = Op {
            operator,
            start,
            end,
            partner: position,
            role: Role::Plain,
        };
        match op.operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                let is_if = matches!(op.operator, Operator::If { .. });
                self.block(position, blockty, is_if, contains_site)?;
                self.validate(start, &op.operator)?;
            }
            Operator::Else => {
                self.otherwise(position)?;
                self.validate(start, &op.operator)?;
            }
            Operator::End => {
                op.partner = self.end(position)?;
                self.validate(start, &op.operator)?;
            }
            _ => {
                if let Some(call) = self.calls.site(&op.operator) {
                    op.role = Role::Site(self.site(call)?);
                }
                self.other(&op)?;
            }
        }
        self.plan.ops.push(op);
        let frame = self.validator.get_control_frame(0);
        if frame.is_some_and(|frame| frame.unreachable) {
            self.unreachable = 1;
        }
        Ok(())
    }

    fn validate(&mut self, start: usize, operator: &Operator<'_>) -> Result<(), Error> {
        self.validator
            .op(start as u64, operator)
            .map_err(Error::malformed)
    }

    /// Whether control cannot reach an instruction.
    fn skips(&mut self, operator: &Operator<'_>) -> bool {
        match (self.unreachable, operator) {
            (0, _) => return false,
            (1, Operator::Else | Operator::End) => {
                self.unreachable = 0;
                return false;
            }
            (_, Operator::End) => self.unreachable -= 1,
            (_, operator) if opens_block(operator) => self.unreachable += 1,
            _ => {}
        }
        true
    }

    /// The added local for operands of this type in this position on the stack. One for references
    /// may hold null, which it does until it is set.
    fn spill(&mut self, height: usize, ty: ValType) -> u32 {
        let ty = nullable(ty);
        let next = self.plan.locals.len() as u32;
        let local = *self.spills.entry((height, ty)).or_insert(next);
        if local == next {
            self.plan.locals.push(ty);
        }
        local
    }

    /// Makes sure that an operand can be had behind a call: one that is only on the stack gets a
    /// local.
    fn give_home(&mut self, height: usize) -> Operand {
        if self.operands[height].home != Home::Stack {
            return self.operands[height].clone();
        }
        let ty = self.operands[height].ty;
        let home = Home::Local(self.spill(height, ty));
        self.operands[height].home = home.clone();
        Operand {
            ty,
            home,
            is_new: true,
        }
    }

    fn block(
        &mut self,
        position: usize,
        ty: BlockType,
        is_if: bool,
        contains_site: bool,
    ) -> Result<(), Error> {
        let results = self.results(ty)?;
        let condition = match is_if {
            true => Some(self.pop()?),
            false => None,
        };
        let height = self.operands.len();
        let first_site = self.plan.sites.len() as u32;
        let mut opened = Open {
            start: Some(position),
            height,
            level: None,
            block: None,
            otherwise: None,
            first_site,
            results,
        };
        if contains_site {
            let level = self.plan.levels.len();
            self.plan.levels.push(Level::default());
            let block = self.with_homes(&opened, condition, level)?;
            opened.level = Some(level);
            opened.block = Some(self.plan.blocks.len());
            self.plan.blocks.push(block);
        }
        self.open.push(opened);
        Ok(())
    }

    /// Gives the operands below a block homes that no instruction inside it changes.
    fn with_homes(
        &mut self,
        opened: &Open,
        condition: Option<Operand>,
        level: usize,
    ) -> Result<Block, Error> {
        let bottom = self.open.last().ok_or(UNBALANCED)?.height;
        let own_locals = self.plan.own_locals as u32;
        let mut below = Vec::new();
        for height in bottom..opened.height {
            let operand = &mut self.operands[height];
            if matches!(operand.home, Home::Local(local) if local < own_locals) {
                operand.home = Home::Stack;
            }
            below.push(self.give_home(height));
        }
        let condition = condition.map(|condition| match condition.home {
            Home::Stack => Operand {
                home: Home::Local(self.spill(opened.height, ValType::I32)),
                is_new: true,
                ..condition
            },
            _ => condition,
        });
        let mut results = Vec::new();
        for (behind, ty) in opened.results.iter().enumerate() {
            let local = match below.is_empty() {
                true => 0,
                false => self.spill(opened.height + behind, *ty),
            };
            results.push((*ty, local));
        }
        Ok(Block {
            below,
            condition,
            results,
            level,
            otherwise: None,
            middle: 0,
        })
    }

    fn otherwise(&mut self, position: usize) -> Result<(), Error> {
        let level = self.plan.levels.len();
        let middle = self.plan.sites.len() as u32;
        let open = self.open.last_mut().ok_or(UNBALANCED)?;
        self.operands.truncate(open.height);
        open.otherwise = Some(position);
        if let Some(block) = open.block {
            open.level = Some(level);
            self.plan.levels.push(Level::default());
            self.plan.blocks[block].otherwise = Some(level);
            self.plan.blocks[block].middle = middle;
        }
        Ok(())
    }

    /// Ends a block; gives the position of its start.
    fn end(&mut self, position: usize) -> Result<usize, Error> {
        let open = self.open.pop().ok_or(UNBALANCED)?;
        self.operands.truncate(open.height);
        let results = open.results.into_iter().map(|ty| Operand {
            ty,
            home: Home::Stack,
            is_new: false,
        });
        self.operands.extend(results);
        let Some(start) = open.start else {
            return Ok(position);
        };
        self.plan.ops[start].partner = position;
        if let Some(otherwise) = open.otherwise {
            self.plan.ops[otherwise].partner = position;
        }
        let sites = (open.first_site, self.plan.sites.len() as u32);
        if let Some(block) = open.block
            && sites.0 < sites.1
        {
            self.plan.ops[start].role = Role::Block(block);
            let block = &mut self.plan.blocks[block];
            if block.otherwise.is_none() {
                block.middle = sites.1;
            }
            self.enter(sites)?;
        } else if let Some(block) = open.block {
            // Control reaches none of its sites, and it is written as it is.
            let below = &self.plan.blocks[block].below;
            for (height, operand) in (open.height - below.len()..).zip(below) {
                if operand.is_new {
                    self.operands[height].home = Home::Stack;
                }
            }
        }
        Ok(start)
    }

    /// Notes sites among the instructions under way.
    fn enter(&mut self, sites: (u32, u32)) -> Result<(), Error> {
        const NO_LEVEL: Error = Error::Internal("a block with a site was not found before");
        let level = self.open.last().and_then(|open| open.level);
        let level = level.ok_or(NO_LEVEL)?;
        self.plan.levels[level].entries.push(sites);
        Ok(())
    }

    fn site(&mut self, call: Call<'_>) -> Result<usize, Error> {
        let number = self.plan.sites.len();
        self.enter((number as u32, number as u32 + 1))?;
        let bottom = self.open.last().ok_or(UNBALANCED)?.height;
        let behind = self.operands.len();
        let first = behind.checked_sub(call.arguments);
        let first = first.ok_or(Error::Internal("a call lacks arguments"))?;
        for (height, ty) in (first..).zip(call.parameters) {
            // A local for it may hold null, and the parameter as well.
            self.operands[height].ty = *ty;
        }
        let arguments: Vec<Operand> = (first..behind)
            .map(|height| self.give_home(height))
            .collect();
        let mut below = Vec::new();
        let mut saved = Vec::new();
        if call.is_tail {
            // They are dropped, and nothing reads them any more.
            below = self.operands[bottom..first].to_vec();
        } else {
            below.extend((bottom..first).map(|height| self.give_home(height)));
            saved.extend(self.operands[..first].iter().filter_map(Operand::local));
        }
        if call.is_indirect {
            saved.extend(arguments.last().and_then(Operand::local));
        }
        self.plan.sites.push(Site {
            below,
            arguments,
            is_indirect: call.is_indirect,
            is_tail: call.is_tail,
            saved,
        });
        Ok(number)
    }

    /// An instruction that starts and ends no block.
    fn other(&mut self, op: &Op<'_>) -> Result<(), Error> {
        let arity = op.operator.operator_arity(&self.validator);
        let (takes, gives) = arity.ok_or(Error::Internal("an instruction has no arity"))?;
        self.validate(op.start, &op.operator)?;
        if let Operator::LocalSet { local_index } | Operator::LocalTee { local_index } = op.operator
        {
            for operand in &mut self.operands {
                if operand.home == Home::Local(local_index) {
                    operand.home = Home::Stack;
                }
            }
        }
        let kept = self.operands.len().checked_sub(takes as usize);
        self.operands.truncate(kept.ok_or(UNBALANCED)?);
        let home = match op.operator {
            Operator::LocalGet { local_index } | Operator::LocalTee { local_index }
                if has_value_unset(self.plan.locals[local_index as usize]) =>
            {
                Home::Local(local_index)
            }
            Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. }
            | Operator::V128Const { .. } => Home::Constant(op.start, op.end),
            _ => Home::Stack,
        };
        let frame = self.validator.get_control_frame(0);
        if frame.is_none_or(|frame| frame.unreachable) {
            return Ok(());
        }
        for depth in (0..gives as usize).rev() {
            let ty = self.validator.get_operand_type(depth).flatten();
            self.operands.push(Operand {
                ty: ty.ok_or(Error::Internal("an operand has no type"))?,
                home: home.clone(),
                is_new: false,
            });
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Operand, Error> {
        self.operands.pop().ok_or(UNBALANCED)
    }

    /// The results of a block, which has no parameters (`lower/block_parameters.rs`).
    fn results(&self, ty: BlockType) -> Result<Vec<ValType>, Error> {
        Ok(match ty {
            BlockType::Empty => Vec::new(),
            BlockType::Type(ty) => vec![ty],
            BlockType::FuncType(index) => {
                let ty = self.calls.scan.func_type(index);
                let ty = ty.ok_or(Error::Internal("a block has no type"))?;
                if !ty.params().is_empty() {
                    return Err(Error::Internal("a block has parameters"));
                }
                ty.results().to_vec()
            }
        })
    }
}
