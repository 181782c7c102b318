//! Exceptions as ordinary results.
//!
//! An exception handler is part of its frame, and asyncify knows nothing of it; engines' own
//! exceptions are references, which cannot be written down; WasmEdge 0.14 has none, and the older
//! form (`try`, `catch`, `delegate`), which compilers still write, no engine here runs. So all of
//! it is rewritten before anything else happens: a function that throws notes what in globals and
//! returns, and behind each call that may throw stands a test. What is left is plain code, in which a
//! guest can be suspended anywhere, handlers included, and which runs on both engines.
//!
//! - `pending` holds the number of the tag on its way plus one, and zero otherwise. Each value that
//!   a tag carries has a global.
//! - An exception that is held as a reference becomes a number: its tag above 32 bits, what it
//!   carries below. Therefore tags may carry one `i32` at most where references are taken; those of C
//!   and C++ do.
//! - Which functions may throw is found in the call graph. Calls of others have no test.

mod body;
mod tries;

use std::collections::{HashMap, HashSet};

use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, GlobalSection, GlobalType, Instruction, SectionId, TypeSection, ValType,
};
use wasmparser::{
    AbstractHeapType, Catch, ExternalKind, HeapType, Operator, Parser, Payload, ValidPayload,
    Validator,
};

use self::body::Lowering;
use self::tries::Tries;
use super::Error;
use super::callgraph::{CallGraph, Calls};
use super::prepare::{append, content};
use super::scan::{Body, Scan};
use super::sections::Sections;

/// The name by which `pending` is found again after Binaryen.
pub(super) const PENDING: &str = "dormouse.opaque.pending";

/// The module without exceptions; `None` where it has none. Indices stay as they are.
pub(super) fn lower(wasm: &[u8], scan: &Scan) -> Result<Option<Vec<u8>>, Error> {
    if scan.tags.is_empty() && scan.bodies.iter().all(|body| body.exception.is_none()) {
        return Ok(None);
    }
    check_types(scan)?;
    let (graph, entries) = who_throws(wasm, scan)?;
    let thrown = Thrown {
        scan,
        graph: &graph,
    };
    let globals = Globals::new(scan)?;
    let mut types = Types::new(scan.types.len() as u32);

    let mut code = CodeSection::new();
    let mut validator = Validator::new_with_features(super::validate::features());
    let mut function = scan.imported_functions;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        let ValidPayload::Func(to_validate, body) = valid else {
            continue;
        };
        let known = &scan.bodies[(function - scan.imported_functions) as usize];
        let concerned = known.exception.is_some() || known.tells_references;
        if concerned || calls_thrower(&graph, known) {
            let entry = entries.contains(&function);
            let types = &mut types;
            let lowered = Lowering::rewrite(&thrown, &globals, types, entry, &body, to_validate)?;
            code.function(&lowered);
        } else {
            // Positions are those in a module that is in memory, so they fit.
            let range = body.range();
            code.raw(&wasm[range.start as usize..range.end as usize]);
        }
        function += 1;
    }

    let mut sections = Sections::split(wasm)?;
    sections.remove(SectionId::Tag);
    sections.replace(SectionId::Type, type_section(wasm, &types)?);
    append(
        &mut sections,
        SectionId::Global,
        globals.count(),
        &globals.section(),
    )?;
    sections.replace(SectionId::Code, content(&code));
    sections.replace(SectionId::Export, exports(wasm, globals.pending)?);
    Ok(Some(sections.join()))
}

fn calls_thrower(graph: &CallGraph, body: &Body) -> bool {
    let mut calls = body.calls.iter();
    let mut indirect = body.indirect.iter();
    calls.any(|callee| graph.may_suspend(*callee))
        || indirect.any(|(ty, table)| graph.indirect_may_suspend(*ty, *table))
}

/// Which functions may end with an exception, as a call graph in which "suspends" means that.
struct Thrown<'a> {
    scan: &'a Scan,
    graph: &'a CallGraph,
}

