//! Doors for the fuzzers in `fuzz/`, which reach parsers without what stands around them. No part
//! of the interface.

use crate::Error;
use crate::instrument::{self, Manifest};
use crate::task::Runtime;

#[cfg(feature = "server")]
pub use crate::daemon::http::router;
#[cfg(feature = "cli")]
pub use crate::snapshot::{KeyKind, Seal, Unseal, new_keys};
pub use crate::snapshot::{Run, changed, fill, stored};
#[cfg(feature = "server")]
pub use crate::snapshot::{pack, unpack};
pub use crate::wasi::StateV1;

/// Makes a module resumable, and keeps nothing of it.
///
/// # Errors
/// Says why the module cannot be made resumable.
pub fn rewrite(runtime: &Runtime, wasm: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(runtime.rewrite(wasm, false, &crate::task::quiet)?.wasm)
}

/// Checks a resumable module as it comes out of a snapshot.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_resumable(wasm: &[u8]) -> Result<(), Error> {
    Ok(instrument::check_resumable(wasm, &Manifest::of(wasm)?)?)
}
