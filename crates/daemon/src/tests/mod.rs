//! What tests of several rooms share.

#[cfg(feature = "wasmtime")]
mod simulation;
pub(crate) mod stores;
