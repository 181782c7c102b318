//! Bodies that Binaryen never sees.
//!
//! Binaryen 117 cannot read blocks with parameters, and its asyncify ends the process at a tail
//! call. A function that is never on the stack at a suspend needs no rewriting, so its body is
//! taken out before Binaryen runs, and put back afterwards.
//!
//! ```text
//!   source body -> stub { marker = number; unreachable } -> Binaryen -> stub -> source body
//! ```
//!
//! Binaryen renumbers what a body refers to. So all of that is exported meanwhile, and found again
//! by its export. A stub writes a number of its own into a global, so that it is neither dropped
//! nor merged with another. It is exported, so that its type stays, and it is never inlined
//! (`binaryen/mod.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ElementSection, Elements, ExportKind, ExportSection, Function, Instruction,
    TypeSection,
};
use wasmparser::{ExternalKind, FunctionBody, Operator};

use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::{Body, Scan};
use crate::error::Error;
use crate::module::bodies::{bodies, range};
use crate::module::encode::{add_type, flags};
use crate::module::names::{SLOW, TEMPORARY};
use crate::module::sections::Sections;

/// Which bodies are taken out. The exports of both kinds can be in a module at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// Those that Binaryen cannot read, for as long as it is used.
    Unreadable,
    /// Slow versions, while everything else is optimized. Asyncify has optimized them already.
    Slow,
}

impl Hidden {
    fn prefix(self) -> String {
        match self {
            Self::Unreadable => TEMPORARY.to_owned(),
            Self::Slow => format!("{TEMPORARY}slow."),
        }
    }

    fn marker(self) -> String {
        format!("{}marker", self.prefix())
    }
}

/// The functions whose bodies Binaryen cannot read and need not rewrite, in rising order.
pub(crate) fn unreadable(scan: &Scan, graph: &CallGraph) -> Vec<u32> {
    let is_unreadable = |body: &Body| body.tail_calls || body.block_params.is_some();
    scan.defined()
        .zip(&scan.bodies)
        .filter(|(function, body)| is_unreadable(body) && !graph.may_suspend(*function))
        .map(|(function, _)| function)
        .collect()
}

/// The slow versions in a module that has them, in rising order. Those that use data segments are
/// not among them: a segment has no export by which it could be found again.
pub(crate) fn slow(split: &[u8]) -> Result<Vec<u32>, Error> {
    let scan = Scan::of(split)?;
    let is_slow = |function: &u32| {
        let name = scan.names.get(function);
        name.is_some_and(|name| name.ends_with(SLOW))
    };
    let defined = scan.defined().zip(&scan.bodies);
    let without_data = defined.filter(|(_, body)| !body.data_segments);
    Ok(without_data.map(|(f, _)| f).filter(is_slow).collect())
}

/// Something that a body refers to, by its index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Function(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
}

impl Item {
    fn export(self, hidden: Hidden) -> (String, ExportKind, u32) {
        let (letter, kind, index) = match self {
            Self::Function(index) => ('f', ExportKind::Func, index),
            Self::Table(index) => ('t', ExportKind::Table, index),
            Self::Memory(index) => ('m', ExportKind::Memory, index),
            Self::Global(index) => ('g', ExportKind::Global, index),
        };
        (format!("{}{letter}{index}", hidden.prefix()), kind, index)
    }
}

/// Puts stubs in the place of the bodies of some functions, which are given in rising order.
pub(crate) fn take_out(wasm: &[u8], functions: &[u32], hidden: Hidden) -> Result<Vec<u8>, Error> {
    if functions.is_empty() {
        return Ok(wasm.to_vec());
    }
    let scan = Scan::of(wasm)?;
    let marker = scan.globals.len() as u32;
    let mut items = BTreeSet::new();
    let mut code = CodeSection::new();
    for (function, body) in (scan.imported_functions..).zip(bodies(wasm)?) {
        if functions.binary_search(&function).is_ok() {
            items.insert(Item::Function(function));
            refers_to(&body, &mut items).map_err(Error::malformed)?;
            let mut stub = Function::new([]);
            // The number only tells this stub from the others.
            stub.instruction(&Instruction::I32Const(function as i32));
            stub.instruction(&Instruction::GlobalSet(marker));
            stub.instruction(&Instruction::Unreachable);
            stub.instruction(&Instruction::End);
            code.function(&stub);
        } else {
            code.raw(&wasm[range(&body)]);
        }
    }
    let mut exports = ExportSection::new();
    for item in items {
        let (name, kind, index) = item.export(hidden);
        exports.export(&name, kind, index);
    }
    exports.export(&hidden.marker(), ExportKind::Global, marker);

    let mut sections = Sections::split(wasm)?;
    sections.replace(&code);
    sections.append(&flags(1))?;
    sections.append(&exports)?;
    Ok(sections.join())
}