/// The graph of who throws, and the functions that the host calls.
fn who_throws(wasm: &[u8], scan: &Scan) -> Result<(CallGraph, HashSet<u32>), Error> {
    let mut escaping = Vec::with_capacity(scan.bodies.len());
    let mut throwers = HashSet::new();
    let mut function = scan.imported_functions;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(Error::malformed)? {
            let known = &scan.bodies[(function - scan.imported_functions) as usize];
            escaping.push(match known.exception {
                None => None,
                Some(_) => {
                    let (calls, throws) = leaves_by(scan, &body)?;
                    if throws {
                        throwers.insert(function);
                    }
                    Some(calls)
                }
            });
            function += 1;
        }
    }
    let throws = |function: u32| throwers.contains(&function);
    let calls: Vec<Calls<'_>> = escaping
        .iter()
        .zip(&scan.bodies)
        .map(|(own, body)| match own {
            Some((calls, indirect)) => (calls.as_slice(), indirect.as_slice()),
            None => (body.calls.as_slice(), body.indirect.as_slice()),
        })
        .collect();
    let graph = CallGraph::over(scan, throws, &calls);

    let exports = scan.exports.iter();
    let exported = exports.filter(|(name, kind, _)| {
        name == "_start" && matches!(kind, ExternalKind::Func | ExternalKind::FuncExact)
    });
    let entries: HashSet<u32> = exported.map(|(_, _, f)| *f).chain(scan.start).collect();
    let segments = scan.elements.iter().flat_map(|segment| &segment.functions);
    let called = scan.bodies.iter().flat_map(|body| &body.calls);
    let mut inside = segments.chain(&scan.referenced).chain(called);
    match inside.find(|function| entries.contains(function) && graph.may_suspend(**function)) {
        None => Ok((graph, entries)),
        Some(function) => Err(Error::Unsupported {
            what: format!(
                "`{}`, which the program itself calls and which may throw,",
                scan.function_name(*function)
            ),
            why: "where its exception goes depends on who has called it",
        }),
    }
}

/// Calls by name and indirect ones whose exceptions leave the body.
type Escaping = (Vec<u32>, Vec<(u32, u32)>);

/// What is caught at some place of a body.
#[derive(Clone, Default)]
struct Caught {
    all: bool,
    tags: HashSet<u32>,
}

impl Caught {
    fn everything(&self, scan: &Scan) -> bool {
        self.all || self.tags.len() == scan.tags.len()
    }

    fn add(&mut self, tag: Option<u32>) {
        match tag {
            Some(tag) => {
                self.tags.insert(tag);
            }
            None => self.all = true,
        }
    }
}

/// The calls of a body whose exceptions leave it, and whether it throws out of itself.
fn leaves_by(scan: &Scan, body: &wasmparser::FunctionBody<'_>) -> Result<(Escaping, bool), Error> {
    let operators = body.get_operators_reader().map_err(Error::malformed)?;
    let ops: Result<Vec<_>, _> = operators.into_iter().collect();
    let ops = ops.map_err(Error::malformed)?;
    let tries = Tries::of(&ops)?;
    let (mut calls, mut indirect, mut throws) = (Vec::new(), Vec::new(), false);
    let mut open = vec![Caught::default()];
    for (place, op) in ops.iter().enumerate() {
        let here = open.last().cloned().unwrap_or_default();
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open.push(here),
            Operator::TryTable { try_table } => {
                let mut inside = here;
                for catch in &try_table.catches {
                    inside.add(match *catch {
                        Catch::One { tag, .. } | Catch::OneRef { tag, .. } => Some(tag),
                        Catch::All { .. } | Catch::AllRef { .. } => None,
                    });
                }
                open.push(inside);
            }
            Operator::Try { .. } => {
                let mut inside = here;
                if let Some(depth) = tries.delegated.get(&place) {
                    let target = open.len().checked_sub(1 + *depth as usize);
                    inside = open[target.ok_or(Error::Binaryen)?].clone();
                }
                match tries.caught.get(&place) {
                    Some(Some(tags)) => tags.iter().for_each(|tag| inside.add(Some(*tag))),
                    _ => inside.add(None),
                }
                open.push(inside);
            }
            Operator::Catch { .. } | Operator::CatchAll => {
                open.pop();
                open.push(open.last().cloned().unwrap_or_default());
            }
            Operator::End | Operator::Delegate { .. } => {
                open.pop();
            }
            Operator::Throw { tag_index } => throws |= !here.all && !here.tags.contains(tag_index),
            Operator::ThrowRef | Operator::Rethrow { .. } => throws |= !here.everything(scan),
            Operator::Call { function_index } if !here.everything(scan) => {
                calls.push(*function_index);
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            } if !here.everything(scan) => indirect.push((*type_index, *table_index)),
            // What these throw is thrown where the caller stands.
            Operator::ReturnCall { function_index } => calls.push(*function_index),
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => indirect.push((*type_index, *table_index)),
            _ => {}
        }
    }
    calls.sort_unstable();
    calls.dedup();
    indirect.sort_unstable();
    indirect.dedup();
    Ok(((calls, indirect), throws))
}

