//! Tail calls that may be on the stack at a suspend, as calls.
//!
//! Asyncify puts its test behind a call, and behind a tail call there is nothing. So `return_call
//! f` becomes `call f, return`. The frame stays, so that a program that loops by such calls runs
//! out of stack in the end. Functions that never suspend keep their tail calls
//! (`hidden_bodies.rs`).

use wasm_encoder::{CodeSection, Instruction};
use wasmparser::Operator;

use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::{Edit, bodies, edit, range};
use crate::module::sections::Sections;

/// Lowers them in a module whose functions have the indices of the scanned one. There may be more
/// functions behind those.
pub(crate) fn lower(wasm: Vec<u8>, scan: &Scan, graph: &CallGraph) -> Result<Vec<u8>, Error> {
    let is_lowered = |function: u32| {
        let body = scan.body(function);
        body.is_some_and(|body| body.tail_calls) && graph.may_suspend(function)
    };
    if !scan.defined().any(is_lowered) {
        return Ok(wasm);
    }
    let mut code = CodeSection::new();
    for (function, body) in (scan.imported_functions..).zip(bodies(&wasm)?) {
        if is_lowered(function) {
            code.raw(&edit(&wasm, &body, |_, operator| Ok(as_call(operator)))?);
        } else {
            code.raw(&wasm[range(&body)]);
        }
    }
    let mut sections = Sections::split(&wasm)?;
    sections.replace(&code);
    Ok(sections.join())
}

fn as_call(operator: &Operator<'_>) -> Edit {
    let call = match *operator {
        Operator::ReturnCall { function_index } => Instruction::Call(function_index),
        Operator::ReturnCallIndirect {
            type_index,
            table_index,
        } => Instruction::CallIndirect {
            type_index,
            table_index,
        },
        _ => return Edit::Keep,
    };
    Edit::Replace(vec![call, Instruction::Return])
}
