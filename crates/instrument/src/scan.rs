//! One pass over a valid module that keeps what the later steps ask for.

use std::collections::HashMap;

use wasmparser::{
    CompositeInnerType, ElementItems, ElementKind, ExternalKind, FuncType, KnownCustom, Name,
    Operator, Parser, Payload, RefType, TypeRef, ValType,
};

use super::Error;
use super::exceptions::{is_exception, is_exception_heap};

/// A module, scanned.
#[derive(Default)]
pub(super) struct Scan {
    /// Function types; `None` for types that are not functions.
    pub types: Vec<Option<FuncType>>,
    /// All imports, with what they import.
    pub imports: Vec<Import>,
    /// The type index of every function, imported ones first.
    pub functions: Vec<u32>,
    /// How many of them are imported.
    pub imported_functions: u32,
    /// Whether each memory is shared, and whether it is addressed with 64 bits.
    pub memories: Vec<wasmparser::MemoryType>,
    /// The type of every table's elements.
    pub tables: Vec<RefType>,
    /// Type and mutability of every global.
    pub globals: Vec<wasmparser::GlobalType>,
    /// The type index of every tag.
    pub tags: Vec<u32>,
    /// Exports by name.
    pub exports: Vec<(String, ExternalKind, u32)>,
    /// The start function.
    pub start: Option<u32>,
    /// Element segments.
    pub elements: Vec<ElementSegment>,
    /// How many data segments there are.
    pub data_segments: u32,
    /// Functions whose reference is taken outside element segments.
    pub referenced: Vec<u32>,
    /// Tables that bodies change which are not in this module (`opaque.rs`).
    pub changed_elsewhere: Vec<u32>,
    /// What each defined function does, in order.
    pub bodies: Vec<Body>,
    /// Names of functions from the name section.
    pub names: HashMap<u32, String>,
}

/// An import.
pub(super) struct Import {
    pub module: String,
    pub name: String,
    pub ty: TypeRef,
}

/// An element segment.
pub(super) struct ElementSegment {
    /// The table an active segment fills.
    pub table: Option<u32>,
    /// The functions it holds.
    pub functions: Vec<u32>,
}

/// What a function body does that matters for suspending.
#[derive(Default)]
pub(super) struct Body {
    /// Functions called by name, each once.
    pub calls: Vec<u32>,
    /// Indirect calls as (type, table), each once.
    pub indirect: Vec<(u32, u32)>,
    /// The first tail call, as its instruction's name and offset.
    pub tail_call: Option<(&'static str, u64)>,
    /// The first exception instruction.
    pub exception: Option<(&'static str, u64)>,
    /// Whether it has instructions whose meaning depends on the type of a reference.
    pub tells_references: bool,
    /// Whether it has exceptions in the form that was there first.
    pub older_exceptions: bool,
    /// The first local that holds a reference.
    pub reference_local: Option<(String, u64)>,
    /// The first block with parameters, which Binaryen 117 cannot read.
    pub parameters: Option<u64>,
    /// Whether it uses segments of elements by number, which Binaryen 117 cannot read.
    pub elements: bool,
    /// Whether it uses segments of data by number.
    pub data: bool,
    /// Whether any instruction makes a reference.
    pub references: bool,
    /// Tables that its instructions change.
    pub changed_tables: Vec<u32>,
    /// Whether it drops a data segment.
    pub drops: bool,
}

impl Scan {
    /// Scans a module that has passed validation.
    pub(super) fn of(wasm: &[u8]) -> Result<Self, Error> {
        let mut scan = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            scan.payload(payload.map_err(Error::malformed)?)
                .map_err(Error::malformed)?;
        }
        Ok(scan)
    }

    /// The name of a function for people: its own, else its export's, else its number.
    pub(super) fn function_name(&self, index: u32) -> String {
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
    pub(super) fn func_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(index as usize)?.as_ref()
    }

    /// Whether any body drops a data segment.
    pub(super) fn drops_segments(&self) -> bool {
        self.bodies.iter().any(|body| body.drops)
    }

    /// The tables that instructions change, in order.
    pub(super) fn changed_tables(&self) -> Vec<u32> {
        let mut tables: Vec<u32> = self
            .bodies
            .iter()
            .flat_map(|body| body.changed_tables.iter().copied())
            .chain(self.changed_elsewhere.iter().copied())
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    fn payload(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group?.into_types() {
                        self.types.push(match ty.composite_type.inner {
                            CompositeInnerType::Func(ty) => Some(ty),
                            _ => None,
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
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
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables.push(table?.ty.element_type);
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
                    self.globals.push(global.ty);
                    self.referenced_by(&global.init_expr)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let kind = match export.kind {
                        ExternalKind::FuncExact => ExternalKind::Func,
                        kind => kind,
                    };
                    self.exports
                        .push((export.name.to_string(), kind, export.index));
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section {
                    self.element(element?)?;
                }
            }
            Payload::DataSection(section) => self.data_segments = section.count(),
            Payload::CodeSectionEntry(body) => {
                let body = scan_body(&body, &self.types)?;
                self.bodies.push(body.0);
                self.referenced.extend(body.1);
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    self.function_names(names);
                }
            }
            _ => {}
        }
        Ok(())
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
                        if let Operator::RefFunc { function_index } = operator? {
                            functions.push(function_index);
                        }
                    }
                }
            }
        }
        self.elements.push(ElementSegment { table, functions });
        Ok(())
    }

    fn referenced_by(&mut self, expression: &wasmparser::ConstExpr<'_>) -> wasmparser::Result<()> {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                self.referenced.push(function_index);
            }
        }
        Ok(())
    }

    /// A name section is a help for people: one that is damaged is passed over.
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

