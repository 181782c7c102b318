//! The module as asyncify gets it: what must not happen again on a resume becomes something that
//! the host asks for, and what Binaryen must not see is taken out.
//!
//! - The start function becomes an export, which the host calls at the first run only.
//! - Functions get names, which follow them through Binaryen (`module/names.rs`).
//! - Each `data.drop` sets a global, and an added function drops the same segments again.
//! - Of the exports only `_start`, memories and a temporary one stay. Nothing else is ever called,
//!   and asyncify's own names become free in a module that has been through asyncify before.

use wasm_encoder::{
    CodeSection, DataCountSection, ExportKind, ExportSection, Function, FunctionSection,
    Instruction, NameMap, SectionId, TypeSection,
};
use wasmparser::{ExternalKind, Operator};

use dormouse_model::{lowered, shape};

use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::{Edit, bodies, edit};
use crate::module::encode::flags;
use crate::module::names::{PENDING_EXCEPTION, working_name};
use crate::module::sections::Sections;

/// Rewrites a module for Binaryen.
pub(crate) fn for_asyncify(wasm: &[u8], scan: &Scan) -> Result<Vec<u8>, Error> {
    let mut sections = Sections::split(wasm)?;
    sections.remove(SectionId::Start);

    let mut exports = ExportSection::new();
    for (name, kind, index) in &scan.exports {
        match (name.as_str(), kind) {
            ("_start", ExternalKind::Func) => exports.export(name, ExportKind::Func, *index),
            (PENDING_EXCEPTION, ExternalKind::Global) => {
                exports.export(name, ExportKind::Global, *index)
            }
            ("memory", ExternalKind::Memory) => exports.export(name, ExportKind::Memory, *index),
            // Imports name memories by their index, so that none may be dropped.
            (name, ExternalKind::Memory) if lowered::is_memory_export(name) => {
                exports.export(name, ExportKind::Memory, *index)
            }
            _ => &mut exports,
        };
    }
    if let Some(start) = scan.start {
        exports.export(shape::START, ExportKind::Func, start);
    }
    let mut functions = scan.functions.len() as u32;
    if scan.drops_data() {
        note_drops(&mut sections, wasm, scan)?;
        exports.export(shape::REDROP, ExportKind::Func, functions);
        functions += 1;
    }
    sections.replace(&exports);

    let mut names = NameMap::new();
    for index in 0..functions {
        names.append(index, &working_name(index));
    }
    sections.set_function_names(&names);
    Ok(sections.join())
}

/// Adds a global for each data segment, which says whether the segment was dropped, and a function
/// that drops those again.
fn note_drops(sections: &mut Sections<'_>, wasm: &[u8], scan: &Scan) -> Result<(), Error> {
    let flag_of = |segment: u32| scan.globals.len() as u32 + segment;
    sections.append(&flags(scan.data_segments as usize))?;

    let mut redrop = Function::new([]);
    for segment in 0..scan.data_segments {
        redrop.instruction(&Instruction::GlobalGet(flag_of(segment)));
        redrop.instruction(&Instruction::If(wasm_encoder::BlockType::Empty));
        redrop.instruction(&Instruction::DataDrop(segment));
        redrop.instruction(&Instruction::End);
    }
    redrop.instruction(&Instruction::End);

    let mut types = TypeSection::new();
    types.ty().function([], []);
    sections.append(&types)?;
    let mut function = FunctionSection::new();
    function.function(scan.types.len() as u32);
    sections.append(&function)?;

    let mut code = CodeSection::new();
    for body in bodies(wasm)? {
        code.raw(&edit(wasm, &body, |_, operator| {
            Ok(match *operator {
                Operator::DataDrop { data_index } => Edit::Append(vec![
                    Instruction::I32Const(1),
                    Instruction::GlobalSet(flag_of(data_index)),
                ]),
                _ => Edit::Keep,
            })
        })?);
    }
    code.function(&redrop);
    sections.replace(&code);
    if sections.content(SectionId::DataCount).is_none() && scan.data_segments > 0 {
        sections.replace(&DataCountSection {
            count: scan.data_segments,
        });
    }
    Ok(())
}
