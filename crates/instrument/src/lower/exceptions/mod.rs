//! Exceptions as ordinary results.
//!
//! Asyncify knows nothing of exception handlers, which are part of a frame. A reference to an
//! exception of the engine's cannot be serialized. WasmEdge 0.14 has no exceptions, and the older
//! form (`try`, `catch`, `delegate`), which compilers still write, runs on no engine here. So all
//! of it is rewritten before anything else: a function that throws notes the exception in globals
//! and returns, and behind each call that may throw stands a test. What is left is plain code, in
//! which a guest can be suspended anywhere, handlers included, and which runs on both engines.
//!
//! - The global `pending` holds the number of the tag on its way plus one, or zero where no
//!   exception is on its way. It is zero at every suspend. Each value that a tag carries has a
//!   global.
//! - A reference to an exception becomes a number: the tag above 32 bits, the value that it carries
//!   below. Therefore, where references are taken, tags may carry one `i32` at most; those of C and
//!   C++ do.
//! - The call graph says which functions may throw. Calls of others have no test.
//!
//! [`throwers`] finds these functions, [`try_blocks`] what each `try` does, [`globals`] and
//! [`types`] hold what is added to the module, and [`body`] rewrites one function with a
//! [`writer`].

mod body;
mod globals;
mod throwers;
mod try_blocks;
mod types;
mod writer;

use wasm_encoder::reencode::{RoundtripReencoder, utils};
use wasm_encoder::{CodeSection, ExportKind, ExportSection, SectionId};
use wasmparser::{ExternalKind, Parser, Payload, ValidPayload, Validator};

use self::body::Lowering;
use self::globals::Globals;
use self::throwers::Throwers;
use self::types::BlockTypes;
use crate::analyze::features::features;
use crate::analyze::scan::Scan;
use crate::analyze::types::{is_exception, is_exception_heap};
use crate::error::Error;
use crate::module::bodies::range;
use crate::module::names::PENDING_EXCEPTION;
use crate::module::sections::Sections;

/// The module without exceptions; `None` where it has none. Indices stay as they are.
pub(crate) fn lower(wasm: &[u8], scan: &Scan) -> Result<Option<Vec<u8>>, Error> {
    if scan.tags.is_empty() && !scan.bodies.iter().any(|body| body.exceptions) {
        return Ok(None);
    }
    refuse_lasting_references(scan)?;
    let throwers = Throwers::find(wasm, scan)?;
    let globals = Globals::new(scan)?;
    let mut types = BlockTypes::new(scan.types.len() as u32);

    let mut code = CodeSection::new();
    let mut validator = Validator::new_with_features(features());
    let mut bodies = scan.bodies.iter();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        let ValidPayload::Func(to_validate, body) = valid else {
            continue;
        };
        let is_lowered = bodies.next().is_some_and(|known| {
            known.exceptions || known.typed_references || throwers.are_called_by(known)
        });
        if is_lowered {
            let lowering = Lowering::new(scan, &throwers, &globals, &mut types);
            code.function(&lowering.rewrite(&body, to_validate)?);
        } else {
            code.raw(&wasm[range(&body)]);
        }
    }

    let mut sections = Sections::split(wasm)?;
    sections.remove(SectionId::Tag);
    sections.replace(&types.section(wasm)?);
    sections.append(&globals.section())?;
    sections.replace(&code);
    sections.replace(&exports(wasm, globals.pending)?);
    Ok(Some(sections.join()))
}

/// Refuses references to exceptions in globals and tables, where they outlive every function.
fn refuse_lasting_references(scan: &Scan) -> Result<(), Error> {
    let refusal = |what: &str, index: usize| Error::Unsupported {
        what: format!("{what} {index}, which holds references to exceptions,"),
        why: "a reference held across a suspend cannot be serialized",
    };
    let mut globals = scan.globals.iter();
    if let Some(index) = globals.position(|global| is_exception(global.content_type)) {
        return Err(refusal("global", index));
    }
    let mut tables = scan.tables.iter();
    match tables.position(|ty| is_exception_heap(ty.heap_type())) {
        Some(index) => Err(refusal("table", index)),
        None => Ok(()),
    }
}

/// The module's exports without its tags, and with `pending`.
fn exports(wasm: &[u8], pending: u32) -> Result<ExportSection, Error> {
    let mut section = ExportSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(own) = payload.map_err(Error::malformed)? {
            for export in own {
                let export = export.map_err(Error::malformed)?;
                if export.kind != ExternalKind::Tag && export.name != PENDING_EXCEPTION {
                    utils::parse_export(&mut RoundtripReencoder, &mut section, export)
                        .map_err(Error::encoding)?;
                }
            }
        }
    }
    section.export(PENDING_EXCEPTION, ExportKind::Global, pending);
    Ok(section)
}
