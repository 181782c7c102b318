//! What Binaryen 117 does not read, or loses, about segments.
//!
//! It knows neither `table.init` nor `elem.drop`. So the elements of a passive segment become the
//! elements of a table of their own, which nothing changes:
//!
//! ```text
//!   table.init t s     ->   table.copy t (the table of s, or an empty one if s was dropped)
//!   elem.drop s        ->   dropped_s := 1
//! ```
//!
//! And it renumbers data segments, which bodies that are kept from it (`opaque.rs`) could not
//! follow. So in those, `memory.init` and `data.drop` become calls of functions that it sees.

use std::collections::BTreeMap;

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Encode, Function, GlobalSection, GlobalType,
    Instruction, RefType, SectionId, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{ElementKind, FunctionBody, Operator, Parser, Payload};

use super::Error;
use super::prepare::{append, content};
use super::scan::Scan;
use super::sections::Sections;

/// The module in other words; `None` where there is nothing to do. `hidden` has the functions that
/// are kept from Binaryen, in order.
pub(super) fn lower(wasm: &[u8], scan: &Scan, hidden: &[u32]) -> Result<Option<Vec<u8>>, Error> {
    let is_hidden = |function: u32| hidden.binary_search(&function).is_ok();
    let concerned = |function: u32| {
        let body = &scan.bodies[(function - scan.imported_functions) as usize];
        body.elements || (body.data && is_hidden(function))
    };
    let last = scan.functions.len() as u32;
    if !(scan.imported_functions..last).any(concerned) {
        return Ok(None);
    }

    let mut rewriting = Rewriting::new(wasm, scan)?;
    let mut code = CodeSection::new();
    for (function, body) in (scan.imported_functions..).zip(bodies(wasm)?) {
        if concerned(function) {
            let ty = scan.func_type(scan.functions[function as usize]);
            let params = ty.map_or(0, |ty| ty.params().len() as u32);
            code.raw(&rewriting.body(&body, params, is_hidden(function))?);
        } else {
            // Positions are those in a module that is in memory, so they fit.
            let range = body.range();
            code.raw(&wasm[range.start as usize..range.end as usize]);
        }
    }
    let mut sections = Sections::split(wasm)?;
    rewriting.write(&mut sections, code)?;
    Ok(Some(sections.join()))
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

/// What a call of a function that Binaryen sees does for a hidden body.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Helper {
    Init { memory: u32, segment: u32 },
    Drop { segment: u32 },
}

/// A passive segment of elements.
struct Segment {
    table: u32,
    /// The global that says whether it was dropped.
    dropped: u32,
}

struct Rewriting<'a> {
    wasm: &'a [u8],
    scan: &'a Scan,
    elements: ElementSection,
    /// The passive segments; all others are as if they had been dropped at the start.
    segments: BTreeMap<u32, Segment>,
    /// New tables, by the type of their elements and their length.
    tables: Vec<(RefType, u64)>,
    /// An empty table of each type of elements.
    empty: Vec<(RefType, u32)>,
    helpers: BTreeMap<Helper, u32>,
}

impl<'a> Rewriting<'a> {
    fn new(wasm: &'a [u8], scan: &'a Scan) -> Result<Self, Error> {
        let mut rewriting = Self {
            wasm,
            scan,
            elements: ElementSection::new(),
            segments: BTreeMap::new(),
            tables: Vec::new(),
            empty: Vec::new(),
            helpers: BTreeMap::new(),
        };
        // Most modules have none of these, and then none of this.
        if scan.bodies.iter().any(|body| body.elements) {
            for payload in Parser::new(0).parse_all(wasm) {
                if let Payload::ElementSection(section) = payload.map_err(Error::malformed)? {
                    for (index, element) in (0..).zip(section) {
                        rewriting.element(index, element.map_err(Error::malformed)?)?;
                    }
                }
            }
        }
        Ok(rewriting)
    }

    fn element(&mut self, index: u32, element: wasmparser::Element<'_>) -> Result<(), Error> {
        let mut encoder = RoundtripReencoder;
        if !matches!(element.kind, ElementKind::Passive) {
            return encoder
                .parse_element(&mut self.elements, element)
                .map_err(encode);
        }
        let (ty, length) = match &element.items {
            wasmparser::ElementItems::Functions(items) => (RefType::FUNCREF, items.count()),
            wasmparser::ElementItems::Expressions(ty, items) => {
                (encoder.ref_type(*ty).map_err(encode)?, items.count())
            }
        };
        let table = self.table(ty, u64::from(length));
        let items = encoder.element_items(element.items).map_err(encode)?;
        self.elements
            .active(Some(table), &ConstExpr::i32_const(0), items);
        let dropped = (self.scan.globals.len() + self.segments.len()) as u32;
        self.segments.insert(index, Segment { table, dropped });
        Ok(())
    }

    fn table(&mut self, ty: RefType, length: u64) -> u32 {
        self.tables.push((ty, length));
        (self.scan.tables.len() + self.tables.len() - 1) as u32
    }

    fn empty_table(&mut self, like: u32) -> Result<u32, Error> {
        let ty = self.scan.tables[like as usize];
        let ty = RoundtripReencoder.ref_type(ty).map_err(encode)?;
        if let Some((_, table)) = self.empty.iter().find(|(known, _)| *known == ty) {
            return Ok(*table);
        }
        let table = self.table(ty, 0);
        self.empty.push((ty, table));
        Ok(table)
    }

