//! Asyncify's rewriting made by a walk over each function, without Binaryen: the same protocol, the
//! same exports, in a time that grows with the module's size alone.
//!
//! Each function that may be on the stack at a suspend becomes two, as in `two_version`: a fast
//! version that runs, and a slow one that restores its frame and runs only after a resume. But here
//! both are written from the source's body directly, function by function and on all processors:
//!
//! - The fast version is the body as it is, with a test behind each call that may suspend: has it
//!   started to unwind? Then the frame is saved and the function returns. No other instruction is
//!   added to its paths.
//! - The slow version restores a frame's locals, goes to the call in which the guest was suspended,
//!   and makes it again.
//!
//! All other functions keep their bodies, and all functions their indices; what is added stands
//! behind them. The result depends on the module alone: functions are independent of each other,
//! and are put together in their order.
//!
//! - [`walk`] follows the operand stack of a body, and finds where each operand can be had at a
//!   call; [`liveness`] finds the locals that matter there. Both make its [`plan`].
//! - [`frame`] saves and restores these, by calls of [`helpers`].
//! - [`fast`] and [`slow`] write the two versions, with what [`version`] has for both and
//!   [`context`] for all functions; [`dispatch`] leads to a call inside of blocks and loops.
//! - [`held`] refuses objects and typed references that are held at a site, and
//!   [`reference_branch`] writes branches on such values.
//! - [`osr`] chooses loops at which a slow version goes on to a fast one.
//! - [`written`] is all that is made of a function.
//! - [`versions`] numbers the added functions, and [`enter`] chooses between two versions.
//! - [`code`] is a body while it is written, and [`assemble`] puts all of them into the module.

mod assemble;
mod code;
mod context;
mod dispatch;
mod enter;
mod fast;
mod frame;
pub(crate) mod held;
mod helpers;
mod liveness;
mod osr;
mod plan;
mod reference_branch;
mod slow;
#[cfg(test)]
mod tests;
mod version;
mod versions;
mod walk;
mod written;

use std::collections::HashSet;

use dormouse_model::shape;
use rayon::prelude::*;
use wasmparser::{
    ExternalKind, FuncToValidate, FunctionBody, Parser, ValidPayload, Validator, ValidatorResources,
};

use self::context::Context;
use self::helpers::Stack;
use self::plan::Calls;
use self::versions::Versions;
use self::written::Written;
use crate::analyze::call_graph::CallGraph;
use crate::analyze::features::features;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::range;

/// Rewrites a module that `lower/asyncify_input.rs` has prepared. `instrumented` has the functions
/// that may be on the stack at a suspend, in rising order; `graph` is that of the module before it
/// was prepared.
pub(crate) fn rewrite(
    wasm: &[u8],
    graph: &CallGraph,
    instrumented: &[u32],
) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(wasm)?;
    let check = (0..)
        .zip(&scan.imports)
        .find(|(_, import)| (import.module.as_str(), import.name.as_str()) == shape::PREEMPT);
    // Only functions are imported.
    let check = check.map(|(index, _)| index);
    let context = Context {
        wasm,
        calls: Calls { scan: &scan, graph },
        state: scan.globals.len() as u32,
        stack: Stack {
            data: scan.globals.len() as u32 + 1,
            memory: scan.memories.len() as u32,
        },
        versions: Versions::of(&scan, instrumented, &entered_indirectly(&scan), check),
    };
    let bodies = bodies(wasm)?;
    let written: Result<Vec<Written>, Error> = instrumented
        .par_iter()
        .map(|function| {
            let (types, body) = &bodies[(function - scan.imported_functions) as usize];
            Written::of(&context, *function, types, body)
        })
        .collect();
    let bodies: Vec<_> = bodies.iter().map(|(_, body)| range(body)).collect();
    assemble::assemble(&context, &bodies, written?)
}

/// A body, and what is needed to follow its operands.
type Body<'a> = (FuncToValidate<ValidatorResources>, FunctionBody<'a>);

fn bodies(wasm: &[u8]) -> Result<Vec<Body<'_>>, Error> {
    let mut validator = Validator::new_with_features(features());
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        if let ValidPayload::Func(types, body) = valid {
            bodies.push((types, body));
        }
    }
    Ok(bodies)
}

/// Functions that something other than a direct call may enter: the host, or an indirect call.
fn entered_indirectly(scan: &Scan) -> HashSet<u32> {
    let exports = scan.exports.iter();
    let exported = exports.filter(|(_, kind, _)| *kind == ExternalKind::Func);
    let elements = scan.elements.iter().flat_map(|segment| &segment.functions);
    exported
        .map(|(_, _, function)| *function)
        .chain(elements.copied())
        .chain(scan.referenced.iter().copied())
        .collect()
}
