//! Tells the engine's compiler which branches are hardly ever taken: those of asyncify's tests.
//!
//! The hints are a custom section of the [branch hinting] proposal. Wasmtime moves the code behind
//! such a branch out of the way; an engine that does not know the section passes it over.
//!
//! [branch hinting]: https://github.com/WebAssembly/branch-hinting

use wasm_encoder::{BranchHint, BranchHints};
use wasmparser::{ExternalKind, FunctionBody, Operator, Parser, Payload};

use super::Error;
use super::prepare::content;
use super::scan::Scan;
use crate::model::shape;

/// The section's content for an instrumented and optimised module; `None` where it has no tests.
pub(super) fn section(wasm: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let scan = Scan::of(wasm)?;
    let state = scan.exports.iter().find_map(|(name, kind, index)| {
        (*kind == ExternalKind::Global && name == shape::ASYNCIFY_STATE).then_some(*index)
    });
    let state = state.ok_or(Error::Binaryen)?;

    let mut hints = BranchHints::new();
    let mut function = scan.imported_functions;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? {
            let unlikely = unlikely(&body, state).map_err(Error::malformed)?;
            if !unlikely.is_empty() {
                hints.function_hints(function, unlikely);
            }
            function += 1;
        }
    }
    Ok((!hints.is_empty()).then(|| content(&hints)))
}

/// Branches on "is the state equal to a number?". The number is never the normal state's.
fn unlikely(body: &FunctionBody<'_>, state: u32) -> wasmparser::Result<Vec<BranchHint>> {
    let start = body.range().start;
    let mut reader = body.get_operators_reader()?;
    let mut found = Vec::new();
    // How much of the test has been read.
    let mut read = 0;
    while !reader.eof() {
        let offset = reader.original_position() - start;
        read = match (read, reader.read()?) {
            (_, Operator::GlobalGet { global_index }) if global_index == state => 1,
            (1, Operator::I32Const { value: 1.. }) => 2,
            (2, Operator::I32Eq) => 3,
            (3, Operator::If { .. } | Operator::BrIf { .. }) => {
                found.push(BranchHint {
                    // Functions are shorter than 4 GiB.
                    branch_func_offset: offset as u32,
                    branch_hint_value: 0,
                });
                0
            }
            _ => 0,
        };
    }
    Ok(found)
}
