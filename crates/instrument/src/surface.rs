//! Gives asyncify's output the exports by which its whole state can be read and written, and
//! gives functions their own names back.

use wasm_encoder::{Encode, ExportKind, NameMap, NameSection, SectionId};
use wasmparser::ExternalKind;

use super::Error;
use super::fastpath::{OSR, SLOW};
use super::opaque;
use super::prepare::original_function;
use super::scan::Scan;
use super::sections::Sections;
use super::validate::val_type;
use crate::model::shape::{self, Import, Shape, Table};

/// The module with its exports, and their description.
pub(super) fn expose(
    wasm: &[u8],
    original: &Scan,
    imports: &[Import],
) -> Result<(Sections, Shape), Error> {
    let scan = Scan::of(wasm)?;
    let mut sections = Sections::split(wasm)?;
    let mut exports = Exports::default();
    for (name, kind, index) in &scan.exports {
        let gone = name == "memory" || name == shape::ASYNCIFY_MEMORY;
        if !gone && !name.starts_with(opaque::PREFIX) {
            exports.add(name, *kind, *index);
        }
    }

    // Asyncify appends its memory to the guest's own.
    let Some(asyncify_memory) = scan.memories.len().checked_sub(1) else {
        return Err(Error::Binaryen);
    };
    for memory in 0..asyncify_memory {
        exports.add(
            &shape::memory_export(memory),
            ExternalKind::Memory,
            memory as u32,
        );
    }
    exports.add(
        shape::ASYNCIFY_MEMORY,
        ExternalKind::Memory,
        asyncify_memory as u32,
    );

    let own = |index: u32| {
        !scan.exports.iter().any(|(name, kind, i)| {
            *kind == ExternalKind::Global
                && *i == index
                && [shape::ASYNCIFY_STATE, shape::ASYNCIFY_DATA].contains(&name.as_str())
        })
    };
    let mut globals = Vec::new();
    for (index, ty) in (0..).zip(&scan.globals) {
        if ty.mutable && own(index) {
            exports.add(
                &shape::global_export(globals.len()),
                ExternalKind::Global,
                index,
            );
            globals.push(val_type(ty.content_type));
        }
    }

    let mut tables = Vec::new();
    for table in scan.changed_tables() {
        exports.add(
            &shape::table_export(tables.len()),
            ExternalKind::Table,
            table,
        );
        tables.push(Table {
            element: val_type(wasmparser::ValType::Ref(scan.tables[table as usize])),
        });
    }

    let references = !tables.is_empty() || globals.contains(&crate::model::ValType::FuncRef);
    let referenced = if references {
        referenced(&scan)
    } else {
        Vec::new()
    };
    for (place, function) in referenced.iter().enumerate() {
        exports.add(
            &shape::function_export(place),
            ExternalKind::Func,
            *function,
        );
    }
    sections.replace(SectionId::Export, exports.section());

    let exported = |wanted: &str| scan.exports.iter().find(|(name, ..)| name == wanted);
    let entries = [shape::START, "_start"];
    let shape = Shape {
        imports: remaining_imports(&scan, imports)?,
        entries: entries
            .iter()
            .filter(|name| exported(name).is_some())
            .map(|name| name.to_string())
            .collect(),
        memories: asyncify_memory,
        host_memory: match exported("memory") {
            Some((_, _, index)) => Some(*index as usize),
            None => (asyncify_memory > 0).then_some(0),
        },
        globals,
        tables,
        functions: referenced.len(),
        redrop: exported(shape::REDROP).is_some(),
    };
    restore_names(&mut sections, &scan, original);
    Ok((sections, shape))
}

/// Export entries, encoded.
#[derive(Default)]
struct Exports {
    count: u32,
    bytes: Vec<u8>,
}

impl Exports {
    fn add(&mut self, name: &str, kind: ExternalKind, index: u32) {
        let kind = match kind {
            ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
            ExternalKind::Table => ExportKind::Table,
            ExternalKind::Memory => ExportKind::Memory,
            ExternalKind::Global => ExportKind::Global,
            ExternalKind::Tag => ExportKind::Tag,
        };
        self.count += 1;
        name.encode(&mut self.bytes);
        kind.encode(&mut self.bytes);
        index.encode(&mut self.bytes);
    }

    fn section(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.bytes.len() + 5);
        self.count.encode(&mut content);
        content.extend_from_slice(&self.bytes);
        content
    }
}

/// Binaryen drops imports that nothing calls; host calls are told by their place among the rest.
fn remaining_imports(scan: &Scan, imports: &[Import]) -> Result<Vec<Import>, Error> {
    scan.imports
        .iter()
        .map(|left| {
            imports
                .iter()
                .find(|import| import.module == left.module && import.name == left.name)
                .cloned()
                .ok_or(Error::Binaryen)
        })
        .collect()
}

/// Functions that a reference may point to, in order.
fn referenced(scan: &Scan) -> Vec<u32> {
    let in_segments = scan.elements.iter().flat_map(|segment| &segment.functions);
    let mut functions: Vec<u32> = in_segments.chain(&scan.referenced).copied().collect();
    functions.sort_unstable();
    functions.dedup();
    functions
}

fn restore_names(sections: &mut Sections, scan: &Scan, original: &Scan) {
    let mut indices: Vec<(&u32, &String)> = scan.names.iter().collect();
    indices.sort_unstable();
    let mut names = NameMap::new();
    let named = |is: &dyn Fn(&str) -> bool| -> Vec<u32> {
        let found = indices.iter().filter(|(_, name)| is(name));
        found.map(|(index, _)| **index).collect()
    };
    let versions = [
        (shape::SLOW_VERSIONS, named(&|name| name.ends_with(SLOW))),
        (shape::OSR_VERSIONS, named(&|name| name.contains(OSR))),
    ];
    for (index, name) in indices {
        // All versions of a function go by its own name.
        let own = name.split_once('$').map_or(&**name, |(own, _)| own);
        match original_function(own) {
            Some(function) => match original.names.get(&function) {
                Some(name) => names.append(*index, name),
                None => continue,
            },
            None => names.append(*index, name),
        }
    }
    sections.remove(SectionId::Custom);
    let mut section = NameSection::new();
    section.functions(&names);
    sections.add_custom("name", &section.as_custom().data);
    for (section, functions) in versions {
        if !functions.is_empty() {
            let mut content = Vec::new();
            functions.encode(&mut content);
            sections.add_custom(section, &content);
        }
    }
}
