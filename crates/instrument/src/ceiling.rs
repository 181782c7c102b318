//! Tables get a maximum: WasmEdge can be told no other limit for them.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{Encode, SectionId, TableSection};
use wasmparser::{BinaryReader, TableInit, TableSectionReader};

use super::Error;
use super::sections::Sections;

/// How many elements a table may grow to.
const MOST: u64 = 1 << 20;

/// Tables that may grow further may not any more; one that starts larger stays as it is.
pub(super) fn tables(sections: &mut Sections) -> Result<(), Error> {
    let Some(content) = sections.content(SectionId::Table) else {
        return Ok(());
    };
    let reader =
        TableSectionReader::new(BinaryReader::new(content, 0)).map_err(Error::malformed)?;
    let mut made = TableSection::new();
    for table in reader {
        let table = table.map_err(Error::malformed)?;
        let most = table.ty.initial.max(MOST);
        let mut ty = RoundtripReencoder
            .table_type(table.ty)
            .map_err(|_| Error::Binaryen)?;
        ty.maximum = Some(ty.maximum.unwrap_or(most).min(most));
        match table.init {
            TableInit::RefNull => made.table(ty),
            TableInit::Expr(value) => {
                let value = RoundtripReencoder.const_expr(value);
                made.table_with_init(ty, &value.map_err(|_| Error::Binaryen)?)
            }
        };
    }
    let mut bytes = Vec::new();
    made.encode(&mut bytes);
    // The section's own length stands in front.
    let mut reader = BinaryReader::new(&bytes, 0);
    reader.read_var_u32().map_err(Error::malformed)?;
    let content = bytes.split_off(bytes.len() - reader.bytes_remaining());
    sections.replace(SectionId::Table, content);
    Ok(())
}
