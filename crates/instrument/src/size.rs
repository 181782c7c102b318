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

/// Bytes of the bodies of some functions, by their numbers in rising order.
pub(super) fn code_bytes(wasm: &[u8], imported: u32, chosen: &[u32]) -> u64 {
    let payloads = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    let bodies = payloads.filter_map(|payload| match payload {
        Payload::CodeSectionEntry(body) => {
            let range = body.range();
            Some(range.end - range.start)
        }
        _ => None,
    });
    let numbered = (imported..).zip(bodies);
    let those = numbered.filter(|(number, _)| chosen.binary_search(number).is_ok());
    those.map(|(_, bytes)| bytes).sum()
}
