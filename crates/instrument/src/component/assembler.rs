//! Short words for the instructions of functions that move strings.

use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, MemArgTarget, ValType};

/// Writes a function's instructions. Numbers are `i32`, without a sign.
pub(super) struct Code<'f> {
    sink: InstructionSink<'f>,
    /// The memory that is read.
    from: u32,
    /// The memory that is written.
    to: u32,
    /// The function that traps.
    trap: Option<u32>,
}

/// Instructions without operands of their own.
macro_rules! plain {
    ($($name:ident: $instruction:ident),*) => {
        $(pub fn $name(&mut self) -> &mut Self {
            self.sink.$instruction();
            self
        })*
    };
}

/// Instructions on a variable, or on a label.
macro_rules! numbered {
    ($($name:ident: $instruction:ident),*) => {
        $(pub fn $name(&mut self, number: u32) -> &mut Self {
            self.sink.$instruction(number);
            self
        })*
    };
}

/// Instructions on a memory. The address need not be aligned.
macro_rules! at {
    ($($name:ident: $instruction:ident $memory:ident),*) => {
        $(pub fn $name(&mut self, offset: u64) -> &mut Self {
            self.sink.$instruction(unaligned(self.$memory, offset));
            self
        })*
    };
}

impl<'f> Code<'f> {
    pub fn new(function: &'f mut Function, from: u32, to: u32, trap: Option<u32>) -> Self {
        Self {
            sink: function.instructions(),
            from,
            to,
            trap,
        }
    }

    plain!(
        plus: i32_add, minus: i32_sub, times: i32_mul, and: i32_and, or: i32_or, shl: i32_shl,
        shr: i32_shr_u, not: i32_eqz, eq: i32_eq, ne: i32_ne, lt: i32_lt_u, gt: i32_gt_u,
        ge: i32_ge_u, else_: else_, end: end
    );

    numbered!(get: local_get, put: local_set, tee: local_tee, br: br, br_if: br_if);

    at!(
        load8: i32_load8_u from, load16: i32_load16_u from, reload8: i32_load8_u to,
        store8: i32_store8 to, store16: i32_store16 to
    );

    pub fn num(&mut self, number: i32) -> &mut Self {
        self.sink.i32_const(number);
        self
    }

    pub fn block(&mut self) -> &mut Self {
        self.sink.block(BlockType::Empty);
        self
    }

    pub fn loop_(&mut self) -> &mut Self {
        self.sink.loop_(BlockType::Empty);
        self
    }

    pub fn if_(&mut self) -> &mut Self {
        self.sink.if_(BlockType::Empty);
        self
    }

    /// A choice between two numbers.
    pub fn if_number(&mut self) -> &mut Self {
        self.sink.if_(BlockType::Result(ValType::I32));
        self
    }

    /// Whether the eight bytes at an address that is read are below 80, each of them.
    pub fn are_all_ascii(&mut self) -> &mut Self {
        let highest = i64::from_ne_bytes([0x80; 8]);
        self.sink.i64_load(unaligned(self.from, 0));
        self.sink.i64_const(highest).i64_and().i64_eqz();
        self
    }

    /// Copies bytes from the memory that is read to the one that is written.
    pub fn copy_memory(&mut self) {
        self.sink.memory_copy(self.to, self.from);
    }

    /// Sets a variable to another one.
    pub fn set(&mut self, local: u32, to: u32) {
        self.get(to).put(local);
    }

    /// Adds a number to a variable.
    pub fn add(&mut self, local: u32, number: i32) {
        self.get(local).num(number).plus().put(local);
    }

    pub fn trap_if(&mut self) {
        self.if_();
        if let Some(trap) = self.trap {
            self.sink.call(trap);
        }
        self.sink.unreachable().end();
    }
}

fn unaligned(memory: u32, offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 0,
        target: MemArgTarget::Memory(memory),
        ordering: None,
    }
}
