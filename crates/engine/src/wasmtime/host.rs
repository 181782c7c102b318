//! Host calls, and the state of wasmtime's `Store` that they need.

#![expect(
    unsafe_code,
    reason = "arguments are taken as they lie on the stack, which halves what a host call costs"
)]

use std::mem::MaybeUninit;
use std::sync::Arc;

use wasmtime::{Global, Linker, Memory, Val, ValRaw};

use super::values::{from_raw_bits, func_type, raw_bits};
use crate::asyncify::State;
use crate::model::shape::Import;
use crate::model::{Limits, Reached};
use crate::{Flow, Guest, HostCallback, MemoryGovernor};

/// The state of wasmtime's `Store`: what host calls need.
pub(super) struct HostData {
    /// The callback. `None` while a host call runs: one inside of it ends the guest.
    host: Option<HostCallback>,
    /// `None` while the module is being instantiated: its initial memories and tables are neither
    /// limited nor counted.
    pub(super) handles: Option<Handles>,
    pub(super) limits: Limits,
    /// The last limit at which `memory.grow` or `table.grow` has answered -1.
    pub(super) last_refused: Option<Reached>,
    pub(super) governor: Option<Arc<dyn MemoryGovernor>>,
}

impl HostData {
    pub(super) fn new(
        host: HostCallback,
        limits: Limits,
        governor: Option<Arc<dyn MemoryGovernor>>,
    ) -> Self {
        Self {
            host: Some(host),
            handles: None,
            limits,
            last_refused: None,
            governor,
        }
    }
}

/// Where host calls find the guest's memories and asyncify's state.
#[derive(Clone)]
pub(super) struct Handles {
    pub(super) memories: Arc<[Memory]>,
    pub(super) asyncify_memory: Memory,
    pub(super) state: Global,
    pub(super) data: Global,
}

/// Ends a call into the guest without a trap's backtrace.
#[derive(Debug, thiserror::Error)]
#[error("the guest was stopped by a host call")]
pub(super) struct Stopped;

/// The guest during a host call.
struct Calling<'a> {
    caller: wasmtime::Caller<'a, HostData>,
    handles: Handles,
}

impl Guest for Calling<'_> {
    fn memory(&mut self, index: usize) -> &mut [u8] {
        match self.handles.memories.get(index) {
            Some(memory) => memory.data_mut(&mut self.caller),
            None => &mut [],
        }
    }

    fn asyncify_memory(&mut self) -> &mut [u8] {
        self.handles.asyncify_memory.data_mut(&mut self.caller)
    }

    fn set_asyncify(&mut self, state: State, data: u32) {
        set_asyncify(&mut self.caller, &self.handles, state, data);
    }
}

pub(super) fn set_asyncify(
    mut store: impl wasmtime::AsContextMut,
    handles: &Handles,
    state: State,
    data: u32,
) {
    // Both are mutable globals of type i32, which asyncify made: setting them cannot fail.
    let _ = handles.state.set(&mut store, Val::I32(state as i32));
    let _ = handles.data.set(&mut store, Val::I32(data as i32));
}

/// For so many parameters there is room on the stack: the canonical ABI passes up to 16, and where
/// to put a result. Only a function of the embedding program can have more.
const PARAMS_ON_STACK: usize = 17;

/// Defines the host function for one import, which hands the call to the instance's callback.
pub(super) fn define(
    linker: &mut Linker<HostData>,
    import: &Import,
    index: usize,
) -> wasmtime::Result<()> {
    let ty = func_type(linker.engine(), import);
    let (params, result) = (import.params.clone(), import.results.first().copied());
    let function = move |caller: wasmtime::Caller<'_, HostData>,
                         values: &mut [MaybeUninit<ValRaw>]| {
        let (mut few, mut many) = ([0; PARAMS_ON_STACK], Vec::new());
        let arguments = match few.get_mut(..params.len()) {
            Some(few) => few,
            None => {
                many.resize(params.len(), 0);
                &mut many[..]
            }
        };
        for ((raw, value), ty) in arguments.iter_mut().zip(&*values).zip(&params) {
            // SAFETY: Wasmtime has put a value there for each parameter of the function's type,
            // which was made of `params`.
            *raw = raw_bits(*ty, unsafe { value.assume_init_ref() });
        }
        let bits = call(caller, index, arguments)?;
        if let (Some(ty), Some(slot)) = (result, values.first_mut()) {
            slot.write(from_raw_bits(ty, bits));
        }
        Ok(())
    };
    // SAFETY: the function reads what `ty` says that it is given, and leaves a result of the type
    // that `ty` says that it has: a number, since the canonical ABI and preview1 have no others, or
    // a null reference.
    unsafe { linker.func_new_unchecked(&import.module, &import.name, ty, function) }.map(drop)
}

/// Hands a call to the instance's callback, and gives the bits of its result.
fn call(
    mut caller: wasmtime::Caller<'_, HostData>,
    index: usize,
    arguments: &[u64],
) -> wasmtime::Result<u64> {
    let data = caller.data_mut();
    let (Some(mut host), Some(handles)) = (data.host.take(), data.handles.take()) else {
        return Err(Stopped.into());
    };
    let mut calling = Calling { caller, handles };
    let flow = host(&mut calling, index, arguments);
    let Calling {
        mut caller,
        handles,
    } = calling;
    let data = caller.data_mut();
    (data.host, data.handles) = (Some(host), Some(handles));
    match flow {
        Flow::Return(bits) => Ok(bits),
        Flow::Unwind => Ok(0),
        Flow::Stop => Err(Stopped.into()),
    }
}
