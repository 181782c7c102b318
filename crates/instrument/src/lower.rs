//! Tail calls that may be on the stack at a suspend, as calls.
//!
//! Asyncify puts its test behind a call, and behind a tail call there is nothing. `return_call f`
//! becomes `call f, return`. The frame stays, so that a program that loops by such calls uses up the
//! stack in the end; in functions that never suspend tail calls are left alone (`opaque.rs`).

use wasm_encoder::{CodeSection, Encode, Instruction, SectionId};
use wasmparser::{FunctionBody, Operator, Parser, Payload};

use super::Error;
use super::callgraph::CallGraph;
use super::prepare::content;
use super::scan::Scan;
use super::sections::Sections;

/// Lowers them in a module whose functions have the source's indices.
pub(super) fn tail_calls(wasm: Vec<u8>, scan: &Scan, graph: &CallGraph) -> Result<Vec<u8>, Error> {
    let lowered = |function: u32| {
        let defined = function.checked_sub(scan.imported_functions);
        let body = defined.and_then(|defined| scan.bodies.get(defined as usize));
        body.is_some_and(|body| body.tail_call.is_some()) && graph.may_suspend(function)
    };
    if !(0..scan.functions.len() as u32).any(lowered) {
        return Ok(wasm);
    }
    let mut code = CodeSection::new();
    let mut function = scan.imported_functions;
    for payload in Parser::new(0).parse_all(&wasm) {
        let Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? else {
            continue;
        };
        // Functions that `prepare` has added are behind those of the source.
        if (function as usize) < scan.functions.len() && lowered(function) {
            code.raw(&lower(&body, &wasm).map_err(Error::malformed)?);
        } else {
            // Positions are those in a module that is in memory, so they fit.
            let range = body.range();
            code.raw(&wasm[range.start as usize..range.end as usize]);
        }
        function += 1;
    }
    let mut sections = Sections::split(&wasm)?;
    sections.replace(SectionId::Code, content(&code));
    Ok(sections.join())
}

/// The body with calls; the rest is copied byte for byte.
fn lower(body: &FunctionBody<'_>, wasm: &[u8]) -> wasmparser::Result<Vec<u8>> {
    let range = body.range();
    let mut copied = range.start as usize;
    let mut out = Vec::with_capacity(range.end as usize - copied);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let before = operators.original_position() as usize;
        let call = match operators.read()? {
            Operator::ReturnCall { function_index } => Instruction::Call(function_index),
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => Instruction::CallIndirect {
                type_index,
                table_index,
            },
            _ => continue,
        };
        out.extend_from_slice(&wasm[copied..before]);
        call.encode(&mut out);
        Instruction::Return.encode(&mut out);
        copied = operators.original_position() as usize;
    }
    out.extend_from_slice(&wasm[copied..range.end as usize]);
    Ok(out)
}
