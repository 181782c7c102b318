//! Constant expressions, folded. In a core module they may read imported globals only, and a
//! flattened module imports none: the globals of other instances have become its own.

use wasm_encoder::{ConstExpr, HeapType, Ieee32, Ieee64};
use wasmparser::Operator;

use crate::error::ComponentError;

/// A value that is known before any code runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Constant {
    I32(i32),
    I64(i64),
    /// Floats are kept as bits.
    F32(u32),
    F64(u64),
    V128(i128),
    Null(HeapType),
    /// A function, by its index in the flattened module.
    Function(u32),
}

impl Constant {
    /// The expression that gives this value.
    pub fn expression(self) -> ConstExpr {
        match self {
            Self::I32(value) => ConstExpr::i32_const(value),
            Self::I64(value) => ConstExpr::i64_const(value),
            Self::F32(bits) => ConstExpr::f32_const(Ieee32::new(bits)),
            Self::F64(bits) => ConstExpr::f64_const(Ieee64::new(bits)),
            Self::V128(value) => ConstExpr::v128_const(value),
            Self::Null(ty) => ConstExpr::ref_null(ty),
            Self::Function(index) => ConstExpr::ref_func(index),
        }
    }
}

/// What the names in an expression stand for.
pub(super) trait Names {
    /// The value of a global that the module imports or defines.
    fn global(&self, index: u32) -> Option<Constant>;
    /// The index of a function in the flattened module.
    fn function(&self, index: u32) -> Result<u32, ComponentError>;
    /// A type of references.
    fn heap_type(&mut self, ty: wasmparser::HeapType) -> Result<HeapType, ComponentError>;
}

/// The value of a constant expression of a valid module.
pub(super) fn fold(
    expression: &wasmparser::ConstExpr<'_>,
    names: &mut dyn Names,
) -> Result<Constant, ComponentError> {
    let mut stack = Vec::new();
    for operator in expression.get_operators_reader() {
        let operator = operator.map_err(unreadable)?;
        let value = match operator {
            Operator::End => break,
            Operator::I32Const { value } => Constant::I32(value),
            Operator::I64Const { value } => Constant::I64(value),
            Operator::F32Const { value } => Constant::F32(value.bits()),
            Operator::F64Const { value } => Constant::F64(value.bits()),
            Operator::V128Const { value } => Constant::V128(value.i128()),
            Operator::RefNull { hty } => Constant::Null(names.heap_type(hty)?),
            Operator::RefFunc { function_index } => {
                Constant::Function(names.function(function_index)?)
            }
            Operator::GlobalGet { global_index } => {
                let value = names.global(global_index);
                value.ok_or_else(|| internal("a constant that depends on a variable"))?
            }
            other => {
                let operands = (stack.pop(), stack.pop());
                let (Some(right), Some(left)) = operands else {
                    return Err(internal("a constant expression without operands"));
                };
                computed(&other, left, right)
                    .ok_or_else(|| internal("an instruction in a constant expression"))?
            }
        };
        stack.push(value);
    }
    match stack.as_slice() {
        [value] => Ok(*value),
        _ => Err(internal("a constant expression with several values")),
    }
}

/// Extended constant expressions.
fn computed(operator: &Operator<'_>, left: Constant, right: Constant) -> Option<Constant> {
    use Constant::{I32, I64};
    Some(match (operator, left, right) {
        (Operator::I32Add, I32(left), I32(right)) => I32(left.wrapping_add(right)),
        (Operator::I32Sub, I32(left), I32(right)) => I32(left.wrapping_sub(right)),
        (Operator::I32Mul, I32(left), I32(right)) => I32(left.wrapping_mul(right)),
        (Operator::I64Add, I64(left), I64(right)) => I64(left.wrapping_add(right)),
        (Operator::I64Sub, I64(left), I64(right)) => I64(left.wrapping_sub(right)),
        (Operator::I64Mul, I64(left), I64(right)) => I64(left.wrapping_mul(right)),
        _ => return None,
    })
}

fn unreadable(error: wasmparser::BinaryReaderError) -> ComponentError {
    ComponentError::Internal(format!("a valid module cannot be read: {error}"))
}

fn internal(what: &str) -> ComponentError {
    ComponentError::Internal(what.to_owned())
}
