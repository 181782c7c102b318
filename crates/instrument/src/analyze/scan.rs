//! One pass over a valid module, which keeps what the later steps ask for.

use std::collections::HashMap;

use rayon::prelude::*;
use wasmparser::{
    BlockType, CompositeInnerType, ElementItems, ElementKind, ExternalKind, FuncType, KnownCustom,
    Name, Operator, Parser, Payload, RefType, TableInit, TypeRef, ValType,
};

use super::features::features;
use super::types::{is_exception, is_exception_heap, is_managed, is_managed_operator};
use crate::error::Error;

/// What a module declares, and what its functions do.
#[derive(Default)]
pub(crate) struct Scan {
    /// The types, by index; `None` for those that are no function types.
    pub types: Vec<Option<FuncType>>,
    /// All imports, with what they import.
    pub imports: Vec<Import>,
    /// The type index of every function, imported ones first.
    pub functions: Vec<u32>,
    /// How many of them are imported.
    pub imported_functions: u32,
    /// The type of every memory.
    pub memories: Vec<wasmparser::MemoryType>,
    /// The type of every table's elements.
    pub tables: Vec<RefType>,
    /// Type and mutability of every global.
    pub globals: Vec<wasmparser::GlobalType>,
    /// The type index of every tag.
    pub tags: Vec<u32>,
    /// The exports, in order: name, kind, and index among the items of that kind.
    pub exports: Vec<(String, ExternalKind, u32)>,
    /// The start function.
    pub start: Option<u32>,
    /// Element segments.
    pub elements: Vec<ElementSegment>,
    /// How many data segments there are.
    pub data_segments: u32,
    /// Functions whose reference is taken outside element segments.
    pub referenced: Vec<u32>,
    /// What each defined function does, in order.
    pub bodies: Vec<Body>,
    /// Whether it has objects that a garbage collector looks after, or typed references.
    pub managed: bool,
    /// Names of functions from the name section.
    pub names: HashMap<u32, String>,
}

/// An import.
pub(crate) struct Import {
    /// The name of the module that it is taken from.
    pub module: String,
    /// Its own name.
    pub name: String,
    /// What it is.
    pub ty: TypeRef,
}

/// An element segment.
pub(crate) struct ElementSegment {
    /// The table that the segment fills, if it is an active one.
    pub table: Option<u32>,
    /// The functions it holds.
    pub functions: Vec<u32>,
}

/// Stands in place of a table where a function is called by a reference.
pub(crate) const BY_REFERENCE: u32 = u32::MAX;

/// What a function does that matters for suspending. Of some kinds of instruction it holds where
/// the first one stands, in bytes from the module's start, so that a refusal can say it.
#[derive(Default)]
pub(crate) struct Body {
    /// Functions that it calls by name, each once, in order.
    pub calls: Vec<u32>,
    /// Its indirect calls as (type, table), each pair once, in order. Those by a reference have
    /// [`BY_REFERENCE`] for the table.
    pub indirect: Vec<(u32, u32)>,
    /// Whether it has tail calls.
    pub tail_calls: bool,
    /// Whether it has instructions or locals that have to do with exceptions.
    pub exceptions: bool,
    /// Whether some of them are in the older form of the proposal (`try`, `catch`, `delegate`).
    pub older_exceptions: bool,
    /// Whether it has instructions whose encoding depends on the type of a reference.
    pub typed_references: bool,
    /// The type and the position of the first local that holds a reference.
    pub reference_local: Option<(String, u64)>,
    /// The position of the first block with parameters, which Binaryen 117 cannot read.
    pub block_params: Option<u64>,
    /// Whether it uses element segments by number, which Binaryen 117 cannot read.
    pub element_segments: bool,
    /// Whether it drops an element segment.
    pub drops_elements: bool,
    /// Whether it uses data segments by number.
    pub data_segments: bool,
    /// Whether it drops a data segment.
    pub drops_data: bool,
    /// Whether any of its instructions gives a reference.
    pub references: bool,
    /// Whether it has instructions or locals for managed references.
    pub managed: bool,
    /// Tables that its instructions change, each once, in order.
    pub changed_tables: Vec<u32>,
}

