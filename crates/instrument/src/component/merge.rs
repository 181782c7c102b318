//! The flattened module: all instances of a component, one after another.

use std::collections::{BTreeSet, HashMap};

use dormouse_model::lowered::memory_export;
use wasm_encoder::reencode::Reencode;
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, EntityType, ExportKind, ExportSection,
    FunctionSection, GlobalSection, GlobalType, ImportSection, MemorySection, Module, NameMap,
    NameSection, StartSection, TableSection, TagSection, ValType,
};
use wasmparser::TableInit;

use super::callees::Callees;
use super::constants::Constant;
use super::contents::Contents;
use super::entry;
use super::instance::{Instance, encoded, unreadable};
use super::link::{Fate, Linked};
use super::plan::{Definition, Kind, Plan};
use super::segments::{Segments, Start};
use super::spaces::Spaces;
use super::thunks::{self, Thunk};
use super::types::Types;
use crate::error::ComponentError;

type Result<T> = std::result::Result<T, ComponentError>;

/// Merges the instances of a component.
pub(super) fn merge(plan: &Plan<'_>) -> Result<Vec<u8>> {
    let contents = plan.modules.iter().map(|module| Contents::of(&module.wasm));
    let contents: Vec<Contents<'_>> = contents
        .collect::<wasmparser::Result<_>>()
        .map_err(unreadable)?;
    let linked = Linked::new(plan, &contents).map_err(unreadable)?;
    let spaces = Spaces::new(&linked);
    let callees = Callees::new(&linked, &spaces)?;
    let mut merge = Merge::new(&callees);
    for position in 0..plan.instances.len() {
        match linked.fate(position) {
            Fate::Merged => merge.instance(position)?,
            Fate::Shim { number, called } => merge.shim(position, *number, called)?,
            Fate::FixUp(shim) => {
                let is_filled = shim.map(|shim| spaces.is_filled(shim));
                is_filled
                    .into_iter()
                    .for_each(|global| merge.segments.fill(global));
                merge.instance(position)?;
            }
            Fate::Gone => {}
        }
    }
    merge.thunks()?;
    merge.finish()
}

/// The sections, as they are filled.
struct Merge<'c, 'p> {
    callees: &'c Callees<'p>,
    types: Types,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    tags: TagSection,
    globals: GlobalSection,
    segments: Segments,
    code: CodeSection,
    names: NameMap,
    /// The values of globals that no instruction changes.
    constants: HashMap<u32, Constant>,
    referenced: BTreeSet<u32>,
    start: Option<u32>,
    entry: Option<u32>,
}

impl<'c, 'p> Merge<'c, 'p> {
    fn new(callees: &'c Callees<'p>) -> Self {
        let mut globals = GlobalSection::new();
        let flag = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        for _ in 0..callees.spaces.guarded() {
            globals.global(flag, &ConstExpr::i32_const(1));
        }
        for _ in 0..callees.linked.shims {
            globals.global(flag, &ConstExpr::i32_const(0));
        }
        Self {
            callees,
            types: Types::default(),
            functions: FunctionSection::new(),
            tables: TableSection::new(),
            memories: MemorySection::new(),
            tags: TagSection::new(),
            globals,
            segments: Segments::default(),
            code: CodeSection::new(),
            names: NameMap::new(),
            constants: HashMap::new(),
            referenced: BTreeSet::new(),
            start: None,
            entry: None,
        }
    }

    /// Adds all that an instance defines.
    fn instance(&mut self, position: usize) -> Result<()> {
        let contents = self.callees.linked.of(position);
        let constants = std::mem::take(&mut self.constants);
        let mut instance = Instance::new(self.callees, position, &mut self.types, &constants)?;
        self.tables(contents, &mut instance)?;
        for memory in contents
            .memories
            .iter()
            .flat_map(|memories| memories.clone())
        {
            let memory = encoded(instance.memory_type(memory.map_err(unreadable)?))?;
            self.memories.memory(memory);
        }
        for tag in contents.tags.iter().flat_map(|tags| tags.clone()) {
            let tag = encoded(instance.tag_type(tag.map_err(unreadable)?))?;
            self.tags.tag(tag);
        }
        let known = self.globals(contents, &mut instance)?;
        self.segments
            .add(self.callees.linked, position, &mut instance)?;
        for (ty, body) in contents.functions.iter().zip(&contents.bodies) {
            self.functions.function(instance.type_of(*ty)?);
            self.code.function(&instance.body(body)?);
        }
        let imported = contents.imported(Kind::Function);
        let count = imported + contents.defined(Kind::Function);
        for (index, name) in &contents.names {
            if (imported..count).contains(index) {
                self.names
                    .append(instance.item(Kind::Function, *index)?, name);
            }
        }
        self.referenced.append(&mut instance.referenced);
        self.constants = constants;
        self.constants.extend(known);
        Ok(())
    }

