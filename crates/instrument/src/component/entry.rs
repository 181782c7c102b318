//! What the flattened module exports as `_start`: it runs the program, or has it handle HTTP
//! requests, one after another, for as long as there are any.

use dormouse_model::lowered::Builtin;
use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::callees::Callees;
use super::plan::{Entry, Exported};
use super::thunks::set;
use crate::error::ComponentError;

type Result<T> = std::result::Result<T, ComponentError>;

/// The local that holds what `run` has given.
const FAILED: u32 = 0;
/// The local that holds the handles of a request and of where its response goes.
const HANDLES: u32 = 1;

/// The function `_start`.
pub(super) fn start(callees: &Callees<'_>, entry: &Entry) -> Result<Function> {
    let (run, serve) = entry.functions();
    let keeps_result = run.is_some_and(|run| run.post_return.is_some());
    let locals: &[_] = match (keeps_result, serve) {
        (false, None) => &[],
        (true, None) => &[(1, ValType::I32)],
        (_, Some(_)) => &[(1, ValType::I32), (1, ValType::I64)],
    };
    let mut function = Function::new(locals.iter().copied());
    let mut code = function.instructions();
    match entry {
        Entry::Run(exported) => self::run(callees, exported, &mut code)?,
        Entry::Serve(exported) => handle(callees, exported, &mut code)?,
        Entry::Both { run, serve } => {
            code.call(callees.builtin(Builtin::IsServing)?);
            code.if_(BlockType::Empty);
            handle(callees, serve, &mut code)?;
            code.else_();
            self::run(callees, run, &mut code)?;
            code.end();
        }
    }
    code.end();
    Ok(function)
}

/// Calls `run`, and ends the program where that fails.
fn run(callees: &Callees<'_>, run: &Exported, code: &mut InstructionSink<'_>) -> Result<()> {
    code.call(callees.function(run.function)?);
    if let Some(post_return) = run.post_return {
        code.local_set(FAILED);
        let may_leave = callees.spaces.may_leave(run.instance);
        set(code, may_leave, 0);
        code.local_get(FAILED).call(callees.function(post_return)?);
        set(code, may_leave, 1);
        code.local_get(FAILED);
    }
    code.if_(BlockType::Empty);
    code.i32_const(1).call(callees.builtin(Builtin::Exit)?);
    code.unreachable().end();
    Ok(())
}

/// Calls `handle` for each request.
fn handle(callees: &Callees<'_>, serve: &Exported, code: &mut InstructionSink<'_>) -> Result<()> {
    let instance = serve.table;
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.call(callees.builtin(Builtin::NextRequest { instance })?);
    code.local_tee(HANDLES).i64_const(-1).i64_eq().br_if(1);
    code.local_get(HANDLES)
        .i64_const(32)
        .i64_shr_u()
        .i32_wrap_i64();
    code.local_get(HANDLES).i32_wrap_i64();
    code.call(callees.function(serve.function)?);
    if let Some(post_return) = serve.post_return {
        let may_leave = callees.spaces.may_leave(serve.instance);
        set(code, may_leave, 0);
        code.call(callees.function(post_return)?);
        set(code, may_leave, 1);
    }
    code.br(0).end().end();
    Ok(())
}