    fn helper(&mut self, helper: Helper) -> u32 {
        let next = (self.scan.functions.len() + self.helpers.len()) as u32;
        *self.helpers.entry(helper).or_insert(next)
    }

    /// The body with other instructions; the rest is copied byte for byte.
    fn body(
        &mut self,
        body: &FunctionBody<'_>,
        params: u32,
        hidden: bool,
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        let mut locals = Vec::new();
        for local in body.get_locals_reader().map_err(Error::malformed)? {
            let (count, ty) = local.map_err(Error::malformed)?;
            locals.push((count, RoundtripReencoder.val_type(ty).map_err(encode)?));
        }
        let scratch = params + locals.iter().map(|(count, _)| count).sum::<u32>();
        locals.push((3, ValType::I32));
        (locals.len() as u32).encode(&mut out);
        for (count, ty) in &locals {
            count.encode(&mut out);
            ty.encode(&mut out);
        }

        let mut operators = body.get_operators_reader().map_err(Error::malformed)?;
        let mut copied = operators.original_position() as usize;
        while !operators.eof() {
            let before = operators.original_position() as usize;
            let instructions = match operators.read().map_err(Error::malformed)? {
                Operator::TableInit { elem_index, table } => {
                    self.init(elem_index, table, scratch)?
                }
                Operator::ElemDrop { elem_index } => self.drop(elem_index),
                Operator::MemoryInit { data_index, mem } if hidden => {
                    let (memory, segment) = (mem, data_index);
                    vec![Instruction::Call(
                        self.helper(Helper::Init { memory, segment }),
                    )]
                }
                Operator::DataDrop { data_index } if hidden => {
                    let segment = data_index;
                    vec![Instruction::Call(self.helper(Helper::Drop { segment }))]
                }
                _ => continue,
            };
            out.extend_from_slice(&self.wasm[copied..before]);
            for instruction in instructions {
                instruction.encode(&mut out);
            }
            copied = operators.original_position() as usize;
        }
        out.extend_from_slice(&self.wasm[copied..body.range().end as usize]);
        Ok(out)
    }

    fn init(
        &mut self,
        segment: u32,
        table: u32,
        scratch: u32,
    ) -> Result<Vec<Instruction<'static>>, Error> {
        let empty = self.empty_table(table)?;
        let copy = |src_table| Instruction::TableCopy {
            src_table,
            dst_table: table,
        };
        let Some(segment) = self.segments.get(&segment) else {
            return Ok(vec![copy(empty)]);
        };
        let put = (scratch..scratch + 3).rev().map(Instruction::LocalSet);
        let get = (scratch..scratch + 3).map(Instruction::LocalGet);
        let mut instructions: Vec<_> = put.collect();
        instructions.extend([
            Instruction::GlobalGet(segment.dropped),
            Instruction::If(wasm_encoder::BlockType::Empty),
        ]);
        instructions.extend(get.clone());
        instructions.extend([copy(empty), Instruction::Else]);
        instructions.extend(get);
        instructions.extend([copy(segment.table), Instruction::End]);
        Ok(instructions)
    }

    fn drop(&self, segment: u32) -> Vec<Instruction<'static>> {
        match self.segments.get(&segment) {
            Some(segment) => vec![
                Instruction::I32Const(1),
                Instruction::GlobalSet(segment.dropped),
            ],
            // It holds nothing any more.
            None => Vec::new(),
        }
    }

    fn write(self, sections: &mut Sections, mut code: CodeSection) -> Result<(), Error> {
        if !self.elements.is_empty() {
            sections.replace(SectionId::Element, content(&self.elements));
        }
        let mut tables = TableSection::new();
        for (element_type, length) in &self.tables {
            tables.table(TableType {
                element_type: *element_type,
                table64: false,
                minimum: *length,
                maximum: Some(*length),
                shared: false,
            });
        }
        append(
            sections,
            SectionId::Table,
            self.tables.len() as u32,
            &tables,
        )?;
        let mut globals = GlobalSection::new();
        for _ in &self.segments {
            let ty = GlobalType {
                val_type: ValType::I32,
                mutable: true,
                shared: false,
            };
            globals.global(ty, &ConstExpr::i32_const(0));
        }
        append(
            sections,
            SectionId::Global,
            self.segments.len() as u32,
            &globals,
        )?;

        let mut types = TypeSection::new();
        types.ty().function([ValType::I32; 3], []);
        types.ty().function([], []);
        append(sections, SectionId::Type, 2, &types)?;
        let first = self.scan.types.len() as u32;
        let mut helpers: Vec<(u32, Helper)> = self.helpers.iter().map(|(h, f)| (*f, *h)).collect();
        helpers.sort_unstable();
        let mut functions = Vec::new();
        for (_, helper) in &helpers {
            let mut body = Function::new([]);
            match *helper {
                Helper::Init { memory, segment } => {
                    first.encode(&mut functions);
                    for param in 0..3 {
                        body.instruction(&Instruction::LocalGet(param));
                    }
                    body.instruction(&Instruction::MemoryInit {
                        mem: memory,
                        data_index: segment,
                    });
                }
                Helper::Drop { segment } => {
                    (first + 1).encode(&mut functions);
                    body.instruction(&Instruction::DataDrop(segment));
                }
            }
            body.instruction(&Instruction::End);
            code.function(&body);
        }
        sections.append(SectionId::Function, helpers.len() as u32, &functions)?;
        sections.replace(SectionId::Code, content(&code));
        Ok(())
    }
}

/// The module has been validated, so nothing in it cannot be encoded again.
fn encode<E>(_: E) -> Error {
    Error::Binaryen
}
