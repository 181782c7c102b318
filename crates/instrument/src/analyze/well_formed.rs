//! Whether the bytes are a valid core module that Binaryen can follow.

use wasmparser::{Parser, Validator, WasmFeatures};

use super::features::features;
use super::nesting;
use crate::error::Error;

/// How many bytes of a file that is no module a message quotes.
const QUOTED_BYTES: usize = 16;

/// Checks that the bytes are a valid core module within [`features`], which is not nested too
/// deeply.
pub(crate) fn check(wasm: &[u8]) -> Result<(), Error> {
    if !wasm.starts_with(b"\0asm") {
        let start = String::from_utf8_lossy(&wasm[..wasm.len().min(QUOTED_BYTES)]).into_owned();
        return Err(Error::NotWasm(match wasm.is_empty() {
            true => "the file is empty".into(),
            false => format!("it starts with {start:?} instead of \"\\0asm\""),
        }));
    }
    if Parser::is_component(wasm) {
        return Err(Error::NotResumable);
    }
    let error = match nesting::validate(wasm, features()) {
        Ok(()) => return Ok(()),
        Err(nesting::Failure::TooDeep { function, offset }) => {
            return Err(Error::Unsupported {
                what: format!(
                    "function {function}, nested more than {} levels deep at byte {offset},",
                    nesting::MAX_DEPTH
                ),
                why: "Binaryen, which rewrites it, could not follow; split the function",
            });
        }
        Err(nesting::Failure::Invalid(error)) => error,
    };
    // A module that is valid with all proposals is only too new. Any other is wrong.
    let all = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm);
    Err(match all {
        Err(error) => Error::malformed(error),
        Ok(_) => Error::Unsupported {
            what: format!("a module with this ({error})"),
            why: "it uses a WebAssembly proposal whose state dormouse cannot write down",
        },
    })
}
