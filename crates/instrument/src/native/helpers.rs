//! The functions that save and restore values. One for each list of types writes such values on
//! asyncify's stack, and another reads them back: a call of it takes two bytes for each value,
//! where stores would take nine. They run at suspends and resumes only.

use std::collections::BTreeMap;

use wasm_encoder::{
    BlockType, Encode, Function, Instruction as I, MemArg, MemArgTarget, TypeSection,
};
use wasmparser::ValType;

use crate::error::Error;
use crate::module::encode::add_type;

/// The types of values that can be saved, in the order in which they are.
pub(super) const TYPES: [ValType; 5] = [
    ValType::I64,
    ValType::F64,
    ValType::V128,
    ValType::F32,
    ValType::I32,
];

/// How far the limit of asyncify's stack stands behind its end, in bytes.
const LIMIT: u64 = 4;

/// How many values of each of [`TYPES`] there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Values([u8; TYPES.len()]);

impl Values {
    /// Those of some locals.
    pub(super) fn of(locals: &[u32], types: &[ValType]) -> Self {
        let mut values = Self([0; TYPES.len()]);
        for local in locals {
            let ty = types[*local as usize];
            for (count, of) in values.0.iter_mut().zip(TYPES) {
                // There are `MAX_VALUES` at most.
                *count += u8::from(ty == of);
            }
        }
        values
    }

    fn types(self) -> impl Iterator<Item = ValType> {
        let counts = self.0.into_iter();
        counts
            .zip(TYPES)
            .flat_map(|(count, ty)| std::iter::repeat_n(ty, count.into()))
    }
}

pub(super) fn bytes(ty: ValType) -> u64 {
    match ty {
        ValType::I32 | ValType::F32 => 4,
        ValType::I64 | ValType::F64 => 8,
        // References are no part of a frame.
        ValType::V128 | ValType::Ref(_) => 16,
    }
}

/// A function that saves or restores values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Helper {
    /// Saves its parameters.
    Save(Values),
    /// Makes a frame of what has been saved or stored: its parameters are the number of the site,
    /// and how many bytes have been stored behind the stack's end.
    Finish,
    /// Takes values off the stack, and returns them.
    Restore(Values),
    /// Takes the number of a site off the stack, and returns it.
    Number,
}

/// Where asyncify's stack is.
#[derive(Clone, Copy)]
pub(super) struct Stack {
    /// The global with the address of two pointers: to the stack's end, and to its limit.
    pub data: u32,
    /// The memory that holds all of it.
    pub memory: u32,
}

impl Stack {
    /// Bytes of frames need no alignment.
    fn at(self, offset: u64) -> MemArg {
        MemArg {
            offset,
            align: 0,
            target: MemArgTarget::Memory(self.memory),
            ordering: None,
        }
    }

