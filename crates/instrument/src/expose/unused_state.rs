//! Asyncify's exports for a module that is left as it is.
//!
//! Engines look for asyncify's two globals and its memory. Here they exist, and nothing uses them.

use dormouse_model::shape;
use wasm_encoder::{ExportKind, ExportSection, MemorySection, MemoryType};

use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::encode::flags;
use crate::module::sections::Sections;

/// Adds what asyncify would have added for the host.
pub(crate) fn add(prepared: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(prepared)?;
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 0,
        maximum: Some(0),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    for (name, index) in [shape::ASYNCIFY_STATE, shape::ASYNCIFY_DATA]
        .into_iter()
        .zip(scan.globals.len() as u32..)
    {
        exports.export(name, ExportKind::Global, index);
    }
    let mut sections = Sections::split(prepared)?;
    sections.append(&memories)?;
    sections.append(&flags(2))?;
    sections.append(&exports)?;
    Ok(sections.join())
}
