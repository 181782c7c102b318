//! WebAssembly values in a form that every engine takes and that can be serialized.

use serde::{Deserialize, Serialize};

/// The number and vector types of WebAssembly: what globals and host functions may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit IEEE 754 float.
    F32,
    /// 64-bit IEEE 754 float.
    F64,
    /// 128-bit vector.
    V128,
    /// Reference to a function.
    FuncRef,
    /// Opaque reference of the host's.
    ExternRef,
}

/// A value as its bits, so that NaN payloads survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Value {
    /// 32-bit integer.
    I32(u32),
    /// 64-bit integer.
    I64(u64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
    /// The bits of a vector, in little-endian order of its lanes.
    V128(u128),
    /// A function, by its index among the exported functions that references may point to
    /// (`Shape::functions`), or null. It is not the function's index in the module.
    FuncRef(Option<u32>),
    /// A null external reference: dormouse hands out no other.
    NullExtern,
}

impl Value {
    /// Its type.
    pub fn ty(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FuncRef,
            Self::NullExtern => ValType::ExternRef,
        }
    }
}
