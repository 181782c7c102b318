//! Segments, and the order in which instances come to be.
//!
//! Each core instance gets its segments, and then its start function runs. A module has all its
//! segments first. So where a start function has run that may have seen a memory or a table, the
//! segments that later instances have for it are written by the flattened module's start function,
//! in their turn. So are those that may lie outside of it, and trap.

use std::borrow::Cow;
use std::collections::HashSet;

use wasm_encoder::reencode::Reencode;
use wasm_encoder::{ConstExpr, DataSection, ElementSection, Elements, Function};
use wasmparser::{DataKind, ElementItems, ElementKind};

use super::constants::Constant;
use super::contents::Contents;
use super::instance::{Instance, encoded, unreadable};
use super::link::Linked;
use super::plan::{Definition, Item, Kind};
use crate::error::ComponentError;

type Result<T> = std::result::Result<T, ComponentError>;

/// The size of a page of memory, in bytes.
const PAGE_BYTES: u64 = 64 << 10;

/// What the start function does.
#[derive(Clone, Copy)]
enum Step {
    /// Writes an element segment into a table.
    Elements {
        segment: u32,
        table: u32,
        offset: i32,
        count: i32,
    },
    /// Writes a data segment into a memory.
    Data {
        segment: u32,
        memory: u32,
        offset: i32,
        bytes: i32,
    },
    /// Calls an instance's start function.
    Call(u32),
    /// Notes in this global that the slots of a shim are filled.
    Fill(u32),
}

/// The segments of the flattened module, and its start function's steps.
#[derive(Default)]
pub(super) struct Segments {
    pub elements: ElementSection,
    pub data: DataSection,
    steps: Vec<Step>,
    /// How many element segments there are.
    element_count: u32,
    has_started: bool,
    /// The tables and memories that a start function may have read or written.
    seen: HashSet<Item>,
}

impl Segments {
    /// Adds the segments and the start function of the next instance.
    pub fn add(
        &mut self,
        linked: &Linked<'_>,
        position: usize,
        instance: &mut Instance<'_, '_>,
    ) -> Result<()> {
        let contents = linked.of(position);
        for element in contents
            .elements
            .iter()
            .flat_map(|elements| elements.clone())
        {
            self.element(linked, position, instance, element.map_err(unreadable)?)?;
        }
        for data in contents.data.iter().flat_map(|data| data.clone()) {
            self.data(linked, position, instance, &data.map_err(unreadable)?)?;
        }
        if let Some(start) = contents.start {
            self.steps
                .push(Step::Call(instance.item(Kind::Function, start)?));
            self.has_started = true;
            self.seen.extend(linked.seen(position));
        }
        Ok(())
    }

    /// Adds a step: it notes in this global that the slots of a shim are filled.
    pub fn fill(&mut self, is_filled: u32) {
        self.steps.push(Step::Fill(is_filled));
    }

    /// Whether a segment may be written before any function runs.
    fn may_be_first(
        &self,
        linked: &Linked<'_>,
        target: Definition,
        offset: i32,
        length: usize,
    ) -> Result<bool> {
        let Definition::Item(item) = target else {
            return Ok(false);
        };
        let end = u64::from(offset as u32) + length as u64;
        let fits = || Ok(end <= initial_size(linked.of(item.instance), item)?);
        Ok(!self.has_started || (!self.seen.contains(&item) && fits()?))
    }

    fn element(
        &mut self,
        linked: &Linked<'_>,
        position: usize,
        instance: &mut Instance<'_, '_>,
        element: wasmparser::Element<'_>,
    ) -> Result<()> {
        let (elements, count) = elements(instance, element.items)?;
        let segment = self.element_count;
        self.element_count += 1;
        match element.kind {
            ElementKind::Passive => self.elements.passive(elements),
            ElementKind::Declared => self.elements.declared(elements),
            ElementKind::Active {
                table_index,
                offset_expr,
            } => {
                let own = table_index.unwrap_or(0);
                if linked.fills_shim(position, own) {
                    // Segments keep their numbers.
                    self.elements
                        .declared(Elements::Functions(Cow::Borrowed(&[])));
                    return Ok(());
                }
                let table = instance.item(Kind::Table, own)?;
                let offset = offset(instance, &offset_expr)?;
                let target = linked.argument(position, Kind::Table, own as usize);
                if !self.may_be_first(linked, target, offset, count)? {
                    self.steps.push(Step::Elements {
                        segment,
                        table,
                        offset,
                        count: count as i32,
                    });
                    self.elements.passive(elements)
                } else {
                    // The oldest form, where it is one.
                    let is_plain = table == 0 && matches!(elements, Elements::Functions(_));
                    let table = (!is_plain).then_some(table);
                    self.elements
                        .active(table, &ConstExpr::i32_const(offset), elements)
                }
            }
        };
        Ok(())
    }

