//! The function types of the flattened module, each once.

use std::collections::HashMap;

use wasm_encoder::TypeSection;

use super::callees::Signature;

/// The types, as they are collected.
#[derive(Default)]
pub(super) struct Types {
    pub section: TypeSection,
    known: HashMap<Signature, u32>,
}

impl Types {
    /// The index of a type.
    pub fn index(&mut self, signature: Signature) -> u32 {
        let next = self.known.len() as u32;
        match self.known.get(&signature) {
            Some(index) => *index,
            None => {
                let (params, results) = &signature;
                let types = (params.iter().copied(), results.iter().copied());
                self.section.ty().function(types.0, types.1);
                self.known.insert(signature, next);
                next
            }
        }
    }
}
