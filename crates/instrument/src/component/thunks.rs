//! Functions in front of the host, which do what the host cannot do from within a call: they
//! allocate memory for results, and run destructors.
//!
//! The host never calls the guest. A call whose result needs memory writes nothing yet, and the
//! host keeps the result. Then the thunk asks the host, some blocks at a time, what the result
//! needs, and allocates it in the guest. All waiting is done before the first allocation.

use dormouse_model::lowered::allocations::{
    ALIGN_MASK, ALIGN_SHIFT, BLOCK_BITS, IS_BLOCK, MAX_BLOCKS, NO_BLOCKS, ONE_ALIGN_SHIFT,
    SIZE_MASK,
};
use dormouse_model::lowered::{Builtin, Handle, Resource, Trap};
use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::callees::{Callees, Signature};
use super::plan::{Definition, Lower, Trampoline};
use super::transcode;
use crate::error::ComponentError;

type Result<T> = std::result::Result<T, ComponentError>;

/// A function of the flattened module, with its name.
pub(super) struct Thunk {
    pub name: String,
    pub signature: Signature,
    pub function: Function,
}

/// The thunk of a trampoline.
pub(super) fn thunk(callees: &Callees<'_>, trampoline: &Trampoline) -> Result<Thunk> {
    match trampoline {
        Trampoline::Lower(lower) => Ok(Thunk {
            name: lower.name.clone(),
            signature: (lower.params.clone(), lower.results.clone()),
            function: lowered(callees, lower)?,
        }),
        Trampoline::ResourceNew(handle) => Ok(Thunk {
            name: format!("[resource-new]{}", name(&handle.resource)),
            signature: (vec![ValType::I32], vec![ValType::I32]),
            function: resource_new(callees, handle)?,
        }),
        Trampoline::ResourceDrop(handle, destructor) => Ok(Thunk {
            name: format!("[resource-drop]{}", name(&handle.resource)),
            signature: (vec![ValType::I32], vec![]),
            function: resource_drop(callees, handle, *destructor)?,
        }),
        Trampoline::Transcode {
            transcode,
            from,
            to,
        } => {
            let trap = transcode.trap().map(Builtin::Trap);
            let trap = trap.map(|trap| callees.builtin(trap)).transpose()?;
            let (from, to) = (callees.memory(*from)?, callees.memory(*to)?);
            Ok(Thunk {
                name: format!("{transcode:?}"),
                signature: transcode::signature(*transcode),
                function: transcode::function(*transcode, from, to, trap),
            })
        }
        Trampoline::ResourceRep(_) | Trampoline::Adapter(_) => Err(ComponentError::Internal(
            "a thunk where none is needed".into(),
        )),
    }
}

/// What a function of a shim becomes: it traps while the slots are empty, and hands its arguments
/// on.
pub(super) fn of_shim(is_filled: u32, params: u32, called: u32) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.global_get(is_filled).i32_eqz().if_(BlockType::Empty);
    code.unreachable().end();
    for param in 0..params {
        code.local_get(param);
    }
    code.call(called).end();
    function
}

fn lowered(callees: &Callees<'_>, lower: &Lower) -> Result<Function> {
    let params = lower.params.len() as u32;
    let locals: &[_] = match lower.realloc {
        Some(_) => &[(MAX_BLOCKS as u32 + 1, ValType::I32), (1, ValType::I64)],
        None => &[],
    };
    let mut function = Function::new(locals.iter().copied());
    let mut code = function.instructions();
    guard(callees, lower.instance, &mut code)?;
    for param in 0..params {
        code.local_get(param);
    }
    code.call(callees.import(&callees.lowered(lower)?)?);
    if let Some(realloc) = lower.realloc {
        let memory = lower.memory.ok_or_else(|| {
            ComponentError::Internal("a result is written where there is no memory".into())
        })?;
        let memory = callees.memory(memory)?;
        let next = callees.builtin(Builtin::NextAllocations { memory })?;
        let may_leave = callees.spaces.may_leave(lower.instance);
        set(&mut code, may_leave, 0);
        allocate(&mut code, next, callees.function(realloc)?, params);
        set(&mut code, may_leave, 1);
    }
    code.end();
    Ok(function)
}

