//! WebAssembly into resumable WebAssembly: a program that can be suspended wherever it calls the
//! host, and whose call stack is data then.
//!
//! [`instrument`] rewrites a module with Binaryen's pass *asyncify*, or to the same protocol by a
//! walk of its own ([`Transform::Native`]). What the host has to know
//! about the result is in its [`Manifest`], which is a custom section of it: the digest of the
//! source, the transform, and the [`Shape`](dormouse_model::Shape), which has the names of the
//! exports by which the state is read and written.
//!
//! # Example
//!
//! ```
//! use dormouse_instrument::{HostFunction, Manifest, Options, check_resumable, instrument};
//! use dormouse_model::ValType;
//!
//! let source = wat::parse_str(
//!     r#"(module
//!       (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
//!       (func $wait (drop (call $yield)))
//!       (func $compute)
//!       (func (export "_start") (call $compute) (call $wait)))"#,
//! )?;
//! let host = |module: &str, name: &str, _: &[ValType]| match (module, name) {
//!     ("wasi_snapshot_preview1", "sched_yield") => Some(HostFunction {
//!         params: vec![],
//!         results: vec![ValType::I32],
//!         blocks: true,
//!     }),
//!     _ => None,
//! };
//! let done = instrument(&source, &Options::new(&host))?;
//!
//! // Two of the three functions may be on the stack while the guest sleeps.
//! let paths: Vec<&str> = done.report.instrumented.iter().map(|f| f.path.as_str()).collect();
//! assert_eq!(paths, ["wait -> yield", "_start -> wait -> yield"]);
//!
//! // The resumable module says itself how it is run.
//! let manifest = Manifest::of(&done.wasm)?;
//! assert_eq!(manifest.shape.entries, ["_start"]);
//! check_resumable(&done.wasm, &manifest)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The pipeline
//!
//! ```text
//!   source
//!     │  preempt              checks in loops and cycles of calls, where asked for
//!     ▼
//!   analyze                   valid? offered? what may suspend, and can it be saved?
//!     │
//!     ▼
//!   lower                     plain code for exceptions, blocks with parameters, segments,
//!     │         ╲             references; names
//!     │     bodies of functions that are never on the stack ────╮
//!     ├───────────────────────────╮                             │
//!     ▼                           │                             │
//!   binaryen: asyncify            │                             │
//!     │                           │                             │
//!     ▼                           │                             │
//!   put back ◀────────────────────│─────────────────────────────╯
//!     │                           │
//!     ▼                           ▼
//!   two_version                 native     a fast and a slow version of each function
//!     │                           │
//!     ├───────────────────────────╯
//!     ▼
//!   expose                                 exports, names, hints, manifest
//!     │
//!     ▼
//!   resumable module
//! ```
//!
//! `pipeline.rs` is this picture in code. The header of each directory's `mod.rs` says what stands
//! where in it:
//!
//! | directory | what it does |
//! | --- | --- |
//! | `module/` | reads and writes modules, for all others |
//! | `analyze/` | finds what the rewriting has to know, and the reasons to refuse a module |
//! | `preempt/` | inserts checks, at which a guest that computes can be suspended |
//! | `lower/` | says in plain code what Binaryen cannot read or asyncify cannot suspend |
//! | `native/` | makes a fast and a slow version of each such function without Binaryen |
//! | `binaryen/` | runs Binaryen's passes, in a process of their own |
//! | `two_version/` | makes a fast and a slow version of each instrumented function |
//! | `expose/` | adds the exports by which the state is read and written |
//!
//! # Features
//!
//! Both are on by default.
//!
//! `binaryen` brings Binaryen, and needs a C++ compiler. Without it, [`Transform::Auto`] is always
//! [`Transform::Native`], and [`instrument`] answers [`Error::WithoutBinaryen`] for the transforms
//! that are Binaryen's.
//!
//! `components` brings Wasmtime's translator of components. Without it, a component is refused with
//! [`ComponentError::LeftOut`].

#![deny(missing_docs)]
// What is written must not depend on the order in which a hash table is walked.
#![deny(clippy::iter_over_hash_type)]

mod analyze;
#[cfg(feature = "binaryen")]
mod binaryen;
#[cfg(feature = "components")]
mod component;
#[cfg(feature = "components")]
mod compose;
mod error;
mod expose;
mod lower;
mod manifest;
mod module;
mod native;
mod options;
mod pipeline;
mod preempt;
mod report;
mod step;
mod two_version;
#[cfg(not(feature = "binaryen"))]
mod without_binaryen;
#[cfg(not(feature = "components"))]
mod without_components;

#[cfg(not(feature = "binaryen"))]
use without_binaryen as binaryen;
#[cfg(not(feature = "components"))]
pub use without_components::flatten;

pub use analyze::initial_memory::{Segment, initial_memory};
pub use analyze::size::check_size;
#[cfg(feature = "components")]
pub use component::{flatten, flatten_any};
#[cfg(feature = "components")]
pub use compose::{Link, Named, compose, link};
pub use error::{ComponentError, ComposeError, Error, ImportKind, List, PassFailure};
pub use manifest::{Manifest, Transform, UnknownTransform};
pub use module::sections::{RawSection, sections};
pub use options::{HostFunction, Offer, Options};
pub use pipeline::{check_resumable, instrument};
pub use report::{Instrumented, InstrumentedFunction, Report};
pub use step::Step;

/// Which version of the rewriting this is: a digest of its sources, in hexadecimal.
pub const REVISION: &str = env!("DORMOUSE_INSTRUMENT");
