//! References to functions as numbers.
//!
//! A frame is saved as numbers, and a reference is none: wasm can neither store one in a memory nor
//! compare two. So in a module in which a reference may be held across a suspend, all of them
//! become numbers of type `i32`, from the place where they are made:
//!
//! ```text
//!   ref.func $f        ->   the number of $f
//!   ref.null           ->   0
//!   table.get $fixed   ->   the index, and where the copy of $fixed starts among the numbers
//! ```
//!
//! An added table, the *numbered* one, has the function behind each number. Nothing changes it, so
//! that a number means the same function after a resume. It starts with null and the functions
//! whose references are taken; behind them stand copies of the tables from which references are
//! read and which nothing changes.
//!
//! A table of functions that instructions change holds numbers, too: it becomes a memory of its
//! own, and a global with its size. A call through it goes through the numbered table, so that it
//! reaches the same function on the way back, also where the callee has changed the slot.
//!
//! References to host objects are all null: no import gives one, and wasm makes none. They become
//! zeros. Their tables stay tables.
//!
//! Types, globals and bodies without references and without such tables keep their bytes, and all
//! indices stay as they are.
//!
//! - [`check`] says whether a module can be rewritten so.
//! - [`constants`] holds what constant expressions give, [`tables`] what the tables hold at the
//!   start and which numbers there are.
//! - [`types`] has `i32` for each reference.
//! - [`body`] rewrites a body. What takes more than an instruction is a call of [`helpers`].

mod body;
pub(crate) mod check;
mod constants;
mod helpers;
mod tables;
#[cfg(test)]
mod tests;
mod types;

use wasm_encoder::reencode::{RoundtripReencoder, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, GlobalSection, GlobalType, SectionId, ValType,
};
use wasmparser::{GlobalSectionReader, Parser, Payload};

use self::body::Numbering;
use self::constants::Constants;
use self::helpers::Helpers;
use self::tables::Tables;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::{bodies, range};
use crate::module::sections::Sections;

/// What a module that has passed [`check::check`] becomes, behind the other steps but
/// `asyncify_input.rs`: it has neither exceptions nor uses of element segments by number.
pub(crate) fn lower(wasm: &[u8], scan: &Scan) -> Result<Vec<u8>, Error> {
    const DOES_NOT_FIT: Error = Error::Internal("a table does not hold what was found in it");
    let constants = Constants::of(wasm)?;
    let tables = Tables::of(wasm, scan, &constants)?.ok_or(DOES_NOT_FIT)?;
    let mut helpers = Helpers::new(scan);
    let mut code = CodeSection::new();
    for body in bodies(wasm)? {
        let numbering = Numbering::new(&tables, &mut helpers);
        match numbering.rewrite(wasm, &body)? {
            Some(rewritten) => code.raw(&rewritten),
            None => code.raw(&wasm[range(&body)]),
        };
    }
    for helper in helpers.bodies(&tables) {
        code.function(&helper);
    }

    let mut sections = Sections::split(wasm)?;
    sections.replace(&types::section(wasm)?);
    sections.append(&helpers.types())?;
    sections.append(&helpers.functions(scan.types.len() as u32))?;
    sections.replace(&tables.section()?);
    sections.append(&tables.memories())?;
    sections.replace(&globals(wasm, &constants, &tables)?);
    sections.append(&tables.sizes())?;
    sections.replace(&tables.elements()?);
    sections.replace(&code);
    let data = tables.data();
    if sections.content(SectionId::DataCount).is_some() {
        sections.replace(&DataCountSection {
            count: scan.data_segments + data.len(),
        });
    }
    sections.append(&data)?;
    Ok(sections.join())
}

/// The module's globals. Those that hold references hold numbers.
fn globals(wasm: &[u8], constants: &Constants, tables: &Tables) -> Result<GlobalSection, Error> {
    let mut section = GlobalSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::GlobalSection(own) = payload.map_err(Error::malformed)? {
            numbered_globals(own, constants, tables, &mut section)?;
        }
    }
    Ok(section)
}

fn numbered_globals(
    globals: GlobalSectionReader<'_>,
    constants: &Constants,
    tables: &Tables,
    section: &mut GlobalSection,
) -> Result<(), Error> {
    for (index, global) in globals.into_iter().enumerate() {
        let global = global.map_err(Error::malformed)?;
        if !matches!(global.ty.content_type, wasmparser::ValType::Ref(_)) {
            utils::parse_global(&mut RoundtripReencoder, section, global)
                .map_err(Error::encoding)?;
            continue;
        }
        let ty = GlobalType {
            val_type: ValType::I32,
            mutable: global.ty.mutable,
            shared: false,
        };
        let number = tables.number(constants.global(index as u32));
        section.global(ty, &ConstExpr::i32_const(number as i32));
    }
    Ok(())
}
