//! Tells the engine's compiler which branches are hardly ever taken: those of asyncify's tests, of
//! checks, and of the tests whether a call has thrown.
//!
//! The hints are a custom section of the [branch hinting] proposal. Wasmtime moves the code behind
//! such a branch out of the way; an engine that does not know the section ignores it.
//!
//! [branch hinting]: https://github.com/WebAssembly/branch-hinting

use dormouse_model::shape;
use rayon::prelude::*;
use wasm_encoder::{BranchHint, BranchHints};
use wasmparser::{ExternalKind, FunctionBody, MemArgTarget, Operator};

use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::bodies;
use crate::module::names::PENDING_EXCEPTION;

/// The hints for an instrumented and optimized module; `None` where it has no tests.
pub(crate) fn hints(wasm: &[u8], scan: &Scan) -> Result<Option<BranchHints>, Error> {
    let state = scan.exported(shape::ASYNCIFY_STATE, ExternalKind::Global);
    let tested = Tested {
        state: state.ok_or(Error::Internal("asyncify's state has no export"))?,
        pending: scan.exported(PENDING_EXCEPTION, ExternalKind::Global),
        // Asyncify appends its memory to the guest's own.
        flag_memory: scan.memories.len().saturating_sub(1) as u32,
    };
    let mut hints = BranchHints::new();
    let found: wasmparser::Result<Vec<Vec<BranchHint>>> = bodies(wasm)?
        .par_iter()
        .map(|body| unlikely(body, &tested))
        .collect();
    let found = found.map_err(Error::malformed)?;
    for (function, unlikely) in (scan.imported_functions..).zip(found) {
        if !unlikely.is_empty() {
            hints.function_hints(function, unlikely);
        }
    }
    Ok((!hints.is_empty()).then_some(hints))
}

/// What the tests read.
struct Tested {
    /// The global with asyncify's state.
    state: u32,
    /// The global with the exception on its way.
    pending: Option<u32>,
    /// The memory with the flag of checks. Nothing else reads single bytes of it.
    flag_memory: u32,
}

/// How much of a test has been read.
enum Read {
    Nothing,
    /// The state.
    State,
    /// The state, and a number to compare it with.
    Number,
    /// All of it, and the hint for the branch behind it: 0 is hardly ever taken, 1 nearly always.
    Test(u32),
}

/// The branches of a body on "is the state equal to a number?", which is never the normal state's,
/// on "is an exception on its way?", and on the flag of checks.
fn unlikely(body: &FunctionBody<'_>, tested: &Tested) -> wasmparser::Result<Vec<BranchHint>> {
    let start = body.range().start;
    let mut reader = body.get_operators_reader()?;
    let mut found = Vec::new();
    let mut read = Read::Nothing;
    while !reader.eof() {
        let offset = reader.original_position() - start;
        read = match (read, reader.read()?) {
            (_, Operator::GlobalGet { global_index }) if global_index == tested.state => {
                Read::State
            }
            (_, Operator::GlobalGet { global_index }) if Some(global_index) == tested.pending => {
                Read::Test(0)
            }
            (_, Operator::I32AtomicLoad8U { memarg })
                if memarg.target == MemArgTarget::Memory(tested.flag_memory) =>
            {
                Read::Test(0)
            }
            (Read::State, Operator::If { .. } | Operator::BrIf { .. }) => {
                found.push(hint(offset, 0));
                Read::Nothing
            }
            (Read::State, Operator::I32Const { value: 1.. }) => Read::Number,
            (Read::Number, Operator::I32Eq) => Read::Test(0),
            (Read::Test(taken), Operator::I32Eqz) => Read::Test(1 - taken),
            (Read::Test(taken), Operator::If { .. } | Operator::BrIf { .. }) => {
                found.push(hint(offset, taken));
                Read::Nothing
            }
            _ => Read::Nothing,
        };
    }
    Ok(found)
}

/// The hint for a branch at an offset in its body, in bytes.
fn hint(offset: u64, taken: u32) -> BranchHint {
    BranchHint {
        // Functions are shorter than 4 GiB.
        branch_func_offset: offset as u32,
        branch_hint_value: taken,
    }
}
