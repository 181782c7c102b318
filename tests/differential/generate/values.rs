//! Values of any type, out of locals, globals, calls, blocks and arithmetic.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::body::Body;
use super::{TYPES, constant};
use crate::harness;

impl Body<'_> {
    /// A value of this type.
    pub(super) fn value(&mut self, ty: ValType, depth: usize) {
        if depth == 0 || self.room == 0 {
            let instruction = match self.local(ty) {
                Some(local) if self.random.u8(..4) > 0 => I::LocalGet(local),
                _ => constant(ty, self.random),
            };
            self.push(instruction);
            return;
        }
        match self.random.u8(..16) {
            0..2 => self.value(ty, 0),
            2 => {
                let instruction = self
                    .global(ty)
                    .map_or_else(|| constant(ty, self.random), I::GlobalGet);
                self.push(instruction);
            }
            3..5 => {
                let wanted = [ty];
                let signatures = &self.plan.signatures;
                let fitting: Vec<usize> = (0..signatures.len())
                    .filter(|signature| signatures[*signature].1 == wanted)
                    .collect();
                let called = !fitting.is_empty() && {
                    let signature = fitting[self.random.usize(..fitting.len())];
                    self.call_of(signature, depth)
                };
                if !called {
                    self.value(ty, 0);
                }
            }
            5 => {
                self.value(ty, depth - 1);
                self.value(ty, depth - 1);
                self.value(ValType::I32, depth - 1);
                self.push(I::Select);
            }
            6 => {
                self.value(ValType::I32, depth - 1);
                self.push(I::If(BlockType::Result(ty)));
                self.labels.push(false);
                self.value(ty, depth - 1);
                self.push(I::Else);
                self.statement(depth - 1);
                self.value(ty, depth - 1);
                self.labels.pop();
                self.push(I::End);
            }
            7 => {
                self.push(I::Block(BlockType::Result(ty)));
                self.labels.push(false);
                self.value(ty, depth - 1);
                self.value(ValType::I32, depth - 1);
                self.push(I::BrIf(0));
                self.statement(depth - 1);
                self.labels.pop();
                self.push(I::End);
            }
            8 => {
                self.value(ty, depth - 1);
                if let Some(local) = self.local(ty) {
                    self.push(I::LocalTee(local));
                }
            }
            _ => self.arithmetic(ty, depth),
        }
    }

    pub(super) fn arithmetic(&mut self, ty: ValType, depth: usize) {
        let memory = harness::at(harness::RESERVED);
        // Half of the operations turn one type into another.
        let other = TYPES[self.random.usize(..5)];
        let conversion = match (other, ty) {
            (ValType::I64, ValType::I32) => Some(I::I32WrapI64),
            (ValType::F32, ValType::I32) => Some(I::I32TruncSatF32S),
            (ValType::F64, ValType::I32) => Some(I::I32TruncSatF64U),
            (ValType::V128, ValType::I32) => Some(I::I32x4ExtractLane(2)),
            (ValType::I32, ValType::I64) => Some(I::I64ExtendI32S),
            (ValType::F64, ValType::I64) => Some(I::I64TruncSatF64S),
            (ValType::V128, ValType::I64) => Some(I::I64x2ExtractLane(0)),
            (ValType::I32, ValType::F32) => Some(I::F32ConvertI32S),
            (ValType::I64, ValType::F64) => Some(I::F64ConvertI64S),
            (ValType::I32, ValType::F64) => Some(I::F64ConvertI32U),
            (ValType::I32, ValType::V128) => Some(I::I32x4Splat),
            (ValType::I64, ValType::V128) => Some(I::I64x2Splat),
            _ => None,
        };
        if let Some(conversion) = conversion {
            self.value(other, depth - 1);
            self.push(conversion);
            return;
        }
        if ty == ValType::I64 && self.random.bool() {
            self.address(depth - 1);
            self.push(I::I64Load(memory));
            return;
        }
        self.value(ty, depth - 1);
        self.value(ty, depth - 1);
        let choice = self.random.usize(..3);
        self.push(match ty {
            ValType::I32 => [I::I32Add, I::I32Mul, I::I32Xor][choice].clone(),
            ValType::I64 => [I::I64Sub, I::I64Mul, I::I64Rotl][choice].clone(),
            ValType::F32 => [I::F32Add, I::F32Sub, I::F32Mul][choice].clone(),
            ValType::F64 => [I::F64Add, I::F64Sub, I::F64Mul][choice].clone(),
            _ => [I::I32x4Add, I::V128Xor, I::I16x8Sub][choice].clone(),
        });
    }
}
