//! The two-version transform: asyncify that costs almost nothing while nothing is suspended.
//!
//! Asyncify makes each function able to unwind and to rewind. What costs is the rewinding: every
//! stretch of code is guarded by "are we rewinding?", which breaks loops and registers apart. So
//! each instrumented function becomes two:
//!
//! - `F$slow` is the pass's output as it is. It restores frames.
//! - `F` begins with "rewinding? then `return F$slow(arguments)`". Behind that it is the pass's
//!   output in which every read of asyncify's state is the constant 0 (normal), except in the test
//!   "did the call that I just made start to unwind?". Folding constants gives the original code
//!   back, with one predicted branch for each call that may suspend.
//!
//! It is sound because `F`'s body is entered in the normal state only, and the state changes only
//! inside calls: right after one it may be "unwinding", and then the test jumps to the end, which
//! saves exactly what `F$slow` restores, since both are copies of one body. A function in which the
//! test after some call cannot be recognised is left as it is.
//!
//! While the guest rewinds, only bodies that restore frames run, and the host calls the entry. So
//! where every call of `F` is a direct one, `F` itself has no test at its start: bodies that restore
//! frames call `F$enter` in its place, which has the test and goes on to one of the two.
//!
//! A check (`preempt.rs`) is a call that may suspend like any other, and in a fast version not even
//! made: `branch.rs`. With checks a frame may be restored in the middle of a long loop, from where fast
//! versions for its rest are entered: `osr.rs`.

mod branch;
mod fast;
mod fold;
mod liveness;
mod osr;
mod versions;

use std::collections::HashSet;
use std::ops::Range;

use wasm_encoder::{Encode, Instruction};
use wasmparser::{
    ExternalKind, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, Parser,
    ValType, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use self::branch::Check;
use self::fast::Fast;
use self::fold::Op;
use self::versions::{Module, Versions};

use super::Error;
use super::callgraph::CallGraph;
use super::scan::Scan;
use super::sections::Sections;
use crate::model::shape;

/// Ends the names of slow versions.
pub(super) const SLOW: &str = "$slow";

/// In the names of functions that go on from a loop, in front of a number.
pub(super) const OSR: &str = "$osr";

/// Ends the names of functions that go on to one of two versions.
const ENTER: &str = "$enter";

/// Asyncify's numbers for its states.
const UNWINDING: i32 = 1;
const REWINDING: i32 = 2;

/// Splits every function that asyncify has instrumented. `blocks` says which imports may suspend.
pub(super) fn split(wasm: &[u8], blocks: impl Fn(&str, &str) -> bool) -> Result<Vec<u8>, Error> {
    let mut scan = Scan::of(wasm)?;
    super::opaque::note(&mut scan);
    let state = state(&scan)?;
    let bodies = bodies(wasm)?;
    let check = Check::of(&scan);
    let graph = CallGraph::new(&scan, |function| {
        let import = scan.imports.get(function as usize);
        import.is_some_and(|import| blocks(&import.module, &import.name))
    });

    let mut instrumented = Vec::new();
    for (function, body) in (scan.imported_functions..).zip(&bodies) {
        if is_guest(&scan, function) && reads(&body.body, state)? {
            instrumented.push(function);
        } else if graph.may_suspend(function) {
            // Its frame would be lost.
            return Err(Error::Binaryen);
        }
    }

    let entered = entered_from_outside(&scan);
    let mut versions = Versions::default();
    for function in &instrumented {
        let place = (function - scan.imported_functions) as usize;
        let Some(fast) = Fast::of(wasm, &bodies[place], state, &graph, check)? else {
            continue;
        };
        // A body with segments of data goes through Binaryen once more, which takes no tail calls.
        let entries = match check.is_some() && !scan.bodies[place].data {
            true => osr::entries(&fast),
            false => Vec::new(),
        };
        versions.add(&scan, *function, &fast, &entries, &entered)?;
    }
    versions.enter(&scan, &entered);

    let mut sections = Sections::split(wasm)?;
    let module = Module {
        wasm,
        scan: &scan,
        bodies: &bodies,
        state,
        check,
    };
    module.write(&mut sections, &instrumented, &versions)?;
    Ok(sections.join())
}

/// Asyncify's output with its checks alone made cheaper.
pub(super) fn whole(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(wasm)?;
    let Some(check) = Check::of(&scan) else {
        return Ok(wasm.to_vec());
    };
    let bodies = bodies(wasm)?;
    let module = Module {
        wasm,
        scan: &scan,
        bodies: &bodies,
        state: state(&scan)?,
        check: Some(check),
    };
    let all = scan.imported_functions..scan.functions.len() as u32;
    let mut sections = Sections::split(wasm)?;
    module.write(
        &mut sections,
        &all.collect::<Vec<_>>(),
        &Versions::default(),
    )?;
    Ok(sections.join())
}

/// The global with asyncify's state.
fn state(scan: &Scan) -> Result<u32, Error> {
    let state = scan.exports.iter().find_map(|(name, kind, index)| {
        (*kind == ExternalKind::Global && name == shape::ASYNCIFY_STATE).then_some(*index)
    });
    state.ok_or(Error::Binaryen)
}

/// Gives the first locals to a call.
fn arguments(count: u32, out: &mut Vec<u8>) {
    for local in 0..count {
        Instruction::LocalGet(local).encode(out);
    }
}

/// Functions that something else than a direct call may enter: the host, or an indirect call.
fn entered_from_outside(scan: &Scan) -> HashSet<u32> {
    let exports = scan.exports.iter();
    let exported = exports.filter_map(|(_, kind, index)| match kind {
        ExternalKind::Func | ExternalKind::FuncExact => Some(*index),
        _ => None,
    });
    let elements = scan.elements.iter().flat_map(|segment| &segment.functions);
    exported
        .chain(elements.copied())
        .chain(scan.referenced.iter().copied())
        .chain(scan.start)
        .collect()
}

/// A function's body, and what is needed to follow its operands.
struct Defined<'a> {
    body: FunctionBody<'a>,
    types: FuncToValidate<ValidatorResources>,
}

