//! What the types of values mean for suspending, and their names in `dormouse-model`.

use wasmparser::{AbstractHeapType, HeapType, ValType};

/// Whether values of this type are references to exceptions.
pub(crate) fn is_exception(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(ty) if is_exception_heap(ty.heap_type()))
}

/// Whether references to this type of heap are references to exceptions.
pub(crate) fn is_exception_heap(ty: HeapType) -> bool {
    matches!(
        ty,
        HeapType::Abstract {
            ty: AbstractHeapType::Exn | AbstractHeapType::NoExn,
            ..
        }
    )
}

/// Whether values of this type cannot be part of a snapshot. References to exceptions can: they
/// become numbers (`lower/exceptions`).
pub(crate) fn is_reference(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(_)) && !is_exception(ty)
}

/// The types as `dormouse-model` names them.
pub(crate) fn model_types(types: &[ValType]) -> Vec<dormouse_model::ValType> {
    types.iter().map(|ty| model_type(*ty)).collect()
}

/// The type as `dormouse-model` names it.
pub(crate) fn model_type(ty: ValType) -> dormouse_model::ValType {
    match ty {
        ValType::I32 => dormouse_model::ValType::I32,
        ValType::I64 => dormouse_model::ValType::I64,
        ValType::F32 => dormouse_model::ValType::F32,
        ValType::F64 => dormouse_model::ValType::F64,
        ValType::V128 => dormouse_model::ValType::V128,
        ValType::Ref(ty) if ty.is_func_ref() => dormouse_model::ValType::FuncRef,
        ValType::Ref(_) => dormouse_model::ValType::ExternRef,
    }
}
