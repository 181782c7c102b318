//! Bodies that Binaryen never sees.
//!
//! Binaryen 117 cannot read blocks with parameters, and its asyncify ends the process at a tail call. A function that is never on the stack at a suspend
//! needs no rewriting, so its body is taken out before and put back after.
//!
//! ```text
//!   source body -> stub { marker = number; unreachable } -> Binaryen -> stub -> source body
//!     and exports by which all that the body refers to is found again
//! ```
//!
//! The stub writes an exported global, a number of its own, so that it is neither dropped nor merged
//! with another; it is exported, so that its type stays; and it is never inlined (`binaryen.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, Encode, ExportKind, Function, GlobalSection,
    GlobalType, Instruction, SectionId, TypeSection, ValType,
};
use wasmparser::{ExternalKind, FunctionBody, Operator, Parser, Payload};

use super::Error;
use super::callgraph::CallGraph;
use super::prepare::{add_type, append, content};
use super::scan::{Body, Scan};
use super::sections::Sections;

/// Starts the names of exports that are gone again at the end.
pub(super) const PREFIX: &str = "dormouse.opaque.";

/// Bodies are taken out twice: those that Binaryen must not see, and between its runs the slow
/// versions, which it has optimized already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Unreadable,
    Slow,
}

impl Round {
    fn prefix(self) -> String {
        match self {
            Self::Unreadable => PREFIX.to_owned(),
            Self::Slow => format!("{PREFIX}slow."),
        }
    }

    fn marker(self) -> String {
        format!("{}marker", self.prefix())
    }
}

/// The functions whose bodies are taken out.
pub(super) fn functions(scan: &Scan, graph: &CallGraph) -> Vec<u32> {
    let holds = |body: &Body| body.tail_call.is_some() || body.parameters.is_some();
    (scan.imported_functions..)
        .zip(&scan.bodies)
        .filter(|(function, body)| holds(body) && !graph.may_suspend(*function))
        .map(|(function, _)| function)
        .collect()
}

/// The slow versions in a module that has been split, but for those that use segments of data, which
/// have no exports.
pub(super) fn slow(split: &[u8]) -> Result<Vec<u32>, Error> {
    let scan = Scan::of(split)?;
    let is_slow = |function: &u32| {
        let name = scan.names.get(function);
        name.is_some_and(|name| name.ends_with(super::fastpath::SLOW))
    };
    let defined = (scan.imported_functions..).zip(&scan.bodies);
    let without_data = defined.filter(|(_, body)| !body.data);
    Ok(without_data.map(|(f, _)| f).filter(is_slow).collect())
}

/// What a body refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Function(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
}

impl Item {
    fn export(self, round: Round) -> (String, ExportKind, u32) {
        let (letter, kind, index) = match self {
            Self::Function(index) => ('f', ExportKind::Func, index),
            Self::Table(index) => ('t', ExportKind::Table, index),
            Self::Memory(index) => ('m', ExportKind::Memory, index),
            Self::Global(index) => ('g', ExportKind::Global, index),
        };
        (format!("{}{letter}{index}", round.prefix()), kind, index)
    }
}

/// Puts stubs in the place of bodies. `prepared` has the same indices as the source.
pub(super) fn take_out(prepared: &[u8], opaque: &[u32], round: Round) -> Result<Vec<u8>, Error> {
    if opaque.is_empty() {
        return Ok(prepared.to_vec());
    }
    let scan = Scan::of(prepared)?;
    let mut sections = Sections::split(prepared)?;
    let marker = scan.globals.len() as u32;
    let mut items = BTreeSet::new();
    let mut code = CodeSection::new();
    for (function, body) in (scan.imported_functions..).zip(bodies(prepared)?) {
        if opaque.binary_search(&function).is_ok() {
            items.insert(Item::Function(function));
            refers_to(&body, &mut items).map_err(Error::malformed)?;
            let mut stub = Function::new([]);
            // A number is only there to be told apart.
            stub.instruction(&Instruction::I32Const(function as i32));
            stub.instruction(&Instruction::GlobalSet(marker));
            stub.instruction(&Instruction::Unreachable);
            stub.instruction(&Instruction::End);
            code.function(&stub);
        } else {
            // Positions are those in a module that is in memory, so they fit.
            let range = body.range();
            code.raw(&prepared[range.start as usize..range.end as usize]);
        }
    }
    sections.replace(SectionId::Code, content(&code));

    let mut globals = GlobalSection::new();
    let ty = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    globals.global(ty, &ConstExpr::i32_const(0));
    append(&mut sections, SectionId::Global, 1, &globals)?;

    let mut exports = Vec::new();
    let items = items.into_iter().map(|item| item.export(round));
    let marker = (round.marker(), ExportKind::Global, marker);
    let all: Vec<_> = items.chain([marker]).collect();
    for (name, kind, index) in &all {
        name.encode(&mut exports);
        kind.encode(&mut exports);
        index.encode(&mut exports);
    }
    sections.append(SectionId::Export, all.len() as u32, &exports)?;
    Ok(sections.join())
}