/// The bodies of a module that Binaryen has written.
fn bodies(wasm: &[u8]) -> Result<Vec<Defined<'_>>, Error> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        if let ValidPayload::Func(types, body) = valid {
            bodies.push(Defined { body, types });
        }
    }
    Ok(bodies)
}

impl<'a> Defined<'a> {
    fn range(&self) -> Range<usize> {
        // Positions are those in a module that is in memory, so they fit.
        let range = self.body.range();
        range.start as usize..range.end as usize
    }

    /// Its instructions, and the types of its parameters and other locals.
    fn decode(&self) -> wasmparser::Result<(Vec<Op<'a>>, Vec<ValType>)> {
        let allocations = FuncValidatorAllocations::default();
        let types = FuncToValidate {
            resources: self.types.resources.clone(),
            ..self.types
        };
        let mut validator = types.into_validator(allocations);
        validator.read_locals(&mut self.body.get_binary_reader())?;
        let mut reader = self.body.get_operators_reader()?;
        let mut ops = Vec::new();
        while !reader.eof() {
            let start = reader.original_position();
            let operator = reader.read()?;
            let arity = operator.operator_arity(&validator.visitor(start));
            let operands = u32::from(matches!(operator, Operator::If { .. }));
            let frame = validator.get_control_frame(0);
            let alone = validator.operand_stack_height() == operands
                && frame.is_some_and(|frame| !frame.unreachable);
            validator.op(start, &operator)?;
            ops.push(Op {
                operator,
                start: start as usize,
                end: reader.original_position() as usize,
                // The validator has just used it.
                arity: arity.unwrap_or_default(),
                alone,
            });
        }
        let types = (0..validator.len_locals()).filter_map(|i| validator.get_local_type(i));
        Ok((ops, types.collect()))
    }
}

/// One of the guest's functions, not of asyncify's own.
fn is_guest(scan: &Scan, function: u32) -> bool {
    let name = scan.names.get(&function);
    name.is_some_and(|name| super::prepare::original_function(name).is_some())
}

fn reads(body: &FunctionBody<'_>, global: u32) -> Result<bool, Error> {
    for operator in body.get_operators_reader().map_err(Error::malformed)? {
        if matches!(
            operator.map_err(Error::malformed)?,
            Operator::GlobalGet { global_index } if global_index == global
        ) {
            return Ok(true);
        }
    }
    Ok(false)
}
