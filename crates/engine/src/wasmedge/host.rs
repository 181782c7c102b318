//! Host calls from WasmEdge, and the guest as they see it.

#![expect(unsafe_code, reason = "callbacks from WasmEdge's C API")]

use wasmedge_sdk::AsInstance;
use wasmedge_sdk::error::{CoreCommonError, CoreError};
use wasmedge_sys::{CallingFrame, WasmValue};

use super::config::WASM_PAGE;
use super::faults;
use crate::asyncify::State;
use crate::model::{ValType, shape};
use crate::{Flow, Guest, HostCallback};

/// What one host function is given by WasmEdge.
pub(super) struct HostFunction {
    pub(super) index: usize,
    pub(super) result: Option<ValType>,
    pub(super) host: *mut Host,
}

/// What all host functions of an instance share.
pub(super) struct Host {
    pub(super) callback: HostCallback,
    /// Index of asyncify's memory, which follows the guest's memories.
    pub(super) asyncify_memory: u32,
    pub(super) stopped: bool,
}

/// The guest during a host call.
struct Calling<'a> {
    instance: &'a mut wasmedge_sdk::Instance,
    frame: &'a mut CallingFrame,
    asyncify_memory: u32,
}

impl Calling<'_> {
    fn memory_at(&mut self, index: u32) -> &mut [u8] {
        let Some(mut memory) = self.frame.memory_mut(index) else {
            return &mut [];
        };
        let bytes = memory.size() as usize * WASM_PAGE;
        // SAFETY: the pointer is used below alone, while the frame is borrowed.
        match unsafe { memory.data_pointer_mut(0, 1) } {
            // SAFETY: the pointer is to the memory's first byte, and the memory has `bytes` bytes.
            // The slice borrows the frame, and nothing grows the memory during a host call.
            Ok(start) if bytes > 0 => unsafe { std::slice::from_raw_parts_mut(start, bytes) },
            _ => &mut [],
        }
    }
}

impl Guest for Calling<'_> {
    fn memory(&mut self, index: usize) -> &mut [u8] {
        match u32::try_from(index) {
            Ok(index) if index < self.asyncify_memory => self.memory_at(index),
            _ => &mut [],
        }
    }

    fn asyncify_memory(&mut self) -> &mut [u8] {
        self.memory_at(self.asyncify_memory)
    }

    fn set_asyncify(&mut self, state: State, data: u32) {
        set_asyncify(self.instance, state, data);
    }
}

/// Both are mutable globals of type i32, which asyncify made: setting them cannot fail.
pub(super) fn set_asyncify(instance: &mut wasmedge_sdk::Instance, state: State, data: u32) {
    let values = [
        (shape::ASYNCIFY_STATE, state as i32),
        (shape::ASYNCIFY_DATA, data as i32),
    ];
    for (name, value) in values {
        if let Ok(mut global) = instance.get_global_mut(name) {
            let _ = global.set_value(WasmValue::from_i32(value));
        }
    }
}

/// Every host function: hands the call to the instance's callback.
pub(super) fn call_host(
    function: &mut HostFunction,
    instance: &mut wasmedge_sdk::Instance,
    frame: &mut CallingFrame,
    arguments: Vec<WasmValue>,
) -> Result<Vec<WasmValue>, CoreError> {
    let raw: Vec<u64> = arguments
        .iter()
        .map(|value| match value.ty() {
            wasmedge_sdk::ValType::I32 => u64::from(value.to_i32() as u32),
            wasmedge_sdk::ValType::I64 => value.to_i64() as u64,
            wasmedge_sdk::ValType::F32 => u64::from(value.to_f32().to_bits()),
            wasmedge_sdk::ValType::F64 => value.to_f64().to_bits(),
            _ => 0,
        })
        .collect();
    // SAFETY: the host lives as long as its functions, and only one host call of an instance runs
    // at a time.
    let host = unsafe { &mut *function.host };
    let mut calling = Calling {
        instance,
        frame,
        asyncify_memory: host.asyncify_memory,
    };
    let flow = faults::run_host(|| (host.callback)(&mut calling, function.index, &raw));
    let bits = match flow {
        Flow::Return(bits) => bits,
        Flow::Unwind => 0,
        Flow::Stop => {
            host.stopped = true;
            return Err(CoreError::Common(CoreCommonError::Terminated));
        }
    };
    Ok(match function.result {
        None => Vec::new(),
        Some(ValType::I64) => vec![WasmValue::from_i64(bits as i64)],
        Some(ValType::F32) => vec![WasmValue::from_f32(f32::from_bits(bits as u32))],
        Some(ValType::F64) => vec![WasmValue::from_f64(f64::from_bits(bits))],
        Some(_) => vec![WasmValue::from_i32(bits as i32)],
    })
}
