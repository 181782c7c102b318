//! What the constant expressions of a module give. Nothing is imported that they could depend on:
//! a module imports functions alone (`analyze/interface.rs`).

use wasmparser::{ConstExpr, ElementItems, Operator, Parser, Payload};

use crate::analyze::initial_memory::evaluate;
use crate::error::Error;

/// What the module's globals hold at the start.
#[derive(Default)]
pub(super) struct Constants {
    /// The value of each, if it is an `i32`.
    values: Vec<Option<u32>>,
    /// The function that each refers to; none where it is null or no reference.
    functions: Vec<Option<u32>>,
}

impl Constants {
    pub(super) fn of(wasm: &[u8]) -> Result<Self, Error> {
        let mut constants = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::GlobalSection(section) = payload.map_err(Error::malformed)? {
                for global in section {
                    let initial = global.map_err(Error::malformed)?.init_expr;
                    let value = evaluate(&initial, &constants.values);
                    let function = constants.function(&initial)?;
                    constants.values.push(value);
                    constants.functions.push(function);
                }
            }
        }
        Ok(constants)
    }

    /// The function that a global refers to at the start.
    pub(super) fn global(&self, index: u32) -> Option<u32> {
        self.functions.get(index as usize).copied().flatten()
    }

    /// The functions that globals refer to at the start.
    pub(super) fn functions(&self) -> impl Iterator<Item = u32> {
        self.functions.iter().flatten().copied()
    }

    /// The value of an expression of type `i32`.
    pub(super) fn value(&self, expression: &ConstExpr<'_>) -> Option<u32> {
        evaluate(expression, &self.values)
    }

    /// The function that an expression refers to.
    fn function(&self, expression: &ConstExpr<'_>) -> Result<Option<u32>, Error> {
        for operator in expression.get_operators_reader() {
            match operator.map_err(Error::malformed)? {
                Operator::RefFunc { function_index } => return Ok(Some(function_index)),
                Operator::GlobalGet { global_index } => return Ok(self.global(global_index)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The functions that the items of an element segment refer to.
    pub(super) fn items(&self, items: ElementItems<'_>) -> Result<Vec<Option<u32>>, Error> {
        let mut functions = Vec::new();
        match items {
            ElementItems::Functions(items) => {
                for item in items {
                    functions.push(Some(item.map_err(Error::malformed)?));
                }
            }
            ElementItems::Expressions(_, items) => {
                for item in items {
                    functions.push(self.function(&item.map_err(Error::malformed)?)?);
                }
            }
        }
        Ok(functions)
    }
}
