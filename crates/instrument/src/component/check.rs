//! Whether the bytes are a valid component, and what it uses that cannot be suspended.

use wasmparser::{Validator, WasmFeatures};

use crate::analyze::features::{MANAGED, features};
use crate::error::{ComponentError, Error};

/// Parts of the component model and of WebAssembly that are refused by their names, each with what
/// to do.
const REFUSED: [(WasmFeatures, &str, &str); 4] = [
    (
        WasmFeatures::CM_ASYNC
            .union(WasmFeatures::CM_ASYNC_STACKFUL)
            .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
            .union(WasmFeatures::CM_ERROR_CONTEXT),
        "asynchronous functions, streams or futures, as WASI 0.3 does",
        "build it for WASI 0.2",
    ),
    (
        WasmFeatures::MEMORY64.union(WasmFeatures::CM64),
        "a memory with 64-bit addresses",
        "build it for 32-bit addresses",
    ),
    (
        WasmFeatures::CM_THREADING.union(WasmFeatures::SHARED_EVERYTHING_THREADS),
        "threads",
        "build it without threads",
    ),
    (
        MANAGED.union(WasmFeatures::CM_GC),
        "references that a garbage collector looks after",
        "build it for linear memory",
    ),
];

/// What components may use.
fn component_features() -> WasmFeatures {
    features().difference(MANAGED) | WasmFeatures::COMPONENT_MODEL
}

/// Refuses bytes that are no valid component.
pub(super) fn check(component: &[u8]) -> Result<(), Error> {
    let validate = |features| Validator::new_with_features(features).validate_all(component);
    let Err(error) = validate(component_features()) else {
        return Ok(());
    };
    // A component that is valid with a proposal only uses that proposal. Any other is wrong.
    for (features, what, advice) in REFUSED {
        if validate(component_features() | features).is_ok() {
            return Err(ComponentError::Proposal {
                what: what.to_owned(),
                at: error.to_string(),
                advice: advice.to_owned(),
            }
            .into());
        }
    }
    match validate(WasmFeatures::all()) {
        Ok(_) => Err(ComponentError::Proposal {
            what: "a proposal that dormouse does not know".to_owned(),
            at: error.to_string(),
            advice: "build it without that".to_owned(),
        }
        .into()),
        Err(error) => Err(Error::malformed(error)),
    }
}
