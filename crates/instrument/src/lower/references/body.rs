//! Rewrites a body: references become numbers.

use wasm_encoder::{BlockType, Encode, Instruction as I, ValType};
use wasmparser::{FunctionBody, Operator};

use super::helpers::{Helper, Helpers};
use super::tables::Tables;
use super::types::lowered;
use crate::error::Error;
use crate::module::bodies::{Edit, edit_instructions};

/// A body while it is rewritten.
pub(super) struct Numbering<'a> {
    tables: &'a Tables,
    helpers: &'a mut Helpers,
    /// Whether anything is another than in the source.
    is_changed: bool,
}

impl<'a> Numbering<'a> {
    pub(super) fn new(tables: &'a Tables, helpers: &'a mut Helpers) -> Self {
        Self {
            tables,
            helpers,
            is_changed: false,
        }
    }

    /// The body in other words; `None` where there is nothing to do.
    pub(super) fn rewrite(
        mut self,
        wasm: &[u8],
        body: &FunctionBody<'_>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut out = Vec::new();
        let locals = body.get_locals_reader().map_err(Error::malformed)?;
        locals.get_count().encode(&mut out);
        for group in locals {
            let (count, ty) = group.map_err(Error::malformed)?;
            self.is_changed |= matches!(ty, wasmparser::ValType::Ref(_));
            count.encode(&mut out);
            lowered(ty)?.encode(&mut out);
        }
        edit_instructions(wasm, body, |_, op| Ok(self.edit(op)), &mut out)?;
        Ok(self.is_changed.then_some(out))
    }

    fn edit(&mut self, op: &Operator<'_>) -> Edit {
        match self.replacement(op) {
            Some(instructions) => {
                self.is_changed = true;
                Edit::Replace(instructions)
            }
            None => Edit::Keep,
        }
    }

    /// What stands in place of an instruction; nothing for one that stays.
    fn replacement(&mut self, op: &Operator<'_>) -> Option<Vec<I<'static>>> {
        Some(match *op {
            Operator::Block { blockty } => vec![I::Block(block_type(blockty)?)],
            Operator::Loop { blockty } => vec![I::Loop(block_type(blockty)?)],
            Operator::If { blockty } => vec![I::If(block_type(blockty)?)],
            Operator::TypedSelect {
                ty: wasmparser::ValType::Ref(_),
            } => vec![I::Select],
            Operator::RefNull { .. } => vec![I::I32Const(0)],
            Operator::RefFunc { function_index } => {
                vec![I::I32Const(self.tables.number(Some(function_index)) as i32)]
            }
            Operator::RefIsNull => vec![self.call(Helper::IsNull)],
            Operator::TableGet { table } => vec![self.call(Helper::Get(table))],
            Operator::TableSet { table } => vec![self.call(Helper::Set(table))],
            Operator::TableGrow { table } => vec![self.call(Helper::Grow(table))],
            Operator::TableFill { table } => vec![self.call(Helper::Fill(table))],
            Operator::TableSize { table } => {
                vec![I::GlobalGet(self.tables.changed.get(&table)?.size)]
            }
            Operator::TableCopy {
                dst_table,
                src_table,
            } if self.tables.holds_functions(dst_table) => vec![self.call(Helper::Copy {
                to: dst_table,
                from: src_table,
            })],
            Operator::CallIndirect {
                type_index,
                table_index,
            } if self.tables.changed.contains_key(&table_index) => vec![
                self.call(Helper::Get(table_index)),
                I::CallIndirect {
                    type_index,
                    table_index: self.tables.numbered,
                },
            ],
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } if self.tables.changed.contains_key(&table_index) => vec![
                self.call(Helper::Get(table_index)),
                I::ReturnCallIndirect {
                    type_index,
                    table_index: self.tables.numbered,
                },
            ],
            _ => return None,
        })
    }

    fn call(&mut self, helper: Helper) -> I<'static> {
        I::Call(self.helpers.index(helper))
    }
}

/// The type of a block that gives a reference.
fn block_type(ty: wasmparser::BlockType) -> Option<BlockType> {
    match ty {
        wasmparser::BlockType::Type(wasmparser::ValType::Ref(_)) => {
            Some(BlockType::Result(ValType::I32))
        }
        _ => None,
    }
}
