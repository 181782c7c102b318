//! Wasmtime's errors as text.

use crate::EngineKind;

/// Which engine this is, for messages.
pub(super) const KIND: EngineKind = EngineKind::Wasmtime;

/// The whole chain of causes in one text.
pub(super) fn text(error: &wasmtime::Error) -> String {
    format!("{error:?}")
}