/// The globals by which exceptions travel.
struct Globals {
    /// Which tag is on its way.
    pending: u32,
    /// For each tag the global of each value that it carries.
    payloads: Vec<Vec<u32>>,
    types: Vec<ValType>,
    /// Where each tag carries one `i32` or nothing, its global, if any does.
    packed: Option<Option<u32>>,
}

impl Globals {
    fn new(scan: &Scan) -> Result<Self, Error> {
        let pending = scan.globals.len() as u32;
        let mut types = vec![ValType::I32];
        let mut known: HashMap<(usize, ValType), u32> = HashMap::new();
        let mut payloads = Vec::new();
        for (tag, ty) in scan.tags.iter().enumerate() {
            let carried = scan.func_type(*ty).map_or(&[][..], |ty| ty.params());
            let mut globals = Vec::new();
            for (place, ty) in carried.iter().enumerate() {
                let ty = WithoutExceptions.val_type(*ty).map_err(encode)?;
                if matches!(ty, ValType::Ref(_)) {
                    return Err(Error::Unsupported {
                        what: format!("exceptions with tag {tag}, which carries a reference,"),
                        why: "a reference on its way through a program cannot be written down",
                    });
                }
                globals.push(*known.entry((place, ty)).or_insert_with(|| {
                    types.push(ty);
                    pending + types.len() as u32 - 1
                }));
            }
            payloads.push(globals);
        }
        let one = |globals: &Vec<u32>| match globals[..] {
            [] => true,
            [global] => types[(global - pending) as usize] == ValType::I32,
            _ => false,
        };
        let packed = payloads.iter().all(one);
        let packed = packed.then(|| payloads.iter().flatten().next().copied());
        Ok(Self {
            pending,
            payloads,
            types,
            packed,
        })
    }

    /// A tag's number in `pending`.
    fn number(tag: u32) -> i32 {
        tag as i32 + 1
    }

    /// The global of what an exception carries that is held as a number.
    fn packed(&self) -> Result<Option<u32>, Error> {
        self.packed.ok_or(Error::Unsupported {
            what: "an exception that is held, or thrown once more,".into(),
            why: "one of the module's tags carries more than one i32, and a reference to its \
                  exception cannot be written down",
        })
    }

    fn count(&self) -> u32 {
        self.types.len() as u32
    }

    fn section(&self) -> GlobalSection {
        let mut section = GlobalSection::new();
        for ty in &self.types {
            let initial = match ty {
                ValType::I64 => ConstExpr::i64_const(0),
                ValType::F32 => ConstExpr::f32_const(0.0.into()),
                ValType::F64 => ConstExpr::f64_const(0.0.into()),
                ValType::V128 => ConstExpr::v128_const(0),
                _ => ConstExpr::i32_const(0),
            };
            let ty = GlobalType {
                val_type: *ty,
                mutable: true,
                shared: false,
            };
            section.global(ty, &initial);
        }
        section
    }
}