/// Allocates what the host asks for, until it asks for nothing more. The locals from `first` on are
/// the blocks, one number of 32 bits, and the request.
fn allocate(code: &mut InstructionSink<'_>, next: u32, realloc: u32, first: u32) {
    let blocks = first..first + MAX_BLOCKS as u32;
    let (small, request) = (blocks.end, blocks.end + 1);
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    for block in blocks.clone() {
        code.local_get(block);
    }
    code.call(next).local_tee(request);
    code.i64_const(NO_BLOCKS as i64).i64_eq().br_if(1);
    code.local_get(request).i64_const(0).i64_lt_s();
    code.if_(BlockType::Empty);
    // The old block, its size, the alignment, the new size.
    code.i32_const(0).i32_const(0);
    code.i32_const(1).local_get(request);
    code.i64_const(ONE_ALIGN_SHIFT.into())
        .i64_shr_u()
        .i32_wrap_i64();
    code.i32_const(ALIGN_MASK as i32).i32_and().i32_shl();
    code.local_get(request).i32_wrap_i64();
    code.call(realloc).local_set(first);
    code.else_();
    for (place, block) in blocks.enumerate() {
        code.local_get(request);
        code.i64_const(i64::from(BLOCK_BITS) * place as i64)
            .i64_shr_u();
        code.i32_wrap_i64().local_tee(small);
        // Where there is no block the next request is asked for.
        code.i32_const(IS_BLOCK as i32).i32_and().i32_eqz().br_if(1);
        code.i32_const(0).i32_const(0);
        code.i32_const(1).local_get(small);
        code.i32_const(ALIGN_SHIFT as i32).i32_shr_u();
        code.i32_const(ALIGN_MASK as i32).i32_and().i32_shl();
        code.local_get(small).i32_const(SIZE_MASK as i32).i32_and();
        code.call(realloc).local_set(block);
    }
    code.end().br(0).end().end();
}

fn resource_new(callees: &Callees<'_>, handle: &Handle) -> Result<Function> {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    guard(callees, handle.instance, &mut code)?;
    code.local_get(0);
    code.call(callees.builtin(Builtin::ResourceNew(handle.clone()))?)
        .end();
    Ok(function)
}

fn resource_drop(
    callees: &Callees<'_>,
    handle: &Handle,
    destructor: Option<Definition>,
) -> Result<Function> {
    let mut function = Function::new([(1, ValType::I64)]);
    let mut code = function.instructions();
    guard(callees, handle.instance, &mut code)?;
    code.local_get(0);
    code.call(callees.builtin(Builtin::ResourceDrop(handle.clone()))?);
    match destructor {
        Some(destructor) => {
            code.local_tee(1)
                .i64_const(-1)
                .i64_ne()
                .if_(BlockType::Empty);
            code.local_get(1)
                .i32_wrap_i64()
                .call(callees.function(destructor)?)
                .end();
        }
        None => {
            code.drop();
        }
    }
    code.end();
    Ok(function)
}

/// Traps where the instance must not call others now.
fn guard(callees: &Callees<'_>, instance: u32, code: &mut InstructionSink<'_>) -> Result<()> {
    if let Some(may_leave) = callees.spaces.may_leave(instance) {
        code.global_get(may_leave).i32_eqz().if_(BlockType::Empty);
        code.call(callees.builtin(Builtin::Trap(Trap::CannotLeave))?);
        code.unreachable().end();
    }
    Ok(())
}

/// Says whether an instance may call others.
pub(super) fn set(code: &mut InstructionSink<'_>, may_leave: Option<u32>, value: i32) {
    if let Some(may_leave) = may_leave {
        code.i32_const(value).global_set(may_leave);
    }
}

fn name(resource: &Resource) -> &str {
    match resource {
        Resource::Host { name, .. } => name,
        Resource::Own(_) => "resource",
    }
}
