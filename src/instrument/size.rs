//! How large a module is, before anything is done with it.

use wasmparser::{Parser, Payload};

use crate::model::{Limit, Limits, Reached};

/// Fails where a module is larger than the limits allow; `times` is how many times as large one may be
/// that has been made resumable.
///
/// # Errors
/// The limit that it goes beyond.
pub fn check_size(wasm: &[u8], limits: &Limits, times: u64) -> Result<(), Reached> {
    let check = |limit, found: u64| match found > limits.value(limit).saturating_mul(times) {
        true => Err(limits.reached(limit).with(found)),
        false => Ok(()),
    };
    check(Limit::Module, wasm.len() as u64)?;
    // One that is damaged is refused later, with what is wrong.
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::FunctionSection(functions)) => {
                check(Limit::Functions, u64::from(functions.count()))?;
            }
            Ok(Payload::CodeSectionStart { .. }) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(())
}
