//! Puts the written bodies into the module, and adds what asyncify adds.

use std::ops::Range;

use dormouse_model::shape;
use wasm_encoder::{
    Encode, ExportKind, ExportSection, FunctionSection, MemorySection, MemoryType, NameMap,
    SectionId, TypeSection,
};

use super::code::Code;
use super::context::Context;
use super::enter;
use super::helpers::{Added, Helpers};
use super::written::Written;
use crate::error::Error;
use crate::module::asyncify::STACK_PAGES;
use crate::module::encode::{add_type, flags};
use crate::module::names::{ENTER, OSR, SLOW};
use crate::module::sections::{MAX_LEB128, Sections};

/// Asyncify's globals: its state, and where its data is.
const GLOBALS: usize = 2;

/// The module with its versions. `bodies` says where the module's own stand in it; `written` has
/// what is made of each instrumented function, in order.
pub(super) fn assemble(
    context: &Context<'_>,
    bodies: &[Range<usize>],
    written: Vec<Written>,
) -> Result<Vec<u8>, Error> {
    let enter = enter::bodies(context)?;
    let mut helpers = Helpers::default();
    for versions in &written {
        helpers.add(versions.fast.helpers());
        helpers.add(versions.slow.helpers());
        for code in &versions.at_loops {
            helpers.add(code.helpers());
        }
    }
    helpers.number(context.versions.helpers);
    let mut types = TypeSection::new();
    let added = helpers.functions(context.stack, &mut types)?;
    let first = context.versions.helpers + added.len() as u32;
    let at_loops = AtLoops::of(context, &written, first, &mut types)?;

    let mut sections = Sections::split(context.wasm)?;
    sections.append(&types)?;
    sections.append(&functions(context, &added, &at_loops))?;
    sections.append(&memory())?;
    sections.append(&flags(GLOBALS))?;
    sections.append(&exports(context))?;
    sections.set_function_names(&names(context, &at_loops));
    let code = code(
        context, bodies, written, &enter, &helpers, &added, &at_loops,
    );
    if sections.content(SectionId::Code).is_none() {
        sections.replace_code(code);
        return Ok(sections.join());
    }
    let range = 0..code.len();
    Ok(sections.around_code(range.len()).join(code, range))
}

/// The versions that begin at loops, which stand behind all other functions.
struct AtLoops {
    /// For each instrumented function, in order, the index of the first.
    first: Vec<u32>,
    /// For each version, in order, the function that it is a version of, and the position of its
    /// type among the added ones.
    versions: Vec<(u32, u32)>,
}

impl AtLoops {
    /// Numbers them from an index on, and adds their types.
    fn of(
        context: &Context<'_>,
        written: &[Written],
        mut next: u32,
        types: &mut TypeSection,
    ) -> Result<Self, Error> {
        let mut all = Self {
            first: Vec::with_capacity(written.len()),
            versions: Vec::new(),
        };
        for (function, made) in context.versions.slow.keys().zip(written) {
            all.first.push(next);
            if made.at_loops.is_empty() {
                continue;
            }
            let ty = context.calls.scan.type_of(*function);
            let results = ty.map_or(&[][..], |ty| ty.results());
            let position = types.len();
            add_type(types, &made.own_locals, results)?;
            let count = made.at_loops.len();
            all.versions
                .extend(std::iter::repeat_n((*function, position), count));
            next += count as u32;
        }
        Ok(all)
    }

    /// Each with its index and the function that it is a version of.
    fn indices(&self) -> impl Iterator<Item = (u32, u32)> {
        let first = self.first.first().copied().unwrap_or_default();
        (first..).zip(self.versions.iter().map(|(function, _)| *function))
    }
}

/// The types of the added functions, in their order.
fn functions(context: &Context<'_>, helpers: &[Added], at_loops: &AtLoops) -> FunctionSection {
    let scan = context.calls.scan;
    let versions = &context.versions;
    let of_module = versions.slow.keys().chain(versions.enter.keys());
    let mut functions = FunctionSection::new();
    for function in of_module.chain(&versions.check) {
        functions.function(scan.functions[*function as usize]);
    }
    let helpers = helpers.iter().map(|helper| helper.ty);
    let at_loops = at_loops.versions.iter().map(|(_, ty)| *ty);
    for ty in helpers.chain(at_loops) {
        functions.function(scan.types.len() as u32 + ty);
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
fn names(context: &Context<'_>, at_loops: &AtLoops) -> NameMap {
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
    for (version, function) in at_loops.indices() {
        if let Some(name) = scan.names.get(&function) {
            names.append(version, &format!("{name}{OSR}{version}"));
        }
    }
    names
}

/// The content of the code section. For a large module this is most of the memory that its rewriting
/// takes, so that each version is given back as soon as it is copied.
fn code(
    context: &Context<'_>,
    bodies: &[Range<usize>],
    written: Vec<Written>,
    enter: &[Code],
    helpers: &Helpers,
    added: &[Added],
    at_loops: &AtLoops,
) -> Vec<u8> {
    let count = bodies.len() + written.len() + enter.len() + added.len() + at_loops.versions.len();
    let mut out = Vec::with_capacity(most_bytes(context, bodies, &written));
    count.encode(&mut out);
    let (mut fast, mut slow, mut loops) = (Vec::new(), Vec::new(), Vec::new());
    for (versions, at_loops) in written.into_iter().zip(at_loops.first.iter().copied()) {
        fast.push((versions.fast, at_loops));
        slow.push((versions.slow, at_loops));
        loops.extend(versions.at_loops.into_iter().map(|code| (code, at_loops)));
    }
    let mut fast = fast.into_iter();
    for (function, body) in context.calls.scan.defined().zip(bodies) {
        let version = match context.versions.slow.contains_key(&function) {
            true => fast.next(),
            false => None,
        };
        match version {
            Some((version, at_loops)) => version.write(helpers, at_loops, &mut out),
            None => context.wasm[body.clone()].encode(&mut out),
        }
    }
    for (version, at_loops) in slow {
        version.write(helpers, at_loops, &mut out);
    }
    for code in enter {
        code.write(helpers, 0, &mut out);
    }
    for helper in added {
        helper.body.encode(&mut out);
    }
    for (version, at_loops) in loops {
        version.write(helpers, at_loops, &mut out);
    }
    out
}

/// How many bytes the bodies take at most, but for small ones that are added.
fn most_bytes(context: &Context<'_>, bodies: &[Range<usize>], written: &[Written]) -> usize {
    let own = context.calls.scan.defined().zip(bodies);
    let own = own.filter(|(function, _)| !context.versions.slow.contains_key(function));
    let own: usize = own.map(|(_, body)| MAX_LEB128 + body.len()).sum();
    let versions = written.iter().flat_map(|versions| {
        let first = [&versions.fast, &versions.slow];
        first.into_iter().chain(&versions.at_loops)
    });
    own + versions.map(Code::most_bytes).sum::<usize>()
}