    fn data(
        &mut self,
        linked: &Linked<'_>,
        position: usize,
        instance: &mut Instance<'_, '_>,
        data: &wasmparser::Data<'_>,
    ) -> Result<()> {
        let bytes = data.data.iter().copied();
        match &data.kind {
            DataKind::Passive => self.data.passive(bytes),
            DataKind::Active {
                memory_index,
                offset_expr,
            } => {
                let memory = instance.item(Kind::Memory, *memory_index)?;
                let offset = offset(instance, offset_expr)?;
                let length = data.data.len();
                let target = linked.argument(position, Kind::Memory, *memory_index as usize);
                if !self.may_be_first(linked, target, offset, length)? {
                    self.steps.push(Step::Data {
                        segment: self.data.len(),
                        memory,
                        offset,
                        bytes: length as i32,
                    });
                    self.data.passive(bytes)
                } else {
                    self.data
                        .active(memory, &ConstExpr::i32_const(offset), bytes)
                }
            }
        };
        Ok(())
    }

    /// Declares functions whose references are taken. Their own modules exported them, or had them
    /// in a segment.
    pub fn declare(&mut self, functions: Vec<u32>) {
        if !functions.is_empty() {
            self.elements
                .declared(Elements::Functions(Cow::Owned(functions)));
            self.element_count += 1;
        }
    }

    /// The start function: one that is there already, or a new one.
    pub fn start(&self) -> Option<Start> {
        match self.steps.as_slice() {
            [] => None,
            [Step::Call(function)] => Some(Start::Function(*function)),
            steps => Some(Start::New(body(steps))),
        }
    }
}

/// A start function.
pub(super) enum Start {
    /// The one of an instance.
    Function(u32),
    /// One that does what several instances do.
    New(Function),
}

fn body(steps: &[Step]) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    for step in steps {
        match *step {
            Step::Elements {
                segment,
                table,
                offset,
                count,
            } => {
                code.i32_const(offset).i32_const(0).i32_const(count);
                code.table_init(table, segment).elem_drop(segment);
            }
            Step::Data {
                segment,
                memory,
                offset,
                bytes,
            } => {
                code.i32_const(offset).i32_const(0).i32_const(bytes);
                code.memory_init(memory, segment).data_drop(segment);
            }
            Step::Call(start) => {
                code.call(start);
            }
            Step::Fill(is_filled) => {
                code.i32_const(1).global_set(is_filled);
            }
        }
    }
    code.end();
    function
}

/// The elements of a segment, and how many there are.
fn elements(
    instance: &mut Instance<'_, '_>,
    items: ElementItems<'_>,
) -> Result<(Elements<'static>, usize)> {
    Ok(match items {
        ElementItems::Functions(items) => {
            let functions = items
                .into_iter()
                .map(|function| instance.item(Kind::Function, function.map_err(unreadable)?));
            let functions: Vec<u32> = functions.collect::<Result<_>>()?;
            let count = functions.len();
            (Elements::Functions(Cow::Owned(functions)), count)
        }
        ElementItems::Expressions(ty, items) => {
            let ty = encoded(Reencode::ref_type(instance, ty))?;
            let values = items.into_iter().map(|expression| {
                let value = instance.constant(&expression.map_err(unreadable)?)?;
                Ok(value.expression())
            });
            let values: Vec<ConstExpr> = values.collect::<Result<_>>()?;
            let count = values.len();
            (Elements::Expressions(ty, Cow::Owned(values)), count)
        }
    })
}

fn offset(instance: &mut Instance<'_, '_>, expression: &wasmparser::ConstExpr<'_>) -> Result<i32> {
    match instance.constant(expression)? {
        Constant::I32(offset) => Ok(offset),
        _ => Err(ComponentError::Internal(
            "an offset that is no number".into(),
        )),
    }
}

/// The size of a table or a memory as it is at first, in elements or bytes.
fn initial_size(contents: &Contents<'_>, item: Item) -> Result<u64> {
    let position = item.index.saturating_sub(contents.imported(item.kind)) as usize;
    if item.kind == Kind::Table {
        let mut tables = contents.tables.iter().flat_map(|tables| tables.clone());
        let table = tables.nth(position).transpose().map_err(unreadable)?;
        return Ok(table.map_or(0, |table| table.ty.initial));
    }
    let mut memories = contents
        .memories
        .iter()
        .flat_map(|memories| memories.clone());
    let memory = memories.nth(position).transpose().map_err(unreadable)?;
    Ok(memory.map_or(0, |memory| memory.initial.saturating_mul(PAGE_BYTES)))
}
