//! What the types of values mean for suspending, and their names in `dormouse-model`.

use wasmparser::{AbstractHeapType, HeapType, Operator, RefType, UnpackedIndex, ValType};

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

/// Whether values of this type are references that only the proposals for garbage collection and
/// for typed references to functions know.
pub(crate) fn is_managed(ty: ValType) -> bool {
    match ty {
        ValType::Ref(RefType::FUNCREF | RefType::EXTERNREF) => false,
        ValType::Ref(_) => !is_exception(ty),
        _ => false,
    }
}

/// Whether an instruction belongs to these proposals.
pub(crate) fn is_managed_operator(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::StructNew { .. }
            | Operator::StructNewDefault { .. }
            | Operator::StructGet { .. }
            | Operator::StructGetS { .. }
            | Operator::StructGetU { .. }
            | Operator::StructSet { .. }
            | Operator::ArrayNew { .. }
            | Operator::ArrayNewDefault { .. }
            | Operator::ArrayNewFixed { .. }
            | Operator::ArrayNewData { .. }
            | Operator::ArrayNewElem { .. }
            | Operator::ArrayGet { .. }
            | Operator::ArrayGetS { .. }
            | Operator::ArrayGetU { .. }
            | Operator::ArraySet { .. }
            | Operator::ArrayLen
            | Operator::ArrayFill { .. }
            | Operator::ArrayCopy { .. }
            | Operator::ArrayInitData { .. }
            | Operator::ArrayInitElem { .. }
            | Operator::RefTestNonNull { .. }
            | Operator::RefTestNullable { .. }
            | Operator::RefCastNonNull { .. }
            | Operator::RefCastNullable { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
            | Operator::AnyConvertExtern
            | Operator::ExternConvertAny
            | Operator::RefI31
            | Operator::I31GetS
            | Operator::I31GetU
            | Operator::RefEq
            | Operator::CallRef { .. }
            | Operator::ReturnCallRef { .. }
            | Operator::RefAsNonNull
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
    )
}

/// The name of a type, for messages: as the text format has it.
pub(crate) fn type_name(ty: ValType) -> String {
    let null = |ty: RefType| if ty.is_nullable() { "null " } else { "" };
    match ty {
        ValType::Ref(ty) => match ty.heap_type() {
            HeapType::Concrete(UnpackedIndex::Module(index)) => {
                format!("(ref {}{index})", null(ty))
            }
            _ => ty.to_string(),
        },
        _ => ty.to_string(),
    }
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
