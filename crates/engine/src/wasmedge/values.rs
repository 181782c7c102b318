//! Values and types: WasmEdge's as the model's, and back.

#![expect(unsafe_code, reason = "WasmEdge's C API")]

use wasmedge_sdk::FuncType;
use wasmedge_sys::instance::function::AsFunc;
use wasmedge_sys::{WasmValue, ffi};

use super::config::KIND;
use crate::Error;
use crate::model::shape::Import;
use crate::model::{ValType, Value};

/// A function of the guest's that references may point to.
pub(super) type Reference = *mut ffi::WasmEdge_FunctionInstanceContext;

/// A value of the guest's. References to functions are identified by their index in `references`.
pub(super) fn value_of(
    references: &[Reference],
    value: WasmValue,
    ty: ValType,
) -> Result<Value, Error> {
    Ok(match ty {
        ValType::I32 => Value::I32(value.to_i32() as u32),
        ValType::I64 => Value::I64(value.to_i64() as u64),
        ValType::F32 => Value::F32(value.to_f32().to_bits()),
        ValType::F64 => Value::F64(value.to_f64().to_bits()),
        ValType::V128 => Value::V128(value.to_v128() as u128),
        ValType::ExternRef if value.is_null_ref() => Value::NullExtern,
        ValType::FuncRef => match value.func_ref() {
            None => Value::FuncRef(None),
            Some(function) => {
                // SAFETY: the pointer is only compared.
                let wanted = unsafe { function.get_func_raw() };
                let index = references.iter().position(|known| *known == wanted);
                let index = index.ok_or_else(|| {
                    Error::State(KIND, "a reference points out of the module".into())
                })?;
                Value::FuncRef(Some(index as u32))
            }
        },
        ValType::ExternRef => {
            return Err(Error::State(
                KIND,
                "a host reference cannot be saved".into(),
            ));
        }
    })
}

/// The same back.
pub(super) fn wasm_value(references: &[Reference], value: Value) -> Result<WasmValue, Error> {
    Ok(match value {
        Value::I32(bits) => WasmValue::from_i32(bits as i32),
        Value::I64(bits) => WasmValue::from_i64(bits as i64),
        Value::F32(bits) => WasmValue::from_f32(f32::from_bits(bits)),
        Value::F64(bits) => WasmValue::from_f64(f64::from_bits(bits)),
        Value::V128(bits) => WasmValue::from_v128(bits as i128),
        Value::NullExtern => WasmValue::null_extern_ref(),
        Value::FuncRef(index) => {
            let function = match index {
                None => std::ptr::null_mut(),
                Some(index) => *references
                    .get(index as usize)
                    .ok_or_else(|| Error::State(KIND, format!("no function {index}")))?,
            };
            // SAFETY: null, or a function of this instance.
            unsafe { ffi::WasmEdge_ValueGenFuncRef(function) }.into()
        }
    })
}

/// The type of an import.
pub(super) fn func_type(import: &Import) -> FuncType {
    let types = |list: &[ValType]| list.iter().map(|ty| val_type(*ty)).collect();
    FuncType::new(types(&import.params), types(&import.results))
}

fn val_type(ty: ValType) -> wasmedge_sdk::ValType {
    match ty {
        ValType::I32 => wasmedge_sdk::ValType::I32,
        ValType::I64 => wasmedge_sdk::ValType::I64,
        ValType::F32 => wasmedge_sdk::ValType::F32,
        ValType::F64 => wasmedge_sdk::ValType::F64,
        ValType::V128 => wasmedge_sdk::ValType::V128,
        ValType::FuncRef => wasmedge_sdk::ValType::FuncRef,
        ValType::ExternRef => wasmedge_sdk::ValType::ExternRef,
    }
}
