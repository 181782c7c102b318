//! Makes a module ready for asyncify: everything that must not happen again on resume becomes
//! something the host asks for, and everything that Binaryen must not see is taken out.
//!
//! - The start function becomes an export that the host calls at the first run only.
//! - Functions get names `f0`, `f1`, …, which follow them through Binaryen.
//! - `data.drop` is noted in a global; a function drops the same segments again.
//! - Of the exports only `_start` and `memory` stay, and one by which a test is known again: nothing else is ever called, and asyncify's
//!   own names become free in a module that has been through asyncify before.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, Encode, ExportKind, ExportSection, Function, GlobalSection, GlobalType,
    Instruction, NameMap, NameSection, Section, SectionId, TypeSection, ValType,
};
use wasmparser::{ExternalKind, Operator};

use super::Error;
use super::exceptions;
use super::scan::Scan;
use super::sections::Sections;
use crate::model::shape;

/// Rewrites a module for Binaryen.
pub(super) fn prepare(wasm: &[u8], scan: &Scan) -> Result<Vec<u8>, Error> {
    let mut sections = Sections::split(wasm)?;
    sections.remove(SectionId::Custom);
    sections.remove(SectionId::Start);

    let mut exports = ExportSection::new();
    for (name, kind, index) in &scan.exports {
        match (name.as_str(), kind) {
            ("_start", ExternalKind::Func) => exports.export(name, ExportKind::Func, *index),
            (exceptions::PENDING, ExternalKind::Global) => {
                exports.export(name, ExportKind::Global, *index)
            }
            ("memory", ExternalKind::Memory) => exports.export(name, ExportKind::Memory, *index),
            _ => &mut exports,
        };
    }
    if let Some(start) = scan.start {
        exports.export(shape::START, ExportKind::Func, start);
    }
    if scan.drops_segments() {
        note_drops(&mut sections, wasm, scan)?;
        let redrop = scan.functions.len() as u32;
        exports.export(shape::REDROP, ExportKind::Func, redrop);
    }
    sections.replace(SectionId::Export, content(&exports));

    let functions = scan.functions.len() + usize::from(scan.drops_segments());
    let mut names = NameMap::new();
    for index in 0..functions as u32 {
        names.append(index, &format!("f{index}"));
    }
    let mut section = NameSection::new();
    section.functions(&names);
    sections.add_custom("name", &section.as_custom().data);
    Ok(sections.join())
}

/// The index of the original function behind a name given by [`prepare`].
pub(super) fn original_function(name: &str) -> Option<u32> {
    name.strip_prefix('f')?.parse().ok()
}

/// One global for each segment says whether it was dropped; a new function drops those again.
fn note_drops(sections: &mut Sections, wasm: &[u8], scan: &Scan) -> Result<(), Error> {
    let global_of = |segment: u32| scan.globals.len() as u32 + segment;

    let mut globals = GlobalSection::new();
    for _ in 0..scan.data_segments {
        globals.global(
            GlobalType {
                val_type: ValType::I32,
                mutable: true,
                shared: false,
            },
            &ConstExpr::i32_const(0),
        );
    }
    append(sections, SectionId::Global, scan.data_segments, &globals)?;

    let mut redrop = Function::new([]);
    for index in 0..scan.data_segments {
        redrop.instruction(&Instruction::GlobalGet(global_of(index)));
        redrop.instruction(&Instruction::If(wasm_encoder::BlockType::Empty));
        redrop.instruction(&Instruction::DataDrop(index));
        redrop.instruction(&Instruction::End);
    }
    redrop.instruction(&Instruction::End);

    let mut types = TypeSection::new();
    types.ty().function([], []);
    append(sections, SectionId::Type, 1, &types)?;
    let mut function = Vec::new();
    (scan.types.len() as u32).encode(&mut function);
    sections.append(SectionId::Function, 1, &function)?;

    let mut code = CodeSection::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let wasmparser::Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? {
            code.raw(&note_drops_in(&body, wasm, &global_of)?);
        }
    }
    code.function(&redrop);
    sections.replace(SectionId::Code, content(&code));
    if sections.content(SectionId::DataCount).is_none() && scan.data_segments > 0 {
        let mut count = Vec::new();
        scan.data_segments.encode(&mut count);
        sections.replace(SectionId::DataCount, count);
    }
    Ok(())
}

/// The body with a note after every drop; the rest is copied byte for byte.
fn note_drops_in(
    body: &wasmparser::FunctionBody<'_>,
    wasm: &[u8],
    global_of: &impl Fn(u32) -> u32,
) -> Result<Vec<u8>, Error> {
    // Positions are those in a module that is in memory, so they fit.
    let (start, body_end) = (body.range().start as usize, body.range().end as usize);
    let mut out = Vec::with_capacity(body_end - start);
    let mut copied = start;
    let mut operators = body.get_operators_reader().map_err(Error::malformed)?;
    while !operators.eof() {
        let operator = operators.read().map_err(Error::malformed)?;
        let Operator::DataDrop { data_index } = operator else {
            continue;
        };
        let end = operators.original_position() as usize;
        out.extend_from_slice(&wasm[copied..end]);
        copied = end;
        Instruction::I32Const(1).encode(&mut out);
        Instruction::GlobalSet(global_of(data_index)).encode(&mut out);
    }
    out.extend_from_slice(&wasm[copied..body_end]);
    Ok(out)
}

/// The content of a section as `wasm-encoder` writes it, without its length.
pub(super) fn content(section: &impl Section) -> Vec<u8> {
    let mut framed = Vec::new();
    section.encode(&mut framed);
    let mut reader = wasmparser::BinaryReader::new(&framed, 0);
    // `Encode` for a section always writes its length first.
    let rest = reader
        .read_var_u32()
        .map_or(0, |_| reader.bytes_remaining());
    framed.split_off(framed.len() - rest)
}

/// Adds a function type of another module.
pub(super) fn add_type(
    types: &mut TypeSection,
    params: &[wasmparser::ValType],
    results: &[wasmparser::ValType],
) -> Result<(), Error> {
    let convert = |types: &[wasmparser::ValType]| -> Result<Vec<_>, Error> {
        let types = types.iter().map(|ty| RoundtripReencoder.val_type(*ty));
        types.collect::<Result<_, _>>().map_err(|_| Error::Binaryen)
    };
    types.ty().function(convert(params)?, convert(results)?);
    Ok(())
}

/// Appends the entries of an encoded section to the module's own.
pub(super) fn append(
    sections: &mut Sections,
    id: SectionId,
    count: u32,
    section: &impl Section,
) -> Result<(), Error> {
    let content = content(section);
    let mut reader = wasmparser::BinaryReader::new(&content, 0);
    reader.read_var_u32().map_err(Error::malformed)?;
    let entries = &content[content.len() - reader.bytes_remaining()..];
    sections.append(id, count, entries)
}
