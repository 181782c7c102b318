//! Values and types: Wasmtime's as the model's, and back.

use wasmtime::{AsContextMut, Func, FuncType, RefType, Val, ValRaw};

use super::error::KIND;
use crate::Error;
use crate::model::shape::Import;
use crate::model::{ValType, Value};

/// A value of the guest's. References to functions are identified by their index in `functions`.
pub(super) fn value_of(
    mut store: impl AsContextMut,
    functions: &[Func],
    value: Val,
) -> Result<Value, Error> {
    Ok(match value {
        Val::I32(bits) => Value::I32(bits as u32),
        Val::I64(bits) => Value::I64(bits as u64),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits.as_u128()),
        Val::FuncRef(None) => Value::FuncRef(None),
        Val::FuncRef(Some(function)) => {
            let wanted = function.to_raw(&mut store);
            let index =
                (0..functions.len()).find(|index| functions[*index].to_raw(&mut store) == wanted);
            let index = index.ok_or_else(|| {
                Error::State(
                    KIND,
                    "a reference points to a function of another module".into(),
                )
            })?;
            Value::FuncRef(Some(index as u32))
        }
        Val::ExternRef(None) => Value::NullExtern,
        other => {
            return Err(Error::State(KIND, format!("{other:?} cannot be saved")));
        }
    })
}

/// The same back.
pub(super) fn to_wasmtime(functions: &[Func], value: Value) -> Result<Val, Error> {
    Ok(match value {
        Value::I32(bits) => Val::I32(bits as i32),
        Value::I64(bits) => Val::I64(bits as i64),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(bits) => Val::V128(bits.into()),
        Value::FuncRef(None) => Val::FuncRef(None),
        Value::FuncRef(Some(index)) => {
            Val::FuncRef(Some(*get_or_error(functions, index as usize, "function")?))
        }
        Value::NullExtern => Val::ExternRef(None),
    })
}

/// The raw bits of an argument; those of references are nothing that a host call is given.
pub(super) fn raw_bits(ty: ValType, value: &ValRaw) -> u64 {
    match ty {
        ValType::I32 => u64::from(value.get_u32()),
        ValType::I64 => value.get_u64(),
        ValType::F32 => u64::from(value.get_f32()),
        ValType::F64 => value.get_f64(),
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => 0,
    }
}

/// A result from its raw bits; a reference is null.
pub(super) fn from_raw_bits(ty: ValType, bits: u64) -> ValRaw {
    match ty {
        ValType::I32 => ValRaw::u32(bits as u32),
        ValType::I64 => ValRaw::u64(bits),
        ValType::F32 => ValRaw::f32(bits as u32),
        ValType::F64 => ValRaw::f64(bits),
        ValType::V128 => ValRaw::v128(bits.into()),
        ValType::FuncRef | ValType::ExternRef => ValRaw::null(),
    }
}

pub(super) fn func_type(engine: &wasmtime::Engine, import: &Import) -> FuncType {
    let types = |list: &[ValType]| list.iter().map(|ty| val_type(*ty)).collect::<Vec<_>>();
    FuncType::new(engine, types(&import.params), types(&import.results))
}

fn val_type(ty: ValType) -> wasmtime::ValType {
    match ty {
        ValType::I32 => wasmtime::ValType::I32,
        ValType::I64 => wasmtime::ValType::I64,
        ValType::F32 => wasmtime::ValType::F32,
        ValType::F64 => wasmtime::ValType::F64,
        ValType::V128 => wasmtime::ValType::V128,
        ValType::FuncRef => wasmtime::ValType::Ref(RefType::FUNCREF),
        ValType::ExternRef => wasmtime::ValType::Ref(RefType::EXTERNREF),
    }
}

/// The thing of this number, of which the shape says that it is there.
pub(super) fn get_or_error<'a, T>(list: &'a [T], index: usize, what: &str) -> Result<&'a T, Error> {
    list.get(index)
        .ok_or_else(|| Error::State(KIND, format!("there is no {what} {index}")))
}
