//! Host calls, and the state of wasmtime's `Store` that they need.

use std::sync::Arc;

use wasmtime::{Global, Memory, Val};

use super::values::{from_raw_bits, raw_bits};
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

/// No host function has more parameters: the canonical ABI passes up to 16, and where to put a
/// result.
const MAX_PARAMS: usize = 17;

/// The host function for one import: hands the call to the instance's callback.
pub(super) fn host_function(
    import: &Import,
    index: usize,
) -> impl Fn(wasmtime::Caller<'_, HostData>, &[Val], &mut [Val]) -> wasmtime::Result<()> + use<> {
    let result = import.results.first().copied();
    move |mut caller, params, results| {
        let mut arguments = [0; MAX_PARAMS];
        let count = params.len().min(arguments.len());
        for (raw, value) in arguments.iter_mut().zip(params) {
            *raw = raw_bits(value);
        }
        let data = caller.data_mut();
        let (Some(mut host), Some(handles)) = (data.host.take(), data.handles.take()) else {
            return Err(Stopped.into());
        };
        let mut calling = Calling { caller, handles };
        let flow = host(&mut calling, index, &arguments[..count]);
        let Calling {
            mut caller,
            handles,
        } = calling;
        let data = caller.data_mut();
        (data.host, data.handles) = (Some(host), Some(handles));
        let bits = match flow {
            Flow::Return(bits) => bits,
            Flow::Unwind => 0,
            Flow::Stop => return Err(Stopped.into()),
        };
        if let (Some(ty), Some(slot)) = (result, results.first_mut()) {
            *slot = from_raw_bits(ty, bits);
        }
        Ok(())
    }
}
