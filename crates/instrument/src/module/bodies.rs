//! The bodies of a module's functions, which most steps copy byte for byte but for some
//! instructions.

use std::ops::Range;

use wasm_encoder::{Encode, Instruction};
use wasmparser::{FunctionBody, Operator, Parser, Payload};

use crate::error::Error;

/// The bodies of the functions that a module defines, in order.
pub(crate) fn bodies(wasm: &[u8]) -> Result<Vec<FunctionBody<'_>>, Error> {
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? {
            bodies.push(body);
        }
    }
    Ok(bodies)
}

/// Where a body stands in its module: its locals and its instructions.
pub(crate) fn range(body: &FunctionBody<'_>) -> Range<usize> {
    // Positions are those in a module that is in memory, so they fit.
    let range = body.range();
    range.start as usize..range.end as usize
}

/// What becomes of an instruction.
pub(crate) enum Edit {
    /// It stays.
    Keep,
    /// These stand in its place.
    Replace(Vec<Instruction<'static>>),
    /// It stays, and these follow it.
    Append(Vec<Instruction<'static>>),
}

/// The body with some instructions edited. `edit` is given the position of each among the body's
/// instructions, and the instruction.
pub(crate) fn edit(
    wasm: &[u8],
    body: &FunctionBody<'_>,
    edit: impl FnMut(usize, &Operator<'_>) -> Result<Edit, Error>,
) -> Result<Vec<u8>, Error> {
    let start = range(body).start;
    let operators = body.get_operators_reader().map_err(Error::malformed)?;
    let mut out = wasm[start..operators.original_position() as usize].to_vec();
    edit_instructions(wasm, body, edit, &mut out)?;
    Ok(out)
}

/// Writes the instructions of a body, without its locals, some of them edited.
pub(crate) fn edit_instructions(
    wasm: &[u8],
    body: &FunctionBody<'_>,
    mut edit: impl FnMut(usize, &Operator<'_>) -> Result<Edit, Error>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut operators = body.get_operators_reader().map_err(Error::malformed)?;
    let mut copied = operators.original_position() as usize;
    for position in 0.. {
        if operators.eof() {
            break;
        }
        let before = operators.original_position() as usize;
        let operator = operators.read().map_err(Error::malformed)?;
        let behind = operators.original_position() as usize;
        let (until, instructions) = match edit(position, &operator)? {
            Edit::Keep => continue,
            Edit::Replace(instructions) => (before, instructions),
            Edit::Append(instructions) => (behind, instructions),
        };
        out.extend_from_slice(&wasm[copied..until]);
        for instruction in instructions {
            instruction.encode(out);
        }
        copied = behind;
    }
    out.extend_from_slice(&wasm[copied..range(body).end]);
    Ok(())
}
