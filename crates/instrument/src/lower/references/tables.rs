//! What the module's tables hold at the start, and which number each function has.

use std::collections::{BTreeMap, BTreeSet};

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    ConstExpr, DataSection, ElementSection, Elements, GlobalSection, GlobalType, MemorySection,
    MemoryType, RefType, TableSection, ValType,
};
use wasmparser::{ElementKind, Operator, Parser, Payload, TableInit, TableType};

use super::constants::Constants;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::expose::table_maximum::MAX_ELEMENTS;
use crate::module::bodies::bodies;

/// The bytes of a number in a memory, as a power of two.
pub(super) const NUMBER_SHIFT: i32 = 2;

/// The bytes of a page of memory, as a power of two.
pub(super) const PAGE_SHIFT: i32 = 16;

/// The tables of a module, and what becomes of them.
pub(super) struct Tables {
    /// The type of each of the module's own.
    types: Vec<TableType>,
    /// The index of the numbered table.
    pub numbered: u32,
    /// The function behind each number.
    functions: Vec<Option<u32>>,
    /// The number of each function whose reference is taken.
    numbers: BTreeMap<u32, u32>,
    /// Where in the numbered table the copies of other tables start, by the tables' indices.
    pub copies: BTreeMap<u32, u32>,
    /// The tables of functions that instructions change, by their indices.
    pub changed: BTreeMap<u32, Changed>,
    /// The active element segments of all other tables.
    segments: Vec<Segment>,
}

/// A table that becomes a memory.
pub(super) struct Changed {
    /// The index of the memory.
    pub memory: u32,
    /// The global with the number of elements.
    pub size: u32,
    /// How many elements it may have.
    pub maximum: u64,
    /// The functions that it refers to at the start.
    content: Vec<Option<u32>>,
}

/// An active element segment.
struct Segment {
    table: u32,
    offset: u32,
    items: Vec<Option<u32>>,
}

impl Tables {
    /// Finds what becomes of a module's tables; `None` where a segment does not fit into its table,
    /// so that the module could not be instantiated, or where a table starts with something else
    /// than null.
    pub(super) fn of(
        wasm: &[u8],
        scan: &Scan,
        constants: &Constants,
    ) -> Result<Option<Self>, Error> {
        let (Some(types), segments) = sections(wasm, constants)? else {
            return Ok(None);
        };
        let fits = |segment: &Segment| {
            let behind = u64::from(segment.offset) + segment.items.len() as u64;
            types
                .get(segment.table as usize)
                .is_some_and(|ty| behind <= ty.initial)
        };
        if !segments.iter().all(fits) {
            return Ok(None);
        }
        let holds_functions =
            |table: &u32| matches!(types.get(*table as usize), Some(ty) if is_of_functions(ty));
        let mut tables = Self {
            numbered: types.len() as u32,
            functions: vec![None],
            numbers: BTreeMap::new(),
            copies: BTreeMap::new(),
            changed: BTreeMap::new(),
            segments: Vec::new(),
            types: Vec::new(),
        };
        let changed = scan.changed_tables();
        for table in changed.iter().copied().filter(holds_functions) {
            let position = tables.changed.len();
            let changed = Changed::of(&types[table as usize], scan, position);
            tables.changed.insert(table, changed);
        }
        let read = read(wasm)?.into_iter().filter(holds_functions);
        let read: Vec<u32> = read.filter(|table| !changed.contains(table)).collect();
        tables.types = types;
        for segment in segments {
            match tables.changed.get_mut(&segment.table) {
                Some(changed) => put(&segment, &mut changed.content),
                None => tables.segments.push(segment),
            }
        }
        tables.number_functions(scan, constants);
        for table in read {
            tables.copy(table);
        }
        Ok(Some(tables))
    }

    /// Numbers the functions that something other than a copied table refers to.
    fn number_functions(&mut self, scan: &Scan, constants: &Constants) {
        let in_tables = self.changed.values().flat_map(|changed| &changed.content);
        let functions: BTreeSet<u32> = in_tables
            .flatten()
            .chain(&scan.referenced)
            .copied()
            .chain(constants.functions())
            .collect();
        for function in functions {
            self.numbers.insert(function, self.functions.len() as u32);
            self.functions.push(Some(function));
        }
    }

    /// Puts a copy of a table behind the numbered functions.
    fn copy(&mut self, table: u32) {
        let mut content = vec![None; self.types[table as usize].initial as usize];
        for segment in self.segments.iter().filter(|of| of.table == table) {
            put(segment, &mut content);
        }
        self.copies.insert(table, self.functions.len() as u32);
        self.functions.extend(content);
    }

    /// Whether a table holds references to functions. All others hold those to host objects.
    pub(super) fn holds_functions(&self, table: u32) -> bool {
        let ty = self.types.get(table as usize);
        ty.is_some_and(is_of_functions)
    }

    /// The number of a function, or of null.
    pub(super) fn number(&self, function: Option<u32>) -> u32 {
        let number = function.and_then(|function| self.numbers.get(&function));
        number.copied().unwrap_or(0)
    }

