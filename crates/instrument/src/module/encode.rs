//! Small pieces of modules that several steps write.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    ConstExpr, GlobalSection, GlobalType, Instruction, Section, TypeSection, ValType,
};
use wasmparser::BinaryReader;

use crate::error::Error;

/// The content of a section as `wasm-encoder` writes it, without its length.
pub(crate) fn content(section: &impl Section) -> Vec<u8> {
    let mut framed = Vec::new();
    section.encode(&mut framed);
    let mut reader = BinaryReader::new(&framed, 0);
    // `Encode` for a section always writes its length first.
    let rest = reader
        .read_var_u32()
        .map_or(0, |_| reader.bytes_remaining());
    framed.drain(..framed.len() - rest);
    framed
}

/// The type as it is encoded.
pub(crate) fn encoded_type(ty: wasmparser::ValType) -> Result<ValType, Error> {
    RoundtripReencoder.val_type(ty).map_err(Error::encoding)
}

/// Adds a function type of another module.
pub(crate) fn add_type(
    types: &mut TypeSection,
    params: &[wasmparser::ValType],
    results: &[wasmparser::ValType],
) -> Result<(), Error> {
    let convert = |types: &[wasmparser::ValType]| -> Result<Vec<_>, Error> {
        types.iter().copied().map(encoded_type).collect()
    };
    types.ty().function(convert(params)?, convert(results)?);
    Ok(())
}

/// Adds a mutable global that starts as zero, or as a null reference.
pub(crate) fn add_global(globals: &mut GlobalSection, val_type: ValType) {
    let ty = GlobalType {
        val_type,
        mutable: true,
        shared: false,
    };
    let initial = match val_type {
        ValType::I32 => ConstExpr::i32_const(0),
        ValType::I64 => ConstExpr::i64_const(0),
        ValType::F32 => ConstExpr::f32_const(0.0.into()),
        ValType::F64 => ConstExpr::f64_const(0.0.into()),
        ValType::V128 => ConstExpr::v128_const(0),
        ValType::Ref(ty) => ConstExpr::ref_null(ty.heap_type),
    };
    globals.global(ty, &initial);
}

/// So many mutable globals of type `i32`, all zero.
pub(crate) fn flags(count: usize) -> GlobalSection {
    let mut globals = GlobalSection::new();
    (0..count).for_each(|_| add_global(&mut globals, ValType::I32));
    globals
}

/// The instruction that gives zero, or a null reference.
pub(crate) fn zero(ty: ValType) -> Instruction<'static> {
    match ty {
        ValType::I32 => Instruction::I32Const(0),
        ValType::I64 => Instruction::I64Const(0),
        ValType::F32 => Instruction::F32Const(0.0.into()),
        ValType::F64 => Instruction::F64Const(0.0.into()),
        ValType::V128 => Instruction::V128Const(0),
        ValType::Ref(ty) => Instruction::RefNull(ty.heap_type),
    }
}
