//! What the writing of both versions has to know about a body.
//!
//! A frame is saved at a *site*, a call that may suspend. Locals can be read there; operands below
//! the call's arguments cannot, and those below a block around the site even less. So each of them
//! has a *home* at a site: the local that it was read from and that has not changed since, the
//! constant that it is, or else a local that is added for its position on the stack.
//!
//! Blocks that contain sites are told from others: operands below them get their homes before they
//! start, and the slow version dispatches inside them.

use wasmparser::{FunctionBody, Operator, ValType};

use super::frame::Frame;
use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::Scan;
use crate::error::Error;

/// A body with what its versions are written from.
pub(super) struct Plan<'a> {
    /// The instructions that control may reach.
    pub ops: Vec<Op<'a>>,
    /// The calls that may suspend, in order. A site's position here is its number in a frame.
    pub sites: Vec<Site>,
    /// The blocks that contain sites.
    pub blocks: Vec<Block>,
    /// The sequences of instructions that contain sites; the first is the body itself.
    pub levels: Vec<Level>,
    /// What is saved and restored.
    pub frame: Frame,
    /// The types of the parameters and of all locals, the added ones behind the body's own.
    pub locals: Vec<ValType>,
    /// How many of them the body has itself.
    pub own_locals: usize,
}

/// An instruction that control may reach.
pub(super) struct Op<'a> {
    pub operator: Operator<'a>,
    /// Where it starts and ends in the module, in bytes.
    pub start: usize,
    pub end: usize,
    /// For the start of a block, and for `else`, the position of the `end`; for an `end` the
    /// position of the start.
    pub partner: usize,
    pub role: Role,
}

/// What an instruction is to the rewriting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    /// The site with this number.
    Site(usize),
    /// It starts a block that contains sites, with this position among those.
    Block(usize),
}

/// Where an operand can be had while it cannot be reached on the stack.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// Nowhere.
    Stack,
    Local(u32),
    /// It is the constant of the instruction that stands there in the module.
    Constant(usize, usize),
}

/// An operand at a site or in front of a block.
#[derive(Clone)]
pub(super) struct Operand {
    pub ty: ValType,
    pub home: Home,
    /// Whether it has to be put into its home there: it is in none yet.
    pub is_new: bool,
}

/// A call that may suspend.
pub(super) struct Site {
    /// The operands below the arguments, up to the start of the block around the site.
    pub below: Vec<Operand>,
    /// The arguments, and behind them the index of an indirect call. None but the index needs its
    /// home to be restored: the callee knows its arguments, as the host does.
    pub arguments: Vec<Operand>,
    pub is_indirect: bool,
    /// Whether it is a tail call. Behind a tail call there can be no test, so that it is made as a
    /// call with a return behind it.
    pub is_tail: bool,
    /// The locals that matter at it: those in which operands are at home, and those that are read
    /// behind it. In rising order.
    pub saved: Vec<u32>,
}

/// A block, loop or `if` that contains sites.
pub(super) struct Block {
    /// The operands below it, up to the start of the block around it.
    pub below: Vec<Operand>,
    /// The condition of an `if`.
    pub condition: Option<Operand>,
    /// The types of its results, and the locals for them where operands lie below.
    pub results: Vec<(ValType, u32)>,
    /// Its instructions; of an `if` the first branch.
    pub level: usize,
    /// The second branch of an `if`.
    pub otherwise: Option<usize>,
    /// The number of the first site in the second branch, or behind the block.
    pub middle: u32,
}

/// Instructions in a row, and where sites can be reached among them.
#[derive(Default)]
pub(super) struct Level {
    /// For each site among them, and each block that contains sites, the number of its first site
    /// and that behind its last.
    pub entries: Vec<(u32, u32)>,
}

/// The types of the parameters and of all locals.
pub(super) fn locals(
    scan: &Scan,
    function: u32,
    body: &FunctionBody<'_>,
) -> Result<Vec<ValType>, Error> {
    let ty = scan.type_of(function);
    let mut locals = ty.map_or(&[][..], |ty| ty.params()).to_vec();
    for group in body.get_locals_reader().map_err(Error::malformed)? {
        let (count, ty) = group.map_err(Error::malformed)?;
        locals.extend(std::iter::repeat_n(ty, count as usize));
    }
    Ok(locals)
}

/// The type with null, of a reference.
pub(super) fn nullable(ty: ValType) -> ValType {
    match ty {
        ValType::Ref(ty) => ValType::Ref(ty.nullable()),
        _ => ty,
    }
}

/// Whether a local of this type can be read before it is set.
pub(super) fn has_value_unset(ty: ValType) -> bool {
    nullable(ty) == ty
}

/// What the walk has to know about the module.
#[derive(Clone, Copy)]
pub(super) struct Calls<'a> {
    pub scan: &'a Scan,
    pub graph: &'a CallGraph,
}

/// A call that may suspend.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// The types of the callee's parameters.
    pub parameters: &'a [ValType],
    /// How many operands it takes.
    pub arguments: usize,
    pub is_indirect: bool,
    pub is_tail: bool,
}

impl<'a> Calls<'a> {
    /// What an instruction is, if it is a call that may suspend.
    pub(super) fn site(&self, operator: &Operator<'_>) -> Option<Call<'a>> {
        let (ty, is_indirect) = match *operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index }
                if self.graph.may_suspend(function_index) =>
            {
                (self.scan.type_of(function_index)?, false)
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            }
            | Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } if self.graph.indirect_may_suspend(type_index, table_index) => {
                (self.scan.func_type(type_index)?, true)
            }
            _ => return None,
        };
        Some(Call {
            parameters: ty.params(),
            arguments: ty.params().len() + usize::from(is_indirect),
            is_indirect,
            is_tail: matches!(
                operator,
                Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. }
            ),
        })
    }
}

impl Operand {
    /// The local that is its home.
    pub(super) fn local(&self) -> Option<u32> {
        match self.home {
            Home::Local(local) => Some(local),
            _ => None,
        }
    }
}