/// Notes in the scan of a module with stubs what the bodies behind them may do: change any table
/// that they refer to, and take a reference to any function that they refer to.
pub(crate) fn note_effects(scan: &mut Scan) {
    for (name, kind, index) in &scan.exports {
        match (name.starts_with(TEMPORARY), kind) {
            (true, ExternalKind::Table) => scan.changed_by_hidden.push(*index),
            (true, ExternalKind::Func) => scan.referenced.push(*index),
            _ => {}
        }
    }
}

/// Puts the bodies of `source` back into what Binaryen has made.
pub(crate) fn put_back(
    made: &[u8],
    source: &[u8],
    functions: &[u32],
    hidden: Hidden,
) -> Result<Vec<u8>, Error> {
    if functions.is_empty() {
        return Ok(made.to_vec());
    }
    let (before, after) = (Scan::of(source)?, Scan::of(made)?);
    let exports = after.exports.iter();
    let mut renumbered = Renumbered {
        exports: exports
            .map(|(name, _, index)| (name.as_str(), *index))
            .collect(),
        first_type: after.types.len() as u32,
        hidden,
    };
    let mut types = TypeSection::new();
    for ty in &before.types {
        // A type that is no function type keeps its place, so that the others keep theirs.
        let (params, results) = ty
            .as_ref()
            .map_or((&[][..], &[][..]), |ty| (ty.params(), ty.results()));
        add_type(&mut types, params, results)?;
    }
    let mut sections = Sections::split(made)?;
    sections.append(&types)?;

    let mut originals = BTreeMap::new();
    for (function, body) in (before.imported_functions..).zip(bodies(source)?) {
        if functions.binary_search(&function).is_ok() {
            originals.insert(renumbered.function_index(function).map_err(lost)?, body);
        }
    }
    declare_references(&mut sections, &mut renumbered, originals.values())?;
    let mut code = CodeSection::new();
    for (function, body) in (after.imported_functions..).zip(bodies(made)?) {
        match originals.remove(&function) {
            Some(original) => renumbered
                .parse_function_body(&mut code, original)
                .map_err(lost)?,
            None => {
                code.raw(&made[range(&body)]);
            }
        }
    }
    sections.replace(&code);
    Ok(sections.join())
}

/// Declares the functions whose references the bodies take. A reference may be taken only of a
/// function that something outside of bodies names. That was an export, which goes at the end.
fn declare_references<'a>(
    sections: &mut Sections,
    renumbered: &mut Renumbered<'_>,
    bodies: impl Iterator<Item = &'a FunctionBody<'a>>,
) -> Result<(), Error> {
    let mut functions = BTreeSet::new();
    for body in bodies {
        for operator in body.get_operators_reader().map_err(Error::malformed)? {
            if let Operator::RefFunc { function_index } = operator.map_err(Error::malformed)? {
                functions.insert(renumbered.function_index(function_index).map_err(lost)?);
            }
        }
    }
    if functions.is_empty() {
        return Ok(());
    }
    let mut segment = ElementSection::new();
    let functions: Vec<u32> = functions.into_iter().collect();
    segment.declared(Elements::Functions(functions.into()));
    sections.append(&segment)
}

fn lost<E>(_: E) -> Error {
    Error::Internal("something that a hidden body refers to has lost its export")
}

/// Finds what a body refers to: encodes it again with an encoder that notes all indices.
fn refers_to(body: &FunctionBody<'_>, items: &mut BTreeSet<Item>) -> wasmparser::Result<()> {
    let mut collector = Collector(items);
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        if let Operator::MemoryGrow { mem } | Operator::MemorySize { mem } = operator {
            collector.0.insert(Item::Memory(mem));
        }
        // The collector never fails, and what it encodes is not used.
        let _ = collector.instruction(operator);
    }
    Ok(())
}

/// Notes the indices of all items that it encodes.
struct Collector<'a>(&'a mut BTreeSet<Item>);

impl Collector<'_> {
    fn note(&mut self, item: Item, index: u32) -> Result<u32, reencode::Error> {
        self.0.insert(item);
        Ok(index)
    }
}

impl Reencode for Collector<'_> {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.note(Item::Function(index), index)
    }

    fn table_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.note(Item::Table(index), index)
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.note(Item::Memory(index), index)
    }

    fn global_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.note(Item::Global(index), index)
    }
}

/// Encodes bodies of the source with the indices that Binaryen has given.
struct Renumbered<'a> {
    /// The index of every exported item.
    exports: HashMap<&'a str, u32>,
    /// The source's types stand behind Binaryen's, from this index on.
    first_type: u32,
    hidden: Hidden,
}

impl Renumbered<'_> {
    fn find(&self, item: Item) -> Result<u32, reencode::Error> {
        let (name, ..) = item.export(self.hidden);
        let found = self.exports.get(name.as_str()).copied();
        found.ok_or(reencode::Error::UnexpectedNonCoreModuleSection)
    }
}

impl Reencode for Renumbered<'_> {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.find(Item::Function(index))
    }

    fn table_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.find(Item::Table(index))
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.find(Item::Memory(index))
    }

    fn global_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        self.find(Item::Global(index))
    }

    fn type_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(self.first_type + index)
    }
}
