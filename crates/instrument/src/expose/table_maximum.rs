//! Tables get a maximum, because WasmEdge can be given no other limit of their size.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{SectionId, TableSection};
use wasmparser::{BinaryReader, TableInit, TableSectionReader};

use crate::error::Error;
use crate::module::sections::Sections;

/// How many elements a table may grow to.
pub(crate) const MAX_ELEMENTS: u64 = 1 << 20;

/// Lowers the maximum of every table to [`MAX_ELEMENTS`]. A table that starts larger may not grow.
pub(crate) fn limit(sections: &mut Sections<'_>) -> Result<(), Error> {
    let Some(content) = sections.content(SectionId::Table) else {
        return Ok(());
    };
    let tables =
        TableSectionReader::new(BinaryReader::new(content, 0)).map_err(Error::malformed)?;
    let mut limited = TableSection::new();
    for table in tables {
        let table = table.map_err(Error::malformed)?;
        let limit = table.ty.initial.max(MAX_ELEMENTS);
        let mut ty = RoundtripReencoder
            .table_type(table.ty)
            .map_err(Error::encoding)?;
        ty.maximum = Some(ty.maximum.unwrap_or(limit).min(limit));
        match table.init {
            TableInit::RefNull => limited.table(ty),
            TableInit::Expr(value) => {
                let value = RoundtripReencoder.const_expr(value);
                limited.table_with_init(ty, &value.map_err(Error::encoding)?)
            }
        };
    }
    sections.replace(&limited);
    Ok(())
}
