//! The exports by which the whole state of an instance is read and written.

use dormouse_model::shape::{self, Import, Shape, Table};
use dormouse_model::{ValType, lowered};
use wasm_encoder::{ExportKind, ExportSection};
use wasmparser::ExternalKind;

use crate::analyze::scan::Scan;
use crate::analyze::types::model_type;
use crate::error::Error;
use crate::module::names::TEMPORARY;
use crate::module::sections::Sections;

/// Puts the exports of a resumable module in place of those in `sections`, and describes them.
/// `scan` is that of the module, and `imports` has the functions that the source imports.
pub(crate) fn expose(
    sections: &mut Sections<'_>,
    scan: &Scan,
    imports: &[Import],
) -> Result<Shape, Error> {
    let mut exports = ExportSection::new();
    keep_exports(scan, &mut exports);
    // Asyncify appends its memory to the guest's own.
    let memories = scan.memories.len().checked_sub(1);
    let memories = memories.ok_or(Error::Internal("asyncify's memory is missing"))?;
    for memory in 0..memories {
        let name = shape::memory_export(memory);
        exports.export(&name, ExportKind::Memory, memory as u32);
    }
    exports.export(shape::ASYNCIFY_MEMORY, ExportKind::Memory, memories as u32);
    let globals = export_globals(scan, &mut exports);
    let tables = export_tables(scan, &mut exports);
    let holds_references = !tables.is_empty() || globals.contains(&ValType::FuncRef);
    let functions = match holds_references {
        true => export_functions(scan, &mut exports),
        false => 0,
    };
    sections.replace(&exports);

    let exported = |wanted: &str| scan.exports.iter().find(|(name, ..)| name == wanted);
    let entries = [shape::START, "_start"].into_iter();
    Ok(Shape {
        imports: remaining_imports(scan, imports)?,
        entries: entries
            .filter(|name| exported(name).is_some())
            .map(str::to_owned)
            .collect(),
        memories,
        host_memory: match exported("memory") {
            Some((_, _, index)) => Some(*index as usize),
            None => (memories > 0).then_some(0),
        },
        globals,
        tables,
        functions,
        redrop: exported(shape::REDROP).is_some(),
    })
}

/// Keeps the exports that are not temporary, but for memories, which get other names.
fn keep_exports(scan: &Scan, exports: &mut ExportSection) {
    for (name, kind, index) in &scan.exports {
        let is_memory = name == "memory"
            || name == shape::ASYNCIFY_MEMORY
            || (*kind == ExternalKind::Memory && lowered::is_memory_export(name));
        if !is_memory && !name.starts_with(TEMPORARY) {
            let kind = match kind {
                ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
                ExternalKind::Table => ExportKind::Table,
                ExternalKind::Memory => ExportKind::Memory,
                ExternalKind::Global => ExportKind::Global,
                ExternalKind::Tag => ExportKind::Tag,
            };
            exports.export(name, kind, *index);
        }
    }
}

/// Exports all mutable globals but asyncify's own, and gives their types.
fn export_globals(scan: &Scan, exports: &mut ExportSection) -> Vec<ValType> {
    let asyncify = [shape::ASYNCIFY_STATE, shape::ASYNCIFY_DATA]
        .map(|name| scan.exported(name, ExternalKind::Global));
    let mut types = Vec::new();
    for (index, ty) in (0..).zip(&scan.globals) {
        if ty.mutable && !asyncify.contains(&Some(index)) {
            let name = shape::global_export(types.len());
            exports.export(&name, ExportKind::Global, index);
            types.push(model_type(ty.content_type));
        }
    }
    types
}

/// Exports the tables that instructions change.
fn export_tables(scan: &Scan, exports: &mut ExportSection) -> Vec<Table> {
    let mut tables = Vec::new();
    for table in scan.changed_tables() {
        let name = shape::table_export(tables.len());
        exports.export(&name, ExportKind::Table, table);
        tables.push(Table {
            element: model_type(wasmparser::ValType::Ref(scan.tables[table as usize])),
        });
    }
    tables
}

/// Exports the functions that a reference may point to, in the module's order, and gives their
/// number.
fn export_functions(scan: &Scan, exports: &mut ExportSection) -> usize {
    let in_segments = scan.elements.iter().flat_map(|segment| &segment.functions);
    let mut functions: Vec<u32> = in_segments.chain(&scan.referenced).copied().collect();
    functions.sort_unstable();
    functions.dedup();
    for (position, function) in functions.iter().enumerate() {
        let name = shape::function_export(position);
        exports.export(&name, ExportKind::Func, *function);
    }
    functions.len()
}

/// The imports that Binaryen has left, in the module's order. It drops those that nothing calls.
fn remaining_imports(scan: &Scan, imports: &[Import]) -> Result<Vec<Import>, Error> {
    scan.imports
        .iter()
        .map(|left| {
            let is_same =
                |import: &&Import| import.module == left.module && import.name == left.name;
            let found = imports.iter().find(is_same).cloned();
            found.ok_or(Error::Internal("the rewriting has added an import"))
        })
        .collect()
}
