//! What answers each of a module's imports.

use std::sync::Arc;

use super::wasi_import::WasiImport;
use crate::model::shape::{self, Import, Shape};
use crate::wasi::p2;

/// What answers an import.
pub(super) enum ImportTarget {
    /// The check of a guest that computes.
    Preempt,
    Wasi(WasiImport, Import),
    /// A function that the embedder has registered.
    Registered(Import),
}

impl ImportTarget {
    /// Whether it is a small step of a component's call, of which there may be many to one call: what
    /// the guest has taken is counted at the call.
    pub(super) fn is_of_abi(&self) -> bool {
        matches!(self, Self::Wasi(WasiImport::Component { import, .. }, _) if import.is_of_abi())
    }
}

/// The targets of a module's imports, in their order. Their names are read once for each program,
/// and not again when one of its tasks wakes up.
pub(super) fn import_targets(shape: &Shape) -> Arc<[ImportTarget]> {
    let target =
        |import: &Import| match WasiImport::find(&import.module, &import.name, &import.params) {
            Some(function) => ImportTarget::Wasi(function, import.clone()),
            None if is_check(import) => ImportTarget::Preempt,
            None => ImportTarget::Registered(import.clone()),
        };
    shape.imports.iter().map(target).collect()
}

/// Whether a program answers HTTP requests.
pub(super) enum Serving {
    Never,
    /// It does where it is given an address, and else it runs.
    WhereAsked,
    /// It does nothing else.
    Always,
}

impl Serving {
    /// What a program does that has these imports.
    pub(super) fn of(targets: &[ImportTarget]) -> Self {
        let any = |is_it: fn(&p2::Import) -> bool| {
            targets.iter().any(|target| {
                matches!(target, ImportTarget::Wasi(WasiImport::Component { import, .. }, _) if {
                    is_it(import)
                })
            })
        };
        match any(p2::Import::waits_for_requests) {
            false => Self::Never,
            true if any(p2::Import::asks_whether_to_serve) => Self::WhereAsked,
            true => Self::Always,
        }
    }
}

fn is_check(import: &Import) -> bool {
    (import.module.as_str(), import.name.as_str()) == shape::PREEMPT
}
