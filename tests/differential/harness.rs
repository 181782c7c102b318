//! What every program has beside its own code: reading a byte, printing a number, hashing its
//! state.

use wasm_encoder::{BlockType, Function, Instruction as I, MemArg, MemArgTarget, ValType};

/// The host functions of a program, by name and type.
pub const IMPORTS: [(&str, &[ValType], &[ValType]); 4] = [
    ("sched_yield", &[], &[ValType::I32]),
    ("fd_read", &[ValType::I32; 4], &[ValType::I32]),
    ("fd_write", &[ValType::I32; 4], &[ValType::I32]),
    ("proc_exit", &[ValType::I32], &[]),
];
pub const MODULE: &str = "wasi_snapshot_preview1";

/// The first bytes of memory, which the program's own code leaves alone where it is ours.
pub const RESERVED: u64 = 1024;

/// In the first memory, at an address and this offset.
pub fn at(offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 0,
        target: MemArgTarget::Memory(0),
        ordering: None,
    }
}

/// `() -> i32`: the next byte of standard input, with the outcome of the call.
pub fn input(fd_read: u32) -> Function {
    let mut body = Function::new([]);
    for instruction in [
        I::I32Const(0),
        I::I32Const(16),
        I::I32Store(at(0)),
        I::I32Const(0),
        I::I32Const(1),
        I::I32Store(at(4)),
        I::I32Const(0),
        I::I32Const(0),
        I::I32Const(1),
        I::I32Const(8),
        I::Call(fd_read),
        I::I32Const(1000),
        I::I32Mul,
        I::I32Const(0),
        I::I32Load8U(at(16)),
        I::I32Add,
        I::I32Const(0),
        I::I32Load(at(8)),
        I::I32Const(8),
        I::I32Shl,
        I::I32Add,
        I::End,
    ] {
        body.instruction(&instruction);
    }
    body
}

/// `(i64) -> ()`: writes eight bytes to standard output.
pub fn log(fd_write: u32) -> Function {
    let mut body = Function::new([]);
    for instruction in [
        I::I32Const(0),
        I::LocalGet(0),
        I::I64Store(at(48)),
        I::I32Const(0),
        I::I32Const(48),
        I::I32Store(at(32)),
        I::I32Const(0),
        I::I32Const(8),
        I::I32Store(at(36)),
        I::I32Const(1),
        I::I32Const(32),
        I::I32Const(1),
        I::I32Const(40),
        I::Call(fd_write),
        I::Drop,
        I::End,
    ] {
        body.instruction(&instruction);
    }
    body
}

/// `() -> ()`: prints a hash of the whole memory and of these globals.
pub fn hash(log: u32, globals: &[(u32, ValType)]) -> Function {
    let (place, end, hash) = (0, 1, 2);
    let mut body = Function::new([(2, ValType::I32), (1, ValType::I64)]);
    let mix = |body: &mut Function| {
        for instruction in [
            I::LocalGet(hash),
            I::I64Xor,
            I::I64Const(0x0100_0000_01b3),
            I::I64Mul,
            I::I64Const(23),
            I::I64Rotl,
            I::LocalSet(hash),
        ] {
            body.instruction(&instruction);
        }
    };
    for instruction in [
        I::MemorySize(0),
        I::I32Const(16),
        I::I32Shl,
        I::LocalTee(end),
        I::I64ExtendI32U,
        I::LocalSet(hash),
        I::LocalGet(end),
        I::If(BlockType::Empty),
        I::Loop(BlockType::Empty),
        I::LocalGet(place),
        I::I64Load(at(0)),
    ] {
        body.instruction(&instruction);
    }
    mix(&mut body);
    for instruction in [
        I::LocalGet(place),
        I::I32Const(8),
        I::I32Add,
        I::LocalTee(place),
        I::LocalGet(end),
        I::I32LtU,
        I::BrIf(0),
        I::End,
        I::End,
    ] {
        body.instruction(&instruction);
    }
    for (global, ty) in globals {
        body.instruction(&I::GlobalGet(*global));
        for instruction in to_i64(*ty) {
            body.instruction(&instruction);
        }
        mix(&mut body);
    }
    for instruction in [I::LocalGet(hash), I::Call(log), I::End] {
        body.instruction(&instruction);
    }
    body
}

/// Makes a value of this type an `i64`. What a NaN is made of differs from engine to engine.
pub fn to_i64(ty: ValType) -> Vec<I<'static>> {
    match ty {
        ValType::I32 => vec![I::I64ExtendI32U],
        ValType::I64 => vec![],
        ValType::F32 => vec![I::I64TruncSatF32S],
        ValType::F64 => vec![I::I64TruncSatF64S],
        ValType::V128 => vec![I::I64x2ExtractLane(1)],
        ValType::Ref(_) => vec![I::RefIsNull, I::I64ExtendI32U],
    }
}