    /// Adds the functions of a shim.
    fn shim(&mut self, position: usize, number: u32, called: &[Definition]) -> Result<()> {
        let callees = self.callees;
        let contents = callees.linked.of(position);
        let instance = Instance::new(callees, position, &mut self.types, &self.constants)?;
        let is_filled = callees.spaces.is_filled(number);
        for (ty, called) in contents.functions.iter().zip(called) {
            let params = contents.types[*ty as usize].params().len() as u32;
            self.functions.function(instance.type_of(*ty)?);
            let called = callees.function(*called)?;
            self.code
                .function(&thunks::of_shim(is_filled, params, called));
        }
        for (index, name) in &contents.names {
            if (*index as usize) < contents.bodies.len() {
                self.names
                    .append(instance.item(Kind::Function, *index)?, name);
            }
        }
        Ok(())
    }

    fn tables(&mut self, contents: &Contents<'_>, instance: &mut Instance<'_, '_>) -> Result<()> {
        for table in contents.tables.iter().flat_map(|tables| tables.clone()) {
            let table = table.map_err(unreadable)?;
            let ty = encoded(instance.table_type(table.ty))?;
            match table.init {
                TableInit::RefNull => self.tables.table(ty),
                TableInit::Expr(value) => {
                    let value = instance.constant(&value)?;
                    self.tables.table_with_init(ty, &value.expression())
                }
            };
        }
        Ok(())
    }

    /// Adds globals, and gives the values of those that no instruction changes.
    fn globals(
        &mut self,
        contents: &Contents<'_>,
        instance: &mut Instance<'_, '_>,
    ) -> Result<Vec<(u32, Constant)>> {
        let mut known = Vec::new();
        let globals = contents.globals.iter().flat_map(|globals| globals.clone());
        for (own, global) in (contents.imported(Kind::Global)..).zip(globals) {
            let global = global.map_err(unreadable)?;
            let value = instance.constant(&global.init_expr)?;
            if !global.ty.mutable {
                known.push((instance.item(Kind::Global, own)?, value));
            }
            let ty = encoded(instance.global_type(global.ty))?;
            self.globals.global(ty, &value.expression());
        }
        Ok(known)
    }

    /// Adds the functions that no instance has.
    fn thunks(&mut self) -> Result<()> {
        let callees = self.callees;
        let plan = callees.linked.plan;
        for position in &callees.thunks {
            self.thunk(&thunks::thunk(callees, &plan.trampolines[*position])?);
        }
        if let Ok(entry) = &plan.entry {
            self.entry = Some(self.thunk(&Thunk {
                name: "_start".into(),
                signature: (vec![], vec![]),
                function: entry::start(callees, entry)?,
            }));
        }
        self.start = match self.segments.start() {
            None => None,
            Some(Start::Function(function)) => Some(function),
            Some(Start::New(function)) => Some(self.thunk(&Thunk {
                name: "start".into(),
                signature: (vec![], vec![]),
                function,
            })),
        };
        Ok(())
    }

    fn thunk(&mut self, thunk: &Thunk) -> u32 {
        let index = self.callees.imports.len() as u32 + self.functions.len();
        let ty = self.types.index(thunk.signature.clone());
        self.functions.function(ty);
        self.code.function(&thunk.function);
        self.names.append(index, &thunk.name);
        index
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        let mut imports = ImportSection::new();
        for (import, signature) in &self.callees.imports {
            let ty = EntityType::Function(self.types.index(signature.clone()));
            imports.import(import.module(), &import.name(), ty);
        }
        let mut exports = ExportSection::new();
        if let Some(entry) = self.entry {
            exports.export("_start", ExportKind::Func, entry);
        }
        for memory in 0..self.memories.len() {
            exports.export(&memory_export(memory), ExportKind::Memory, memory);
        }
        self.segments.declare(self.referenced.into_iter().collect());
        let mut module = Module::new();
        module
            .section(&self.types.section)
            .section(&imports)
            .section(&self.functions);
        if !self.tables.is_empty() {
            module.section(&self.tables);
        }
        if !self.memories.is_empty() {
            module.section(&self.memories);
        }
        if !self.tags.is_empty() {
            module.section(&self.tags);
        }
        if !self.globals.is_empty() {
            module.section(&self.globals);
        }
        module.section(&exports);
        if let Some(function_index) = self.start {
            module.section(&StartSection { function_index });
        }
        let Segments { elements, data, .. } = &self.segments;
        if !elements.is_empty() {
            module.section(elements);
        }
        if !data.is_empty() {
            module.section(&DataCountSection { count: data.len() });
        }
        module.section(&self.code);
        if !data.is_empty() {
            module.section(data);
        }
        let mut names = NameSection::new();
        names.functions(&self.names);
        module.section(&names);
        Ok(module.finish())
    }
}
