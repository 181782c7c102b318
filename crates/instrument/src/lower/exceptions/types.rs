//! The types of a module whose references to exceptions are numbers.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder, utils};
use wasm_encoder::{TypeSection, ValType};
use wasmparser::{Parser, Payload};

use crate::analyze::types::is_exception;
use crate::error::Error;

/// Encodes a module's items again, with `i64` for references to exceptions.
pub(super) struct WithoutExceptions;

impl Reencode for WithoutExceptions {
    type Error = Infallible;

    fn val_type(&mut self, ty: wasmparser::ValType) -> Result<ValType, reencode::Error> {
        match is_exception(ty) {
            true => Ok(ValType::I64),
            false => RoundtripReencoder.val_type(ty),
        }
    }
}

/// The type of a value in the rewritten module.
pub(super) fn lowered(ty: wasmparser::ValType) -> Result<ValType, Error> {
    WithoutExceptions.val_type(ty).map_err(Error::encoding)
}

/// The types of blocks that are added behind the module's own types.
pub(super) struct BlockTypes {
    /// The index of the first.
    first: u32,
    /// The parameters of each; none has results.
    params: Vec<Vec<ValType>>,
}

impl BlockTypes {
    pub(super) fn new(first: u32) -> Self {
        let params = Vec::new();
        Self { first, params }
    }

    /// The type of a block that takes these values and gives none.
    pub(super) fn taking(&mut self, params: &[wasmparser::ValType]) -> Result<u32, Error> {
        let params: Result<Vec<_>, _> = params.iter().copied().map(lowered).collect();
        let params = params?;
        let known = self.params.iter().position(|known| *known == params);
        let position = known.unwrap_or_else(|| {
            self.params.push(params);
            self.params.len() - 1
        });
        Ok(self.first + position as u32)
    }

    /// The module's own types, and behind them the added ones.
    pub(super) fn section(&self, wasm: &[u8]) -> Result<TypeSection, Error> {
        let mut section = TypeSection::new();
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::TypeSection(own) = payload.map_err(Error::malformed)? {
                utils::parse_type_section(&mut WithoutExceptions, &mut section, own)
                    .map_err(Error::encoding)?;
            }
        }
        for params in &self.params {
            section.ty().function(params.iter().copied(), []);
        }
        Ok(section)
    }
}
