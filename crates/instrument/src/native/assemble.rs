//! Puts the written bodies into the module, and adds what asyncify adds.

use std::ops::Range;

use dormouse_model::shape;
use wasm_encoder::{
    Encode, ExportKind, ExportSection, FunctionSection, MemorySection, MemoryType, NameMap,
    TypeSection,
};

use super::code::Code;
use super::context::Context;
use super::enter;
use super::helpers::{Added, Helpers};
use crate::error::Error;
use crate::module::asyncify::STACK_PAGES;
use crate::module::encode::flags;
use crate::module::names::{ENTER, SLOW};
use crate::module::sections::Sections;

/// Asyncify's globals: its state, and where its data is.
const GLOBALS: usize = 2;

/// The module with its versions. `bodies` says where the module's own stand in it; `written` has
/// the fast and the slow version of each instrumented function, in order.
pub(super) fn assemble(
    context: &Context<'_>,
    bodies: &[Range<usize>],
    written: Vec<(Code, Code)>,
) -> Result<Vec<u8>, Error> {
    let enter = enter::bodies(context)?;
    let mut helpers = Helpers::default();
    for (fast, slow) in &written {
        helpers.add(fast.helpers());
        helpers.add(slow.helpers());
    }
    helpers.number(context.versions.helpers);
    let mut types = TypeSection::new();
    let added = helpers.functions(context.stack, &mut types)?;

    let mut sections = Sections::split(context.wasm)?;
    sections.append(&types)?;
    sections.append(&functions(context, &added))?;
    sections.append(&memory())?;
    sections.append(&flags(GLOBALS))?;
    sections.append(&exports(context))?;
    sections.set_function_names(&names(context));
    sections.replace_code(code(context, bodies, written, &enter, &helpers, &added));
    Ok(sections.join())
}

/// The types of the added functions, in their order.
fn functions(context: &Context<'_>, helpers: &[Added]) -> FunctionSection {
    let scan = context.calls.scan;
    let versions = &context.versions;
    let of_module = versions.slow.keys().chain(versions.enter.keys());
    let mut functions = FunctionSection::new();
    for function in of_module.chain(&versions.check) {
        functions.function(scan.functions[*function as usize]);
    }
    for helper in helpers {
        functions.function(scan.types.len() as u32 + helper.ty);
    }
    functions
}

fn memory() -> MemorySection {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: STACK_PAGES.into(),
        maximum: Some(STACK_PAGES.into()),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    memories
}

fn exports(context: &Context<'_>) -> ExportSection {
    let mut exports = ExportSection::new();
    exports.export(shape::ASYNCIFY_STATE, ExportKind::Global, context.state);
    exports.export(shape::ASYNCIFY_DATA, ExportKind::Global, context.stack.data);
    exports.export(
        shape::ASYNCIFY_MEMORY,
        ExportKind::Memory,
        context.stack.memory,
    );
    exports
}

/// The names of all functions. An added one is named after the function that it is a version of.
fn names(context: &Context<'_>) -> NameMap {
    let (scan, versions) = (context.calls.scan, &context.versions);
    let mut names = NameMap::new();
    for function in 0..scan.functions.len() as u32 {
        if let Some(name) = scan.names.get(&function) {
            names.append(function, name);
        }
    }
    let slow = versions.slow.iter().map(|version| (version, SLOW));
    let enter = versions.enter.iter().map(|version| (version, ENTER));
    for ((function, version), ending) in slow.chain(enter) {
        if let Some(name) = scan.names.get(function) {
            names.append(*version, &format!("{name}{ending}"));
        }
    }
    names
}

/// The content of the code section.
fn code(
    context: &Context<'_>,
    bodies: &[Range<usize>],
    written: Vec<(Code, Code)>,
    enter: &[Code],
    helpers: &Helpers,
    added: &[Added],
) -> Vec<u8> {
    let count = bodies.len() + written.len() + enter.len() + added.len();
    let mut out = Vec::with_capacity(context.wasm.len());
    count.encode(&mut out);
    let mut slow_versions = Vec::with_capacity(written.len());
    let mut written = written.into_iter();
    for (function, body) in context.calls.scan.defined().zip(bodies) {
        let versions = match context.versions.slow.contains_key(&function) {
            true => written.next(),
            false => None,
        };
        match versions {
            Some((fast, slow)) => {
                fast.write(helpers, &mut out);
                slow_versions.push(slow);
            }
            None => context.wasm[body.clone()].encode(&mut out),
        }
    }
    for slow in slow_versions {
        slow.write(helpers, &mut out);
    }
    for code in enter {
        code.write(helpers, &mut out);
    }
    for helper in added {
        helper.body.encode(&mut out);
    }
    out
}
