//! How functions are entered while frames are restored: the choice between two versions.

use wasm_encoder::{BlockType, Instruction as I};

use super::code::Code;
use super::context::Context;
use crate::error::Error;

/// Writes the start of a fast version that something else than a direct call may enter: while
/// frames are restored, it goes on to the slow one.
pub(super) fn go_on_to_slow(context: &Context<'_>, function: u32, code: &mut Code) {
    if !context.versions.enter.contains_key(&function) {
        choose_slow(context, function, code);
    }
}

fn choose_slow(context: &Context<'_>, function: u32, code: &mut Code) {
    let Some(slow) = context.versions.slow.get(&function) else {
        return;
    };
    code.push(&I::GlobalGet(context.state));
    code.push(&I::If(BlockType::Empty));
    call(context, function, *slow, code);
    code.push(&I::Return);
    code.push(&I::End);
}

/// The bodies of the functions that choose, in order, and of the one for checks.
pub(super) fn bodies(context: &Context<'_>) -> Result<Vec<Code>, Error> {
    let mut bodies = Vec::new();
    for function in context.versions.enter.keys() {
        let mut code = Code::with_locals(&[])?;
        choose_slow(context, *function, &mut code);
        call(context, *function, *function, &mut code);
        code.push(&I::End);
        bodies.push(code);
    }
    if let Some(check) = context.versions.check {
        bodies.push(check_body(context, check)?);
    }
    Ok(bodies)
}

/// Writes a call of a version of a function, with the function's own parameters.
fn call(context: &Context<'_>, function: u32, version: u32, code: &mut Code) {
    let ty = context.calls.scan.type_of(function);
    let parameters = ty.map_or(0, |ty| ty.params().len() as u32);
    for parameter in 0..parameters {
        code.push(&I::LocalGet(parameter));
    }
    code.push(&I::Call(version));
}

/// The function that slow versions call as a check. It calls the host only where the flag is set,
/// or where the frame is being restored.
fn check_body(context: &Context<'_>, import: u32) -> Result<Code, Error> {
    let mut code = Code::with_locals(&[])?;
    code.push(&I::GlobalGet(context.state));
    context.load_flag(&mut code);
    code.push(&I::I32Or);
    code.push(&I::If(BlockType::Empty));
    code.push(&I::Call(import));
    code.push(&I::End);
    code.push(&I::End);
    Ok(code)
}