/// Scans one body; also gives the functions whose references it takes.
fn scan_body(
    code: &wasmparser::FunctionBody<'_>,
    types: &[Option<FuncType>],
) -> wasmparser::Result<(Body, Vec<u32>)> {
    let mut body = Body::default();
    let mut referenced = Vec::new();
    let mut locals = code.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position();
        let (_, ty) = locals.read()?;
        if is_exception(ty) {
            body.exception.get_or_insert(("exnref", offset));
        } else if let ValType::Ref(ty) = ty {
            body.reference_local.get_or_insert((ty.to_string(), offset));
        }
    }
    let mut operators = locals.get_binary_reader();
    operators.set_features(super::validate::features());
    let mut operators = wasmparser::OperatorsReader::new(operators);
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        match operator {
            Operator::Call { function_index } => body.calls.push(function_index),
            Operator::CallIndirect {
                type_index,
                table_index,
            } => body.indirect.push((type_index, table_index)),
            Operator::ReturnCall { function_index } => {
                body.calls.push(function_index);
                body.tail_call.get_or_insert(("return_call", offset));
            }
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => {
                body.indirect.push((type_index, table_index));
                body.tail_call
                    .get_or_insert(("return_call_indirect", offset));
            }
            Operator::RefFunc { function_index } => {
                body.references = true;
                referenced.push(function_index);
            }
            Operator::RefNull { hty } if is_exception_heap(hty) => {
                body.exception.get_or_insert(("ref.null exn", offset));
            }
            Operator::RefIsNull
            | Operator::TypedSelect { .. }
            | Operator::TypedSelectMulti { .. } => body.tells_references = true,
            Operator::RefNull { .. } | Operator::TableGet { .. } => body.references = true,
            Operator::TableSet { table }
            | Operator::TableGrow { table }
            | Operator::TableFill { table }
            | Operator::TableCopy {
                dst_table: table, ..
            } => body.changed_tables.push(table),
            Operator::TableInit { table, .. } => {
                body.changed_tables.push(table);
                body.elements = true;
            }
            Operator::DataDrop { .. } => {
                body.drops = true;
                body.data = true;
            }
            Operator::MemoryInit { .. } => body.data = true,
            Operator::ElemDrop { .. } => body.elements = true,
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                if has_params(blockty, types) {
                    body.parameters.get_or_insert(offset);
                }
            }
            Operator::TryTable { ref try_table } => {
                if has_params(try_table.ty, types) {
                    body.parameters.get_or_insert(offset);
                }
                body.exception.get_or_insert(("try_table", offset));
            }
            _ => {
                body.older_exceptions |= matches!(operator, Operator::Try { .. });
                if let Some(name) = exception_instruction(&operator) {
                    body.exception.get_or_insert((name, offset));
                }
            }
        }
    }
    for list in [&mut body.calls, &mut body.changed_tables] {
        list.sort_unstable();
        list.dedup();
    }
    body.indirect.sort_unstable();
    body.indirect.dedup();
    Ok((body, referenced))
}

fn has_params(block: wasmparser::BlockType, types: &[Option<FuncType>]) -> bool {
    match block {
        wasmparser::BlockType::FuncType(index) => types
            .get(index as usize)
            .and_then(Option::as_ref)
            .is_some_and(|ty| !ty.params().is_empty()),
        wasmparser::BlockType::Empty | wasmparser::BlockType::Type(_) => false,
    }
}

fn exception_instruction(operator: &Operator<'_>) -> Option<&'static str> {
    match operator {
        Operator::Try { .. } => Some("try"),
        Operator::Catch { .. } => Some("catch"),
        Operator::CatchAll => Some("catch_all"),
        Operator::Delegate { .. } => Some("delegate"),
        Operator::Rethrow { .. } => Some("rethrow"),
        Operator::Throw { .. } => Some("throw"),
        Operator::ThrowRef => Some("throw_ref"),
        _ => None,
    }
}