/// Notes in the scan of a module with stubs what the bodies behind them may do: change any table
/// that they refer to, and take a reference to any function.
pub(super) fn note(scan: &mut Scan) {
    for (name, kind, index) in &scan.exports {
        match (name.starts_with(PREFIX), kind) {
            (true, ExternalKind::Table) => scan.changed_elsewhere.push(*index),
            (true, ExternalKind::Func) => scan.referenced.push(*index),
            _ => {}
        }
    }
}

/// Puts the bodies of `source` back into what Binaryen has made.
pub(super) fn put_back(
    made: &[u8],
    source: &[u8],
    opaque: &[u32],
    round: Round,
) -> Result<Vec<u8>, Error> {
    if opaque.is_empty() {
        return Ok(made.to_vec());
    }
    let (before, after) = (Scan::of(source)?, Scan::of(made)?);
    let exports = after.exports.iter();
    let mut moved = Moved {
        exports: exports
            .map(|(name, _, index)| (name.as_str(), *index))
            .collect(),
        types: after.types.len() as u32,
        round,
    };
    let mut sections = Sections::split(made)?;
    let mut types = TypeSection::new();
    for ty in &before.types {
        // A type that is no function keeps its place, so that the others keep theirs.
        let (params, results) = ty
            .as_ref()
            .map_or((&[][..], &[][..]), |ty| (ty.params(), ty.results()));
        add_type(&mut types, params, results)?;
    }
    append(
        &mut sections,
        SectionId::Type,
        before.types.len() as u32,
        &types,
    )?;

    let mut originals = BTreeMap::new();
    for (function, body) in (before.imported_functions..).zip(bodies(source)?) {
        if opaque.binary_search(&function).is_ok() {
            let now = moved.function_index(function).map_err(lost)?;
            originals.insert(now, body);
        }
    }
    declare(&mut sections, &mut moved, originals.values())?;
    let mut code = CodeSection::new();
    for (function, body) in (after.imported_functions..).zip(bodies(made)?) {
        match originals.remove(&function) {
            Some(original) => moved
                .parse_function_body(&mut code, original)
                .map_err(lost)?,
            None => {
                let range = body.range();
                code.raw(&made[range.start as usize..range.end as usize]);
            }
        };
    }
    sections.replace(SectionId::Code, content(&code));
    Ok(sections.join())
}

/// References may be taken only of functions that something outside of bodies names. Here that was
/// an export, which will be gone.
fn declare<'a>(
    sections: &mut Sections,
    moved: &mut Moved<'_>,
    hidden: impl Iterator<Item = &'a FunctionBody<'a>>,
) -> Result<(), Error> {
    let mut functions = BTreeSet::new();
    for body in hidden {
        for operator in body.get_operators_reader().map_err(Error::malformed)? {
            if let Operator::RefFunc { function_index } = operator.map_err(Error::malformed)? {
                functions.insert(moved.function_index(function_index).map_err(lost)?);
            }
        }
    }
    if functions.is_empty() {
        return Ok(());
    }
    let mut segment = ElementSection::new();
    let functions: Vec<u32> = functions.into_iter().collect();
    segment.declared(Elements::Functions(functions.into()));
    append(sections, SectionId::Element, 1, &segment)
}

fn bodies(wasm: &[u8]) -> Result<Vec<FunctionBody<'_>>, Error> {
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? {
            bodies.push(body);
        }
    }
    Ok(bodies)
}

/// Nothing is lost while every item has its export.
fn lost<E>(_: E) -> Error {
    Error::Binaryen
}

/// Finds out what a body refers to, by having it encoded again.
fn refers_to(body: &FunctionBody<'_>, items: &mut BTreeSet<Item>) -> wasmparser::Result<()> {
    let mut collector = Collector(items);
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        if let Operator::MemoryGrow { mem } | Operator::MemorySize { mem } = operator {
            collector.0.insert(Item::Memory(mem));
        }
        // The collector never fails, and what it encodes is thrown away.
        let _ = collector.instruction(operator);
    }
    Ok(())
}

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

/// Where everything is now.
struct Moved<'a> {
    exports: HashMap<&'a str, u32>,
    /// The source's types follow behind so many others.
    types: u32,
    round: Round,
}

impl Moved<'_> {
    fn find(&self, item: Item) -> Result<u32, reencode::Error> {
        let found = self
            .exports
            .get(item.export(self.round).0.as_str())
            .copied();
        found.ok_or(reencode::Error::UnexpectedNonCoreModuleSection)
    }
}

impl Reencode for Moved<'_> {
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
        Ok(self.types + index)
    }
}