    pub(super) fn load(self, ty: ValType, offset: u64) -> I<'static> {
        let at = self.at(offset);
        match ty {
            ValType::I32 => I::I32Load(at),
            ValType::I64 => I::I64Load(at),
            ValType::F32 => I::F32Load(at),
            ValType::F64 => I::F64Load(at),
            ValType::V128 | ValType::Ref(_) => I::V128Load(at),
        }
    }

    pub(super) fn store(self, ty: ValType, offset: u64) -> I<'static> {
        let at = self.at(offset);
        match ty {
            ValType::I32 => I::I32Store(at),
            ValType::I64 => I::I64Store(at),
            ValType::F32 => I::F32Store(at),
            ValType::F64 => I::F64Store(at),
            ValType::V128 | ValType::Ref(_) => I::V128Store(at),
        }
    }

    /// A function that puts its parameters on the stack. It traps where they do not fit.
    fn saving(self, values: &[ValType]) -> Vec<u8> {
        let size: u64 = values.iter().map(|ty| bytes(*ty)).sum();
        let end = values.len() as u32;
        let mut body = one_local();
        let mut push = |instruction: I<'_>| instruction.encode(&mut body);
        push(I::GlobalGet(self.data));
        push(self.load(ValType::I32, 0));
        push(I::LocalTee(end));
        self.check_room(&mut push, size);
        let mut offset = 0;
        for (parameter, ty) in (0..).zip(values) {
            push(I::LocalGet(end));
            push(I::LocalGet(parameter));
            push(self.store(*ty, offset));
            offset += bytes(*ty);
        }
        self.set_end(&mut push, end, size);
        push(I::End);
        body
    }

    /// A function that puts the number of a site behind the bytes that have been stored at the
    /// stack's end, and makes them part of the stack. It traps where they do not fit.
    fn finishing(self) -> Vec<u8> {
        let (number, size, end) = (0, 1, 2);
        let number_bytes = bytes(ValType::I32);
        let mut body = one_local();
        let mut push = |instruction: I<'_>| instruction.encode(&mut body);
        push(I::GlobalGet(self.data));
        push(self.load(ValType::I32, 0));
        push(I::LocalGet(size));
        push(I::I32Add);
        push(I::LocalTee(end));
        self.check_room(&mut push, number_bytes);
        push(I::LocalGet(end));
        push(I::LocalGet(number));
        push(self.store(ValType::I32, 0));
        self.set_end(&mut push, end, number_bytes);
        push(I::End);
        body
    }

    /// Traps where fewer than `size` bytes lie between the address on the operand stack and the
    /// limit.
    fn check_room(self, push: &mut impl FnMut(I<'_>), size: u64) {
        push(I::I32Const(size as i32));
        push(I::I32Add);
        push(I::GlobalGet(self.data));
        push(self.load(ValType::I32, LIMIT));
        push(I::I32GtU);
        push(I::If(BlockType::Empty));
        push(I::Unreachable);
        push(I::End);
    }

    /// Makes the address that is `size` bytes behind the one in the local `from` the stack's end.
    fn set_end(self, push: &mut impl FnMut(I<'_>), from: u32, size: u64) {
        push(I::GlobalGet(self.data));
        push(I::LocalGet(from));
        push(I::I32Const(size as i32));
        push(I::I32Add);
        push(self.store(ValType::I32, 0));
    }

    /// A function that takes values off the stack.
    fn restoring(self, values: &[ValType]) -> Vec<u8> {
        let size: u64 = values.iter().map(|ty| bytes(*ty)).sum();
        let end = 0;
        let mut body = one_local();
        let mut push = |instruction: I<'_>| instruction.encode(&mut body);
        push(I::GlobalGet(self.data));
        push(I::GlobalGet(self.data));
        push(self.load(ValType::I32, 0));
        push(I::I32Const(size as i32));
        push(I::I32Sub);
        push(I::LocalTee(end));
        push(self.store(ValType::I32, 0));
        let mut offset = 0;
        for ty in values {
            push(I::LocalGet(end));
            push(self.load(*ty, offset));
            offset += bytes(*ty);
        }
        push(I::End);
        body
    }
}

/// The start of a body with one local, an address.
fn one_local() -> Vec<u8> {
    Function::new([(1, wasm_encoder::ValType::I32)]).into_raw_body()
}

/// The helpers of a module, with their indices.
#[derive(Default)]
pub(super) struct Helpers {
    indices: BTreeMap<Helper, u32>,
}

/// A function that is added.
pub(super) struct Added {
    /// The position of its type among the added ones.
    pub ty: u32,
    pub body: Vec<u8>,
}

impl Helpers {
    /// Adds those that are called somewhere.
    pub(super) fn add(&mut self, called: impl Iterator<Item = Helper>) {
        self.indices.extend(called.map(|helper| (helper, 0)));
    }

    /// Numbers them in their own order, from this index on.
    pub(super) fn number(&mut self, first: u32) {
        for (index, position) in (first..).zip(self.indices.values_mut()) {
            *position = index;
        }
    }

    pub(super) fn index(&self, helper: Helper) -> u32 {
        self.indices.get(&helper).copied().unwrap_or_default()
    }

    /// The helpers in order. Their types go behind those that are in `types` already.
    pub(super) fn functions(
        &self,
        stack: Stack,
        types: &mut TypeSection,
    ) -> Result<Vec<Added>, Error> {
        let mut added = Vec::new();
        for helper in self.indices.keys() {
            let ty = types.len();
            let body = match helper {
                Helper::Save(values) => {
                    let values: Vec<ValType> = values.types().collect();
                    add_type(types, &values, &[])?;
                    stack.saving(&values)
                }
                Helper::Finish => {
                    add_type(types, &[ValType::I32, ValType::I32], &[])?;
                    stack.finishing()
                }
                Helper::Restore(values) => {
                    let values: Vec<ValType> = values.types().collect();
                    add_type(types, &[], &values)?;
                    stack.restoring(&values)
                }
                Helper::Number => {
                    add_type(types, &[], &[ValType::I32])?;
                    stack.restoring(&[ValType::I32])
                }
            };
            added.push(Added { ty, body });
        }
        Ok(added)
    }
}
