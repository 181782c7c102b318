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

use std::collections::{HashMap, HashSet};

use wasm_encoder::{CodeSection, Encode, Instruction, NameMap, NameSection, SectionId};
use wasmparser::{ExternalKind, FunctionBody, Operator, Parser, Payload};

use super::Error;
use super::prepare::content;
use super::scan::Scan;
use super::sections::Sections;
use crate::model::shape;

/// Ends the names of slow versions.
pub(super) const SLOW: &str = "$slow";

/// Asyncify's numbers for its states.
const UNWINDING: i32 = 1;
const REWINDING: i32 = 2;

/// Splits every function that asyncify has instrumented. `blocks` says which imports may suspend.
pub(super) fn split(wasm: &[u8], blocks: impl Fn(&str, &str) -> bool) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(wasm)?;
    let state = scan.exports.iter().find_map(|(name, kind, index)| {
        (*kind == ExternalKind::Global && name == shape::ASYNCIFY_STATE).then_some(*index)
    });
    let state = state.ok_or(Error::Binaryen)?;
    let bodies = bodies(wasm)?;

    let imports = scan.imports.iter().enumerate();
    let mut suspending: HashSet<u32> = imports
        .filter(|(_, import)| blocks(&import.module, &import.name))
        .map(|(index, _)| index as u32)
        .collect();
    let mut instrumented = Vec::new();
    for (function, body) in (scan.imported_functions..).zip(&bodies) {
        if is_guest(&scan, function) && reads(body, state)? {
            suspending.insert(function);
            instrumented.push(function);
        }
    }

    let mut slow_of = HashMap::new();
    let mut fast = HashMap::new();
    for function in instrumented {
        let body = &bodies[(function - scan.imported_functions) as usize];
        let slow = (scan.functions.len() + slow_of.len()) as u32;
        let params = scan
            .func_type(scan.functions[function as usize])
            .map_or(0, |ty| ty.params().len() as u32);
        if let Some(bytes) = fast_body(wasm, body, state, &suspending, slow, params)? {
            slow_of.insert(function, slow);
            fast.insert(function, bytes);
        }
    }

    let mut sections = Sections::split(wasm)?;
    write(&mut sections, wasm, &scan, &bodies, &slow_of, &fast)?;
    Ok(sections.join())
}

fn bodies(wasm: &[u8]) -> Result<Vec<FunctionBody<'_>>, Error> {
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? {
            bodies.push(body);
        }
    }
    Ok(bodies)
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

/// The fast version of a body, or `None` where a call has no test that can be recognised.
fn fast_body(
    wasm: &[u8],
    body: &FunctionBody<'_>,
    state: u32,
    suspending: &HashSet<u32>,
    slow: u32,
    params: u32,
) -> Result<Option<Vec<u8>>, Error> {
    let mut operators = Vec::new();
    let mut reader = body.get_operators_reader().map_err(Error::malformed)?;
    // Positions are those in a module that is in memory, so they fit.
    let start = reader.original_position() as usize;
    while !reader.eof() {
        let operator = reader.read().map_err(Error::malformed)?;
        operators.push((operator, reader.original_position() as usize));
    }

    let body_start = body.range().start as usize;
    let mut out = wasm[body_start..start].to_vec();
    for instruction in [
        Instruction::GlobalGet(state),
        Instruction::I32Const(REWINDING),
        Instruction::I32Eq,
        Instruction::If(wasm_encoder::BlockType::Empty),
    ] {
        instruction.encode(&mut out);
    }
    for param in 0..params {
        Instruction::LocalGet(param).encode(&mut out);
    }
    Instruction::Call(slow).encode(&mut out);
    Instruction::Return.encode(&mut out);
    Instruction::End.encode(&mut out);

    let mut copied = start;
    for (place, (operator, end)) in operators.iter().enumerate() {
        let rest = &operators[place + 1..];
        match operator {
            Operator::GlobalGet { global_index }
                if *global_index == state && !is_unwinding_test(rest) =>
            {
                let before = operators[..place].last().map_or(start, |(_, end)| *end);
                out.extend_from_slice(&wasm[copied..before]);
                Instruction::I32Const(0).encode(&mut out);
                copied = *end;
            }
            Operator::Call { function_index }
                if suspending.contains(function_index) && !is_tested(rest, state) =>
            {
                return Ok(None);
            }
            Operator::CallIndirect { .. } if !is_tested(rest, state) => return Ok(None),
            _ => {}
        }
    }
    out.extend_from_slice(&wasm[copied..body.range().end as usize]);
    Ok(Some(out))
}

/// What follows a read of the state in "is it unwinding?".
fn is_unwinding_test(rest: &[(Operator<'_>, usize)]) -> bool {
    matches!(
        rest,
        [
            (Operator::I32Const { value: UNWINDING }, _),
            (Operator::I32Eq, _),
            ..
        ]
    )
}

/// Whether the test follows a call, with nothing but the call's result put away in between.
fn is_tested(rest: &[(Operator<'_>, usize)], state: u32) -> bool {
    for (place, (operator, _)) in rest.iter().enumerate() {
        match operator {
            Operator::LocalSet { .. } | Operator::Drop | Operator::I32Const { .. } => {}
            Operator::GlobalGet { global_index } if *global_index == state => {
                return is_unwinding_test(&rest[place + 1..]);
            }
            _ => return false,
        }
    }
    false
}

/// Puts fast versions in place and slow ones at the end.
fn write(
    sections: &mut Sections,
    wasm: &[u8],
    scan: &Scan,
    bodies: &[FunctionBody<'_>],
    slow_of: &HashMap<u32, u32>,
    fast: &HashMap<u32, Vec<u8>>,
) -> Result<(), Error> {
    let raw = |body: &FunctionBody<'_>| {
        let range = body.range();
        &wasm[range.start as usize..range.end as usize]
    };
    let mut slow: Vec<(u32, u32)> = slow_of.iter().map(|(f, slow)| (*slow, *f)).collect();
    slow.sort_unstable();

    let mut code = CodeSection::new();
    for (function, body) in (scan.imported_functions..).zip(bodies) {
        code.raw(fast.get(&function).map_or_else(|| raw(body), Vec::as_slice));
    }
    let mut types = Vec::new();
    for (_, function) in &slow {
        code.raw(raw(&bodies[(function - scan.imported_functions) as usize]));
        scan.functions[*function as usize].encode(&mut types);
    }
    sections.replace(SectionId::Code, content(&code));
    sections.append(SectionId::Function, slow.len() as u32, &types)?;

    let mut known: Vec<(u32, String)> = scan.names.iter().map(|(i, n)| (*i, n.clone())).collect();
    for (slow, function) in &slow {
        if let Some(name) = scan.names.get(function) {
            known.push((*slow, format!("{name}{SLOW}")));
        }
    }
    known.sort_unstable();
    let mut names = NameMap::new();
    for (index, name) in &known {
        names.append(*index, name);
    }
    sections.remove(SectionId::Custom);
    let mut section = NameSection::new();
    section.functions(&names);
    sections.add_custom("name", &section.as_custom().data);
    Ok(())
}
