//! A module as it is, with the exports by which it is run and nothing of asyncify's code.
//!
//! Engines look for asyncify's two globals and its memory; here they exist, and nothing uses them.

use wasm_encoder::{
    ConstExpr, Encode, ExportKind, GlobalSection, GlobalType, MemorySection, MemoryType, SectionId,
    ValType,
};

use super::Error;
use super::prepare::append;
use super::scan::Scan;
use super::sections::Sections;
use crate::model::shape;

/// Adds what asyncify would have added for the host.
pub(super) fn add_state(prepared: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(prepared)?;
    let mut sections = Sections::split(prepared)?;

    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 0,
        maximum: Some(0),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    append(&mut sections, SectionId::Memory, 1, &memories)?;

    let mut globals = GlobalSection::new();
    let ty = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    globals.global(ty, &ConstExpr::i32_const(0));
    globals.global(ty, &ConstExpr::i32_const(0));
    append(&mut sections, SectionId::Global, 2, &globals)?;

    let mut exports = Vec::new();
    for (place, name) in [shape::ASYNCIFY_STATE, shape::ASYNCIFY_DATA]
        .iter()
        .enumerate()
    {
        name.encode(&mut exports);
        ExportKind::Global.encode(&mut exports);
        (scan.globals.len() as u32 + place as u32).encode(&mut exports);
    }
    sections.append(SectionId::Export, 2, &exports)?;
    Ok(sections.join())
}
