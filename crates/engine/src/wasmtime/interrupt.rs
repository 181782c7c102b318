//! Where a guest's machine code is, and an instruction in it or elsewhere that traps.

use std::sync::OnceLock;

use crate::interrupt::{Code, Exit};

/// `(module (func unreachable))`
const TRAPPING: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x05\x01\x03\0\0\x0b";

/// What `unreachable` becomes.
#[cfg(target_arch = "aarch64")]
const TRAP: &[u8] = &[0x1f, 0xc1, 0, 0];
#[cfg(not(target_arch = "aarch64"))]
const TRAP: &[u8] = &[0x0f, 0x0b];

/// The code of a module's functions, without what leads into and out of them.
pub(super) fn code(module: &wasmtime::Module) -> Option<Code> {
    let trap = trap(module.engine())?;
    let start = module.text().as_ptr().addr();
    let functions = module.functions();
    let mut ranges: Vec<_> = functions
        .map(|function| start + function.offset..start + function.offset + function.len)
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    Some(Code {
        ranges,
        exit: Exit::Trap(trap),
    })
}

/// The address of an instruction of which Wasmtime knows that it traps. A guest need not have one,
/// so it is one of a module that has nothing else, and that stays for good.
fn trap(engine: &wasmtime::Engine) -> Option<usize> {
    static MODULE: OnceLock<Option<wasmtime::Module>> = OnceLock::new();
    let module = MODULE.get_or_init(|| wasmtime::Module::new(engine, TRAPPING).ok());
    let module = module.as_ref()?;
    let function = module.functions().next()?;
    let code = module
        .text()
        .get(function.offset..function.offset + function.len)?;
    let index = code.windows(TRAP.len()).position(|bytes| bytes == TRAP)?;
    Some(code.as_ptr().addr() + index)
}
