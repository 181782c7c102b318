//! The types of a module whose references are numbers.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder, utils};
use wasm_encoder::{TypeSection, ValType};
use wasmparser::{Parser, Payload};

use crate::error::Error;

/// Encodes a module's items again, with `i32` for references.
pub(super) struct WithoutReferences;

impl Reencode for WithoutReferences {
    type Error = Infallible;

    fn val_type(&mut self, ty: wasmparser::ValType) -> Result<ValType, reencode::Error> {
        match ty {
            wasmparser::ValType::Ref(_) => Ok(ValType::I32),
            _ => RoundtripReencoder.val_type(ty),
        }
    }
}

/// The type of a value in the rewritten module.
pub(super) fn lowered(ty: wasmparser::ValType) -> Result<ValType, Error> {
    WithoutReferences.val_type(ty).map_err(Error::encoding)
}

/// The module's types.
pub(super) fn section(wasm: &[u8]) -> Result<TypeSection, Error> {
    let mut section = TypeSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::TypeSection(own) = payload.map_err(Error::malformed)? {
            utils::parse_type_section(&mut WithoutReferences, &mut section, own)
                .map_err(Error::encoding)?;
        }
    }
    Ok(section)
}
