//! Element segments that are used by number, without instructions that Binaryen 117 does not read.
//!
//! It knows neither `table.init` nor `elem.drop`. So each passive element segment becomes the
//! content of a table of its own, which nothing changes:
//!
//! ```text
//!   table.init t s     ->   table.copy t (the table of s, or an empty one if s was dropped)
//!   elem.drop s        ->   dropped_s := 1
//! ```

use std::collections::BTreeMap;

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Encode, Instruction, RefType, TableSection,
    TableType, ValType,
};
use wasmparser::{ElementItems, ElementKind, FunctionBody, Operator, Parser, Payload};

use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::{Edit, bodies, edit_instructions, range};
use crate::module::encode::flags;
use crate::module::sections::Sections;

/// How many operands `table.init` and `table.copy` take, each an `i32`.
const OPERANDS: u32 = 3;

/// The module in other words; `None` where there is nothing to do.
pub(crate) fn lower(wasm: &[u8], scan: &Scan) -> Result<Option<Vec<u8>>, Error> {
    let is_lowered = |function: u32| {
        let body = scan.body(function);
        body.is_some_and(|body| body.element_segments)
    };
    if !scan.defined().any(is_lowered) {
        return Ok(None);
    }

    let mut lowering = Lowering::new(wasm, scan)?;
    let mut code = CodeSection::new();
    for (function, body) in scan.defined().zip(bodies(wasm)?) {
        if is_lowered(function) {
            let ty = scan.type_of(function);
            let params = ty.map_or(0, |ty| ty.params().len() as u32);
            code.raw(&lowering.body(&body, params)?);
        } else {
            code.raw(&wasm[range(&body)]);
        }
    }
    let mut sections = Sections::split(wasm)?;
    lowering.write(&mut sections, &code)?;
    Ok(Some(sections.join()))
}

/// A passive element segment.
struct PassiveSegment {
    /// The table with its elements.
    table: u32,
    /// The global that says whether it was dropped.
    dropped: u32,
}

/// A module while it is rewritten.
struct Lowering<'a> {
    wasm: &'a [u8],
    scan: &'a Scan,
    /// The new element section.
    elements: ElementSection,
    /// The passive segments by number. All others are as if they had been dropped at the start.
    segments: BTreeMap<u32, PassiveSegment>,
    /// The added tables: the type of their elements, and their length.
    tables: Vec<(RefType, u64)>,
    /// An empty table for each type of elements.
    empty: Vec<(RefType, u32)>,
}

impl<'a> Lowering<'a> {
    fn new(wasm: &'a [u8], scan: &'a Scan) -> Result<Self, Error> {
        let mut lowering = Self {
            wasm,
            scan,
            elements: ElementSection::new(),
            segments: BTreeMap::new(),
            tables: Vec::new(),
            empty: Vec::new(),
        };
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::ElementSection(section) = payload.map_err(Error::malformed)? {
                for (index, element) in (0..).zip(section) {
                    lowering.element(index, element.map_err(Error::malformed)?)?;
                }
            }
        }
        Ok(lowering)
    }

    fn element(&mut self, index: u32, element: wasmparser::Element<'_>) -> Result<(), Error> {
        let mut encoder = RoundtripReencoder;
        if !matches!(element.kind, ElementKind::Passive) {
            return encoder
                .parse_element(&mut self.elements, element)
                .map_err(Error::encoding);
        }
        let (ty, length) = match &element.items {
            ElementItems::Functions(items) => (RefType::FUNCREF, items.count()),
            ElementItems::Expressions(ty, items) => {
                let ty = encoder.ref_type(*ty).map_err(Error::encoding)?;
                (ty, items.count())
            }
        };
        let table = self.table(ty, u64::from(length));
        let items = encoder.element_items(element.items);
        let items = items.map_err(Error::encoding)?;
        self.elements
            .active(Some(table), &ConstExpr::i32_const(0), items);
        let dropped = (self.scan.globals.len() + self.segments.len()) as u32;
        self.segments
            .insert(index, PassiveSegment { table, dropped });
        Ok(())
    }

    /// Adds a table, and gives its index.
    fn table(&mut self, ty: RefType, length: u64) -> u32 {
        self.tables.push((ty, length));
        (self.scan.tables.len() + self.tables.len() - 1) as u32
    }

    /// An empty table with elements of the same type as those of `like`.
    fn empty_table(&mut self, like: u32) -> Result<u32, Error> {
        let ty = self.scan.tables[like as usize];
        let ty = RoundtripReencoder.ref_type(ty).map_err(Error::encoding)?;
        if let Some((_, table)) = self.empty.iter().find(|(known, _)| *known == ty) {
            return Ok(*table);
        }
        let table = self.table(ty, 0);
        self.empty.push((ty, table));
        Ok(table)
    }

    /// The body with other instructions, and three more locals for operands.
    fn body(&mut self, body: &FunctionBody<'_>, params: u32) -> Result<Vec<u8>, Error> {
        let mut locals = Vec::new();
        for local in body.get_locals_reader().map_err(Error::malformed)? {
            let (count, ty) = local.map_err(Error::malformed)?;
            let ty = RoundtripReencoder.val_type(ty).map_err(Error::encoding)?;
            locals.push((count, ty));
        }
        let scratch = params + locals.iter().map(|(count, _)| count).sum::<u32>();
        locals.push((OPERANDS, ValType::I32));

        let mut out = Vec::new();
        (locals.len() as u32).encode(&mut out);
        for (count, ty) in &locals {
            count.encode(&mut out);
            ty.encode(&mut out);
        }
        let wasm = self.wasm;
        let edit = |_, operator: &Operator<'_>| self.edit(operator, scratch);
        edit_instructions(wasm, body, edit, &mut out)?;
        Ok(out)
    }

    fn edit(&mut self, operator: &Operator<'_>, scratch: u32) -> Result<Edit, Error> {
        Ok(match *operator {
            Operator::TableInit { elem_index, table } => {
                Edit::Replace(self.init(elem_index, table, scratch)?)
            }
            Operator::ElemDrop { elem_index } => Edit::Replace(self.drop(elem_index)),
            _ => Edit::Keep,
        })
    }

    /// The instructions in place of `table.init`.
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
        let operands = scratch..scratch + OPERANDS;
        let mut instructions: Vec<_> = operands.clone().rev().map(Instruction::LocalSet).collect();
        instructions.extend([
            Instruction::GlobalGet(segment.dropped),
            Instruction::If(BlockType::Empty),
        ]);
        instructions.extend(operands.clone().map(Instruction::LocalGet));
        instructions.extend([copy(empty), Instruction::Else]);
        instructions.extend(operands.map(Instruction::LocalGet));
        instructions.extend([copy(segment.table), Instruction::End]);
        Ok(instructions)
    }

    /// The instructions in place of `elem.drop`.
    fn drop(&self, segment: u32) -> Vec<Instruction<'static>> {
        match self.segments.get(&segment) {
            Some(segment) => vec![
                Instruction::I32Const(1),
                Instruction::GlobalSet(segment.dropped),
            ],
            // It is as if it had been dropped before.
            None => Vec::new(),
        }
    }

    /// Writes everything that is new; `code` has the bodies of the module's own functions.
    fn write(self, sections: &mut Sections<'_>, code: &CodeSection) -> Result<(), Error> {
        if !self.elements.is_empty() {
            sections.replace(&self.elements);
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
        sections.append(&tables)?;
        sections.append(&flags(self.segments.len()))?;
        sections.replace(code);
        Ok(())
    }
}
