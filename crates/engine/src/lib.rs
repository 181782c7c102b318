//! Wasm engines behind two small traits, and asyncify's protocol over them.
//!
//! An engine knows nothing of WASI or of snapshots. Host calls come out through one callback, by
//! the import's index in the module's [`Shape`](model::Shape); state is read and written through
//! [`Instance`].
//!
//! # Example
//!
//! ```
//! use dormouse_engine::{EngineKind, engine};
//! use dormouse_model::Limits;
//!
//! for kind in EngineKind::available() {
//!     let engine = engine(kind, None, &Limits::default())?;
//!     // Machine code is of use only to an engine with the same key.
//!     assert!(engine.code_key().starts_with(&kind.to_string()));
//! }
//! # Ok::<(), dormouse_engine::Error>(())
//! ```
//!
//! # Where to find what
//!
//! | file | what it holds |
//! | --- | --- |
//! | `traits.rs` | what an engine is, and what it is given |
//! | `start.rs` | an engine by its name |
//! | `asyncify.rs` | asyncify's protocol: how a guest unwinds and rewinds |
//! | `wasmtime/`, `wasmedge/` | one engine each |
//! | `interrupt.rs`, `signals.rs` | reaches a guest that computes, by a signal to its thread |
//!
//! # How a guest that computes is killed
//!
//! [`Interrupt::kill`] ends a guest from any thread (`interrupt.rs`). It sends SIGURG to the
//! guest's thread, and the handler looks at the program counter. In the guest's own code it leaves
//! the guest by the engine's way out of a trap: on Wasmtime it lets the thread go on at an
//! instruction that is known to trap, on WasmEdge it calls WasmEdge's handler of faults, which
//! jumps to where the guest was entered. Anywhere else, in a host call or in the engine, the
//! handler does nothing: a host call sees for itself that the task was killed, and the signal is
//! sent again, after 0.5 ms and then ever later, until the thread has left the guest. A killed
//! guest is never entered again.

#![deny(missing_docs)]

#[cfg(feature = "wasmedge")]
use dormouse_child as child;
use dormouse_model as model;

pub mod asyncify;
mod error;
mod interrupt;
mod signals;
mod start;
mod traits;
#[cfg(feature = "wasmedge")]
mod wasmedge;
#[cfg(feature = "wasmtime")]
mod wasmtime;

pub use dormouse_model::spec::EngineKind;
pub use error::{Aborted, Error};
pub use interrupt::Interrupt;
pub use start::{engine, stack};
pub use traits::{
    Ending, Engine, Flow, Guest, HostCallback, Instance, MemoryGovernor, Module, Optimized,
};

/// Bytes of native stack that a guest may use: what `main` has on Linux by default.
pub const GUEST_STACK: usize = 8 << 20;