impl Scan {
    /// Scans a module that has passed validation.
    pub(crate) fn of(wasm: &[u8]) -> Result<Self, Error> {
        let mut scan = Self::default();
        let mut bodies = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(Error::malformed)? {
                Payload::CodeSectionEntry(body) => bodies.push(body),
                payload => scan.payload(payload).map_err(Error::malformed)?,
            }
        }
        let types = &scan.types;
        let scanned: wasmparser::Result<Vec<(Body, Vec<u32>)>> = bodies
            .par_iter()
            .map(|body| Body::of(body, types))
            .collect();
        for (body, referenced) in scanned.map_err(Error::malformed)? {
            scan.managed |= body.managed;
            scan.bodies.push(body);
            scan.referenced.extend(referenced);
        }
        Ok(scan)
    }

    /// A function's name for messages: its own, else its export's, else its number.
    pub(crate) fn function_name(&self, index: u32) -> String {
        if let Some(name) = self.names.get(&index) {
            return name.clone();
        }
        let export = self
            .exports
            .iter()
            .find(|(_, kind, i)| *kind == ExternalKind::Func && *i == index);
        match export {
            Some((name, ..)) => name.clone(),
            None => format!("function {index}"),
        }
    }

    /// The function type at a type index, if it is one.
    pub(crate) fn func_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(index as usize)?.as_ref()
    }

    /// The type of a function, by its index.
    pub(crate) fn type_of(&self, function: u32) -> Option<&FuncType> {
        self.func_type(*self.functions.get(function as usize)?)
    }

    /// The item of this kind that is exported under this name.
    pub(crate) fn exported(&self, wanted: &str, kind: ExternalKind) -> Option<u32> {
        let mut exports = self.exports.iter();
        let found = exports.find(|(name, of, _)| *of == kind && name == wanted);
        found.map(|(_, _, index)| *index)
    }

    /// The indices of the functions that the module defines.
    pub(crate) fn defined(&self) -> std::ops::Range<u32> {
        self.imported_functions..self.functions.len() as u32
    }

    /// What a function that the module defines does, by its index.
    pub(crate) fn body(&self, function: u32) -> Option<&Body> {
        let position = function.checked_sub(self.imported_functions)?;
        self.bodies.get(position as usize)
    }

    /// Whether any body drops a data segment.
    pub(crate) fn drops_data(&self) -> bool {
        self.bodies.iter().any(|body| body.drops_data)
    }

    /// The tables that instructions change, in order.
    pub(crate) fn changed_tables(&self) -> Vec<u32> {
        let mut tables: Vec<u32> = self
            .bodies
            .iter()
            .flat_map(|body| body.changed_tables.iter().copied())
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    fn payload(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    let group = group?;
                    self.managed |= group.is_explicit_rec_group();
                    for ty in group.into_types() {
                        self.managed |= !ty.is_final || !ty.supertype_idxs.is_empty();
                        self.types.push(match ty.composite_type.inner {
                            CompositeInnerType::Func(ty) => Some(ty),
                            _ => None,
                        });
                    }
                }
                self.managed |= self.types.iter().any(is_managed_type);
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?);
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.table(&table?)?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?);
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    self.tags.push(tag?.func_type_idx);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    self.managed |= is_managed(global.ty.content_type);
                    self.globals.push(global.ty);
                    self.referenced_by(&global.init_expr)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.export(&export?);
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section {
                    self.element(element?)?;
                }
            }
            Payload::DataSection(section) => self.data_segments = section.count(),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    self.function_names(names);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn table(&mut self, table: &wasmparser::Table<'_>) -> wasmparser::Result<()> {
        self.managed |= is_managed(ValType::Ref(table.ty.element_type));
        self.tables.push(table.ty.element_type);
        if let TableInit::Expr(initial) = &table.init {
            self.managed = true;
            self.referenced_by(initial)?;
        }
        Ok(())
    }

    fn export(&mut self, export: &wasmparser::Export<'_>) {
        let kind = match export.kind {
            ExternalKind::FuncExact => ExternalKind::Func,
            kind => kind,
        };
        self.exports
            .push((export.name.to_string(), kind, export.index));
    }

    fn import(&mut self, import: wasmparser::Import<'_>) {
        match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                self.functions.push(ty);
                self.imported_functions += 1;
            }
            TypeRef::Memory(ty) => self.memories.push(ty),
            TypeRef::Table(ty) => self.tables.push(ty.element_type),
            TypeRef::Global(ty) => self.globals.push(ty),
            TypeRef::Tag(tag) => self.tags.push(tag.func_type_idx),
        }
        self.imports.push(Import {
            module: import.module.to_string(),
            name: import.name.to_string(),
            ty: import.ty,
        });
    }

    fn element(&mut self, element: wasmparser::Element<'_>) -> wasmparser::Result<()> {
        let table = match element.kind {
            ElementKind::Active { table_index, .. } => Some(table_index.unwrap_or(0)),
            ElementKind::Passive | ElementKind::Declared => None,
        };
        let mut functions = Vec::new();
        match element.items {
            ElementItems::Functions(items) => {
                for function in items {
                    functions.push(function?);
                }
            }
            ElementItems::Expressions(_, items) => {
                for expression in items {
                    for operator in expression?.get_operators_reader() {
                        match operator? {
                            Operator::RefFunc { function_index } => functions.push(function_index),
                            Operator::GlobalGet { .. } => self.managed = true,
                            _ => {}
                        }
                    }
                }
            }
        }
        self.elements.push(ElementSegment { table, functions });
        Ok(())
    }

    /// Notes the functions whose reference a constant expression takes.
    fn referenced_by(&mut self, expression: &wasmparser::ConstExpr<'_>) -> wasmparser::Result<()> {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                self.referenced.push(function_index);
            }
        }
        Ok(())
    }

    /// A name section only helps people, so that a damaged one is ignored.
    fn function_names(&mut self, names: wasmparser::NameSectionReader<'_>) {
        for subsection in names {
            if let Ok(Name::Function(map)) = subsection {
                for naming in map.into_iter().flatten() {
                    self.names.insert(naming.index, naming.name.to_string());
                }
            }
        }
    }
}

