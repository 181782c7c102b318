//! Refuses functions that hold an object or a typed reference during a call that may suspend, in a
//! module with such values. `analyze/suspendable.rs` does the same for operands.
//!
//! A function may have such values where none lives across the call: on the way back its locals are
//! null, and so are the arguments of the call, which the callee has read. Only what can be null may
//! be a parameter or a result therefore.

use wasmparser::{
    FuncValidatorAllocations, FunctionBody, Operator, Parser, ValType, ValidPayload, Validator,
};

use super::liveness::live_at_sites;
use super::plan::{Calls, Op, Role, has_value_unset, locals};
use crate::analyze::call_graph::CallGraph;
use crate::analyze::features::features;
use crate::analyze::scan::{BY_REFERENCE, Scan};
use crate::analyze::types::type_name;
use crate::error::Error;
use crate::module::bodies::bodies;
use crate::module::names::original_function;

/// Why a reference in the wrong place is refused.
const HELD_REFERENCE: &str = "a reference held across a suspend cannot be serialized";

/// Why references are refused that cannot be null.
const NEVER_NULL: &str = "on the way back it would be null, since references cannot be serialized";

/// Why a call by reference is refused.
const BY_A_REFERENCE: &str = "the call is made again at a resume, and a reference cannot be \
                              serialized by then; call through a table";

/// Why a local is refused that cannot be null and is set at a place that a slow version leaves out.
const NEVER_SET: &str = "after a resume it would be read before it is set; give it a type with \
                         null";

/// Checks all functions that may be on the stack at a suspend. Positions are those in the module.
pub(crate) fn check(wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Result<(), Error> {
    let calls = Calls { scan, graph };
    for (function, body) in scan.defined().zip(bodies(wasm)?) {
        if graph.may_suspend(function) {
            check_type(scan, function)?;
            check_locals(calls, function, &body)?;
        }
    }
    Ok(())
}

/// Checks the versions that have been made: the engine has to see that a local for references that
/// are never null is set before it is read, in the slow version too. `source` has the names.
pub(crate) fn check_versions(made: &[u8], source: &Scan) -> Result<(), Error> {
    let names = Scan::of(made)?.names;
    let mut validator = Validator::new_with_features(features());
    for payload in Parser::new(0).parse_all(made) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        let ValidPayload::Func(types, body) = valid else {
            continue;
        };
        let index = types.index;
        let mut types = types.into_validator(FuncValidatorAllocations::default());
        if types.validate(&body).is_ok() {
            continue;
        }
        let name = names.get(&index).map_or("", String::as_str);
        let own = name.split_once('$').map_or(name, |(own, _)| own);
        let function = original_function(own).unwrap_or(index);
        return Err(Error::Unsupported {
            what: format!(
                "`{}`, with a local for references that are never null,",
                source.function_name(function)
            ),
            why: NEVER_SET,
        });
    }
    Ok(())
}

fn check_type(scan: &Scan, function: u32) -> Result<(), Error> {
    let Some(ty) = scan.type_of(function) else {
        return Ok(());
    };
    for (what, types) in [("parameter", ty.params()), ("result", ty.results())] {
        if let Some(never_null) = types.iter().find(|ty| !has_value_unset(**ty)) {
            return Err(Error::Unsupported {
                what: format!(
                    "`{}`, with a {what} of type {},",
                    scan.function_name(function),
                    type_name(*never_null)
                ),
                why: NEVER_NULL,
            });
        }
    }
    Ok(())
}

fn check_locals(calls: Calls<'_>, function: u32, body: &FunctionBody<'_>) -> Result<(), Error> {
    let name = || calls.scan.function_name(function);
    let ops = ops(calls, body)?;
    for op in &ops {
        if let Operator::CallRef { type_index } | Operator::ReturnCallRef { type_index } =
            op.operator
            && calls.graph.indirect_may_suspend(type_index, BY_REFERENCE)
        {
            return Err(Error::Unsupported {
                what: format!(
                    "`{}`, which calls by a reference at byte {},",
                    name(),
                    op.start
                ),
                why: BY_A_REFERENCE,
            });
        }
    }
    let locals = locals(calls.scan, function, body)?;
    let sites = ops.iter().filter(|op| matches!(op.role, Role::Site(_)));
    let sites: Vec<&Op<'_>> = sites.collect();
    // The pass goes backward, and the first in the body is the one to name.
    let mut held: Option<(usize, u32)> = None;
    live_at_sites(&ops, locals.len(), |site, local| {
        let is_first = held.is_none_or(|(first, _)| site < first);
        if is_first && matches!(locals[local as usize], ValType::Ref(_)) && !is_tail(sites[site]) {
            held = Some((site, local));
        }
    })?;
    match held {
        Some((site, local)) => Err(Error::Unsupported {
            what: format!(
                "`{}`, which holds a reference of type {} in local {local} during the call at byte \
                 {},",
                name(),
                type_name(locals[local as usize]),
                sites[site].start
            ),
            why: HELD_REFERENCE,
        }),
        None => Ok(()),
    }
}

fn is_tail(op: &Op<'_>) -> bool {
    matches!(
        op.operator,
        Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. }
    )
}

/// The instructions of a body, those that control cannot reach among them.
fn ops<'a>(calls: Calls<'_>, body: &FunctionBody<'a>) -> Result<Vec<Op<'a>>, Error> {
    let mut reader = body.get_operators_reader().map_err(Error::malformed)?;
    let mut ops: Vec<Op<'a>> = Vec::new();
    let mut open = Vec::new();
    let mut sites = 0;
    while !reader.eof() {
        let start = reader.original_position() as usize;
        let operator = reader.read().map_err(Error::malformed)?;
        let position = ops.len();
        let mut partner = position;
        let mut role = Role::Plain;
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                open.push(position);
            }
            // The last `end` is that of the body, which no instruction has opened.
            Operator::End => partner = open.pop().unwrap_or(position),
            _ => {
                if calls.site(&operator).is_some() {
                    role = Role::Site(sites);
                    sites += 1;
                }
            }
        }
        ops.push(Op {
            operator,
            start,
            end: reader.original_position() as usize,
            partner,
            role,
        });
    }
    Ok(ops)
}
