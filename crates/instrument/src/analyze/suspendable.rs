//! Whether everything that a function holds during a suspend can be saved.
//!
//! Asyncify saves locals and operands as numbers, and no references. Functions that are never on
//! the stack at a suspend may have these.

use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader, Parser,
    ValidPayload, Validator, ValidatorResources,
};

use super::call_graph::CallGraph;
use super::features::features;
use super::scan::{Body, Scan};
use super::types::is_reference;
use crate::error::Error;

/// Why a reference in the wrong place is refused.
const HELD_REFERENCE: &str = "a reference held across a suspend cannot be serialized";

/// Refuses a module in which a function may be on the stack at a suspend and cannot be saved. In a
/// module with managed references, locals may hold some between suspends (`native/held.rs`).
pub(crate) fn check(wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Result<(), Error> {
    let mut has_references = false;
    for (function, body) in scan.defined().zip(&scan.bodies) {
        if graph.may_suspend(function) {
            if !scan.managed {
                check_locals(scan, function, body)?;
            }
            has_references |= body.references || scan.managed;
        }
    }
    match has_references {
        true => check_operands(wasm, scan, graph),
        false => Ok(()),
    }
}

/// Refuses references in locals and parameters.
fn check_locals(scan: &Scan, function: u32, body: &Body) -> Result<(), Error> {
    let name = || scan.function_name(function);
    if let Some((ty, offset)) = &body.reference_local {
        return Err(Error::Unsupported {
            what: format!("`{}`, with a local of type {ty} at byte {offset},", name()),
            why: HELD_REFERENCE,
        });
    }
    let ty = scan.type_of(function);
    if ty.is_some_and(|ty| ty.params().iter().copied().any(is_reference)) {
        return Err(Error::Unsupported {
            what: format!("`{}`, which has a parameter that is a reference,", name()),
            why: HELD_REFERENCE,
        });
    }
    Ok(())
}

/// Refuses a function that has a reference on its operand stack at a call that may suspend.
fn check_operands(wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Result<(), Error> {
    let mut validator = Validator::new_with_features(features());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        if let ValidPayload::Func(types, body) = valid
            && graph.may_suspend(types.index)
        {
            let function = types.index;
            let held = held_reference(types, &body, scan, graph).map_err(Error::malformed)?;
            if let Some(offset) = held {
                return Err(Error::Unsupported {
                    what: format!(
                        "`{}`, which holds a reference during the call at byte {offset},",
                        scan.function_name(function)
                    ),
                    why: HELD_REFERENCE,
                });
            }
        }
    }
    Ok(())
}

/// The offset of the first call that may suspend while a reference lies on the operand stack below
/// its arguments.
fn held_reference(
    types: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    scan: &Scan,
    graph: &CallGraph,
) -> wasmparser::Result<Option<u64>> {
    let mut validator = types.into_validator(FuncValidatorAllocations::default());
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let mut operators = OperatorsReader::new(reader);
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        if let Some(arguments) = suspending_call(&operator, scan, graph) {
            let height = validator.operand_stack_height() as usize;
            let mut below =
                (arguments..height).filter_map(|depth| validator.get_operand_type(depth).flatten());
            if below.any(is_reference) {
                return Ok(Some(offset));
            }
        }
        validator.op(offset, &operator)?;
    }
    Ok(None)
}

/// How many operands a call takes off the stack, if it may suspend.
fn suspending_call(operator: &Operator<'_>, scan: &Scan, graph: &CallGraph) -> Option<usize> {
    match operator {
        Operator::Call { function_index } if graph.may_suspend(*function_index) => {
            Some(scan.type_of(*function_index)?.params().len())
        }
        // Asyncify takes every indirect call in an instrumented function for one that may suspend. It
        // sees no module with managed references.
        Operator::CallIndirect {
            type_index,
            table_index,
        } if !scan.managed || graph.indirect_may_suspend(*type_index, *table_index) => {
            let index = 1;
            Some(scan.func_type(*type_index)?.params().len() + index)
        }
        _ => None,
    }
}