/// Whether a type is none of a function, or that of one with managed references.
fn is_managed_type(ty: &Option<FuncType>) -> bool {
    ty.as_ref().is_none_or(|ty| {
        let mut types = ty.params().iter().chain(ty.results());
        types.any(|ty| is_managed(*ty))
    })
}

impl Body {
    /// Scans a body. Gives with it the functions whose reference it takes.
    fn of(
        code: &wasmparser::FunctionBody<'_>,
        types: &[Option<FuncType>],
    ) -> wasmparser::Result<(Self, Vec<u32>)> {
        let mut body = Self::default();
        let mut referenced = Vec::new();
        let mut locals = code.get_locals_reader()?;
        for _ in 0..locals.get_count() {
            let offset = locals.original_position();
            let (_, ty) = locals.read()?;
            body.local(ty, offset);
        }
        let mut operators = locals.get_binary_reader();
        operators.set_features(features());
        let mut operators = wasmparser::OperatorsReader::new(operators);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            if let Operator::RefFunc { function_index } = operator {
                referenced.push(function_index);
            }
            body.operator(&operator, offset, types);
        }
        body.finish();
        Ok((body, referenced))
    }

    fn local(&mut self, ty: ValType, offset: u64) {
        self.managed |= is_managed(ty);
        if is_exception(ty) {
            self.exceptions = true;
        } else if let ValType::Ref(ty) = ty {
            self.reference_local.get_or_insert((ty.to_string(), offset));
        }
    }

    fn operator(&mut self, operator: &Operator<'_>, offset: u64, types: &[Option<FuncType>]) {
        self.call(operator);
        self.managed |= is_managed_operator(operator);
        match *operator {
            Operator::RefNull { hty } if is_exception_heap(hty) => self.exceptions = true,
            Operator::RefFunc { .. } | Operator::RefNull { .. } | Operator::TableGet { .. } => {
                self.references = true;
            }
            Operator::RefIsNull
            | Operator::TypedSelect { .. }
            | Operator::TypedSelectMulti { .. } => self.typed_references = true,
            Operator::TableSet { table }
            | Operator::TableGrow { table }
            | Operator::TableFill { table }
            | Operator::TableCopy {
                dst_table: table, ..
            } => self.changed_tables.push(table),
            Operator::TableInit { table, .. } => {
                self.changed_tables.push(table);
                self.element_segments = true;
            }
            Operator::ElemDrop { .. } => {
                self.drops_elements = true;
                self.element_segments = true;
            }
            Operator::DataDrop { .. } => {
                self.drops_data = true;
                self.data_segments = true;
            }
            Operator::MemoryInit { .. } => self.data_segments = true,
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                self.block(blockty, offset, types);
            }
            Operator::TryTable { ref try_table } => {
                self.block(try_table.ty, offset, types);
                self.exceptions = true;
            }
            Operator::Try { .. } => {
                self.older_exceptions = true;
                self.exceptions = true;
            }
            Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. }
            | Operator::Rethrow { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef => self.exceptions = true,
            _ => {}
        }
    }

    fn call(&mut self, operator: &Operator<'_>) {
        self.tail_calls |= matches!(
            operator,
            Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::ReturnCallRef { .. }
        );
        match *operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                self.calls.push(function_index);
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            }
            | Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => self.indirect.push((type_index, table_index)),
            Operator::CallRef { type_index } | Operator::ReturnCallRef { type_index } => {
                self.indirect.push((type_index, BY_REFERENCE));
            }
            _ => {}
        }
    }

    fn block(&mut self, ty: BlockType, offset: u64, types: &[Option<FuncType>]) {
        let BlockType::FuncType(index) = ty else {
            return;
        };
        let ty = types.get(index as usize).and_then(Option::as_ref);
        if ty.is_some_and(|ty| !ty.params().is_empty()) {
            self.block_params.get_or_insert(offset);
        }
    }

    fn finish(&mut self) {
        for list in [&mut self.calls, &mut self.changed_tables] {
            list.sort_unstable();
            list.dedup();
        }
        self.indirect.sort_unstable();
        self.indirect.dedup();
    }
}
