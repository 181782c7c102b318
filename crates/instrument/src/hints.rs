//! Tells the engine's compiler which branches are hardly ever taken: those of asyncify's tests, and of
//! checks, and the tests whether a call has thrown.
//!
//! The hints are a custom section of the [branch hinting] proposal. Wasmtime moves the code behind
//! such a branch out of the way; an engine that does not know the section passes it over.
//!
//! [branch hinting]: https://github.com/WebAssembly/branch-hinting

use wasm_encoder::{BranchHint, BranchHints};
use wasmparser::{ExternalKind, FunctionBody, MemArgTarget, Operator, Parser, Payload};

use super::Error;
use super::exceptions;
use super::prepare::content;
use super::scan::Scan;
use crate::model::shape;

/// The section's content for an instrumented and optimised module; `None` where it has no tests.
pub(super) fn section(wasm: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let scan = Scan::of(wasm)?;
    let global = |wanted: &str| {
        let mut exports = scan.exports.iter();
        let found = exports.find(|(name, kind, _)| *kind == ExternalKind::Global && name == wanted);
        found.map(|(_, _, index)| *index)
    };
    let state = global(shape::ASYNCIFY_STATE).ok_or(Error::Binaryen)?;
    let pending = global(exceptions::PENDING);

    // Asyncify appends its memory to the guest's own.
    let flags = scan.memories.len().saturating_sub(1) as u32;

    let mut hints = BranchHints::new();
    let mut function = scan.imported_functions;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? {
            let unlikely = unlikely(&body, state, pending, flags).map_err(Error::malformed)?;
            if !unlikely.is_empty() {
                hints.function_hints(function, unlikely);
            }
            function += 1;
        }
    }
    Ok((!hints.is_empty()).then(|| content(&hints)))
}

/// How much of a test has been read.
enum Read {
    Nothing,
    State,
    Number,
    /// All of it; which way the branch behind it hardly ever goes.
    Test(u32),
}

/// Branches on "is the state equal to a number?", which is never the normal state's, and on "is an
/// exception on its way?", and on the flag of checks: nothing else reads a byte of asyncify's memory.
fn unlikely(
    body: &FunctionBody<'_>,
    state: u32,
    pending: Option<u32>,
    flags: u32,
) -> wasmparser::Result<Vec<BranchHint>> {
    let start = body.range().start;
    let mut reader = body.get_operators_reader()?;
    let mut found = Vec::new();
    let mut read = Read::Nothing;
    while !reader.eof() {
        let offset = reader.original_position() - start;
        read = match (read, reader.read()?) {
            (_, Operator::GlobalGet { global_index }) if global_index == state => Read::State,
            (_, Operator::GlobalGet { global_index }) if Some(global_index) == pending => {
                Read::Test(0)
            }
            (_, Operator::I32AtomicLoad8U { memarg })
                if memarg.target == MemArgTarget::Memory(flags) =>
            {
                Read::Test(0)
            }
            (Read::State, Operator::I32Const { value: 1.. }) => Read::Number,
            (Read::Number, Operator::I32Eq) => Read::Test(0),
            (Read::Test(way), Operator::I32Eqz) => Read::Test(1 - way),
            (Read::Test(way), Operator::If { .. } | Operator::BrIf { .. }) => {
                found.push(BranchHint {
                    // Functions are shorter than 4 GiB.
                    branch_func_offset: offset as u32,
                    branch_hint_value: way,
                });
                Read::Nothing
            }
            _ => Read::Nothing,
        };
    }
    Ok(found)
}