/// Block types that are added to the module's.
struct Types {
    next: u32,
    added: Vec<Vec<ValType>>,
}

impl Types {
    fn new(next: u32) -> Self {
        let added = Vec::new();
        Self { next, added }
    }

    /// The type of a block that takes these and gives nothing.
    fn taking(&mut self, params: &[wasmparser::ValType]) -> Result<u32, Error> {
        let params: Result<Vec<_>, _> = params
            .iter()
            .map(|ty| WithoutExceptions.val_type(*ty))
            .collect();
        let params = params.map_err(encode)?;
        let known = self.added.iter().position(|added| *added == params);
        let place = known.unwrap_or_else(|| {
            self.added.push(params);
            self.added.len() - 1
        });
        Ok(self.next + place as u32)
    }
}

/// Copies what there is, with numbers for references to exceptions.
struct WithoutExceptions;

impl Reencode for WithoutExceptions {
    type Error = std::convert::Infallible;

    fn val_type(&mut self, ty: wasmparser::ValType) -> Result<ValType, reencode::Error> {
        match is_exception(ty) {
            true => Ok(ValType::I64),
            false => RoundtripReencoder.val_type(ty),
        }
    }
}

/// Whether values of this type are references to exceptions.
pub(super) fn is_exception(ty: wasmparser::ValType) -> bool {
    matches!(ty, wasmparser::ValType::Ref(ty) if is_exception_heap(ty.heap_type()))
}

/// The same, of a heap type.
pub(super) fn is_exception_heap(ty: HeapType) -> bool {
    matches!(
        ty,
        HeapType::Abstract {
            ty: AbstractHeapType::Exn | AbstractHeapType::NoExn,
            ..
        }
    )
}

fn zero(ty: ValType) -> Instruction<'static> {
    match ty {
        ValType::I32 => Instruction::I32Const(0),
        ValType::I64 => Instruction::I64Const(0),
        ValType::F32 => Instruction::F32Const(0.0.into()),
        ValType::F64 => Instruction::F64Const(0.0.into()),
        ValType::V128 => Instruction::V128Const(0),
        ValType::Ref(ty) => Instruction::RefNull(ty.heap_type),
    }
}

/// Refuses references to exceptions that outlive every function.
fn check_types(scan: &Scan) -> Result<(), Error> {
    let kept = |what: &str, index: usize| Error::Unsupported {
        what: format!("{what} {index}, which holds references to exceptions,"),
        why: "a reference held across a suspend cannot be written down",
    };
    let mut globals = scan.globals.iter();
    if let Some(index) = globals.position(|global| is_exception(global.content_type)) {
        return Err(kept("global", index));
    }
    let mut tables = scan.tables.iter();
    match tables.position(|ty| is_exception_heap(ty.heap_type())) {
        Some(index) => Err(kept("table", index)),
        None => Ok(()),
    }
}

/// The module's types, and those that were added.
fn type_section(wasm: &[u8], types: &Types) -> Result<Vec<u8>, Error> {
    let mut section = TypeSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::TypeSection(own) = payload.map_err(Error::malformed)? {
            utils::parse_type_section(&mut WithoutExceptions, &mut section, own).map_err(encode)?;
        }
    }
    for params in &types.added {
        section.ty().function(params.iter().copied(), []);
    }
    Ok(content(&section))
}

/// The module's exports without its tags, and `pending`.
fn exports(wasm: &[u8], pending: u32) -> Result<Vec<u8>, Error> {
    let mut section = wasm_encoder::ExportSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(own) = payload.map_err(Error::malformed)? {
            for export in own {
                let export = export.map_err(Error::malformed)?;
                if export.kind != ExternalKind::Tag && export.name != PENDING {
                    utils::parse_export(&mut RoundtripReencoder, &mut section, export)
                        .map_err(encode)?;
                }
            }
        }
    }
    section.export(PENDING, wasm_encoder::ExportKind::Global, pending);
    Ok(content(&section))
}

/// The module has been validated, so nothing in it cannot be encoded again.
fn encode<E>(_: E) -> Error {
    Error::Binaryen
}
