//! An engine by its name, and how much stack its guests may use.

use std::sync::Arc;

#[cfg(feature = "wasmedge")]
use super::wasmedge::WasmEdge;
#[cfg(feature = "wasmtime")]
use super::wasmtime::Wasmtime;
use super::{Engine, EngineKind, Error, GUEST_STACK};
use crate::model::{Limit, Limits};

/// Bytes of native stack that a guest may use under these limits.
pub fn stack(limits: &Limits) -> usize {
    let most = limits.value(Limit::Stack).clamp(64 << 10, 1 << 30);
    usize::try_from(most).unwrap_or(GUEST_STACK)
}

/// The engine of this kind. `pool` says for how many instances to keep address space, where an
/// engine can do that; `limits` says how deep a guest's calls may get.
///
/// # Errors
/// [`Error::NotBuilt`] if this build does not contain it.
pub fn engine(
    kind: EngineKind,
    pool: Option<u32>,
    limits: &Limits,
) -> Result<Arc<dyn Engine>, Error> {
    match kind {
        #[cfg(feature = "wasmtime")]
        EngineKind::Wasmtime => Ok(Arc::new(Wasmtime::new(pool, stack(limits))?)),
        #[cfg(feature = "wasmedge")]
        EngineKind::WasmEdge => Ok(Arc::new(WasmEdge::new()?)),
        #[allow(unreachable_patterns, reason = "with all features nothing is left")]
        kind => Err(Error::NotBuilt(kind)),
    }
}