    /// The module's tables, and the numbered one.
    pub(super) fn section(&self) -> Result<TableSection, Error> {
        let mut section = TableSection::new();
        for (table, ty) in (0..).zip(&self.types) {
            let mut ty = RoundtripReencoder
                .table_type(*ty)
                .map_err(Error::encoding)?;
            if self.changed.contains_key(&table) {
                // Nothing uses it any more, and the indices of others stay.
                (ty.minimum, ty.maximum) = (0, Some(0));
            }
            section.table(ty);
        }
        let length = self.functions.len() as u64;
        section.table(wasm_encoder::TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: length,
            maximum: Some(length),
            shared: false,
        });
        Ok(section)
    }

    /// The active segments of the tables that stay tables.
    pub(super) fn elements(&self) -> Result<ElementSection, Error> {
        let mut section = ElementSection::new();
        for segment in &self.segments {
            let ty = self.types[segment.table as usize].element_type;
            let ty = RoundtripReencoder.ref_type(ty).map_err(Error::encoding)?;
            let items = elements(&segment.items, ty);
            let offset = ConstExpr::i32_const(segment.offset as i32);
            section.active(Some(segment.table), &offset, items);
        }
        let mut offset = 0;
        for run in self.functions.chunk_by(|a, b| a.is_some() == b.is_some()) {
            if run.first().is_some_and(Option::is_some) {
                let items = elements(run, RefType::FUNCREF);
                section.active(Some(self.numbered), &ConstExpr::i32_const(offset), items);
            }
            offset += run.len() as i32;
        }
        Ok(section)
    }

    /// The memories in place of tables.
    pub(super) fn memories(&self) -> MemorySection {
        let pages = |elements: u64| (elements << NUMBER_SHIFT).div_ceil(1 << PAGE_SHIFT);
        let mut section = MemorySection::new();
        for changed in self.changed.values() {
            section.memory(MemoryType {
                minimum: pages(changed.content.len() as u64),
                maximum: Some(pages(changed.maximum)),
                memory64: false,
                shared: false,
                page_size_log2: None,
            });
        }
        section
    }

    /// The globals with the sizes of tables.
    pub(super) fn sizes(&self) -> GlobalSection {
        let mut section = GlobalSection::new();
        let ty = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        for changed in self.changed.values() {
            section.global(ty, &ConstExpr::i32_const(changed.content.len() as i32));
        }
        section
    }

    /// The segments that write the numbers of which tables consist at the start.
    pub(super) fn data(&self) -> DataSection {
        let mut section = DataSection::new();
        for changed in self.changed.values() {
            let filled = changed.content.iter().rposition(Option::is_some);
            let filled = &changed.content[..filled.map_or(0, |last| last + 1)];
            let numbers = filled.iter().map(|function| self.number(*function));
            let bytes: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
            if !bytes.is_empty() {
                section.active(changed.memory, &ConstExpr::i32_const(0), bytes);
            }
        }
        section
    }
}

impl Changed {
    /// What becomes of a table, in this position among those that become memories.
    fn of(ty: &TableType, scan: &Scan, position: usize) -> Self {
        let limit = ty.initial.max(MAX_ELEMENTS);
        Self {
            memory: (scan.memories.len() + position) as u32,
            size: (scan.globals.len() + position) as u32,
            maximum: ty.maximum.unwrap_or(limit).min(limit),
            content: vec![None; ty.initial as usize],
        }
    }
}

fn is_of_functions(ty: &TableType) -> bool {
    ty.element_type.is_func_ref()
}

/// Writes a segment, which fits.
fn put(segment: &Segment, content: &mut [Option<u32>]) {
    let first = segment.offset as usize;
    content[first..first + segment.items.len()].copy_from_slice(&segment.items);
}

fn elements(items: &[Option<u32>], ty: RefType) -> Elements<'static> {
    if let (RefType::FUNCREF, Some(functions)) = (ty, items.iter().copied().collect()) {
        return Elements::Functions(functions);
    }
    let items = items.iter().map(|function| match function {
        Some(function) => ConstExpr::ref_func(*function),
        None => ConstExpr::ref_null(ty.heap_type),
    });
    Elements::Expressions(ty, items.collect())
}

/// The tables' types and the active element segments. No types where a table starts with something
/// else than null, or where it is not known at which offset a segment starts.
fn sections(
    wasm: &[u8],
    constants: &Constants,
) -> Result<(Option<Vec<TableType>>, Vec<Segment>), Error> {
    let (mut types, mut segments) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(Error::malformed)? {
            Payload::TableSection(section) => {
                for table in section {
                    let table = table.map_err(Error::malformed)?;
                    if matches!(table.init, TableInit::Expr(_)) {
                        return Ok((None, segments));
                    }
                    types.push(table.ty);
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element.map_err(Error::malformed)?;
                    let ElementKind::Active {
                        table_index,
                        offset_expr,
                    } = element.kind
                    else {
                        continue;
                    };
                    let Some(offset) = constants.value(&offset_expr) else {
                        return Ok((None, segments));
                    };
                    segments.push(Segment {
                        table: table_index.unwrap_or(0),
                        offset,
                        items: constants.items(element.items)?,
                    });
                }
            }
            _ => {}
        }
    }
    Ok((Some(types), segments))
}

/// The tables from which instructions read references.
fn read(wasm: &[u8]) -> Result<BTreeSet<u32>, Error> {
    let mut read = BTreeSet::new();
    for body in bodies(wasm)? {
        for operator in body.get_operators_reader().map_err(Error::malformed)? {
            match operator.map_err(Error::malformed)? {
                Operator::TableGet { table }
                | Operator::TableCopy {
                    src_table: table, ..
                } => {
                    read.insert(table);
                }
                _ => {}
            }
        }
    }
    Ok(read)
}
