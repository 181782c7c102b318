//! How large a module is, before anything is done with it.

use dormouse_model::{Limit, Limits, Reached};
use wasmparser::{Parser, Payload};

/// Fails where a module is larger than the limits allow. The limits are those of a source; `times`
/// is how many times as large the module may be, which is more than 1 for a resumable one.
///
/// # Errors
/// The limit that the module exceeds.
pub fn check_size(wasm: &[u8], limits: &Limits, times: u64) -> Result<(), Reached> {
    let check = |limit, found: u64| match found > limits.value(limit).saturating_mul(times) {
        true => Err(limits.reached(limit).with(found)),
        false => Ok(()),
    };
    check(Limit::Module, wasm.len() as u64)?;
    // A component has several modules.
    let is_component = Parser::is_component(wasm);
    let mut functions = 0;
    // What is damaged is refused later, by the validation, which says what is wrong.
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::FunctionSection(section)) => {
                functions += u64::from(section.count());
                check(Limit::Functions, functions)?;
            }
            Ok(Payload::CodeSectionStart { .. }) if !is_component => break,
            Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The size of some functions' bodies, in bytes. `functions` has their indices in rising order.
pub(crate) fn code_bytes(wasm: &[u8], imported: u32, functions: &[u32]) -> u64 {
    let payloads = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    let sizes = payloads.filter_map(|payload| match payload {
        Payload::CodeSectionEntry(body) => {
            let range = body.range();
            Some(range.end - range.start)
        }
        _ => None,
    });
    let chosen = (imported..)
        .zip(sizes)
        .filter(|(function, _)| functions.binary_search(function).is_ok());
    chosen.map(|(_, size)| size).sum()
}
