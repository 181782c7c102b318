//! dormouse puts unmodified WASI programs to sleep.
//!
//! A module is made resumable by Binaryen's asyncify, and runs within a tokio runtime. Where it
//! blocks (sleep, poll, standard input) it unwinds into plain data: a [`Snapshot`] of the instance
//! and of its WASI state. It continues later: in another process, on another machine, on another wasm
//! engine.
//!
//! ```
//! use dormouse::{Ended, Limits, Policy, Runtime, Snapshot, Task};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let job = concat!(env!("CARGO_MANIFEST_DIR"), "/wasm/bin/c_hello_sleep.wasm");
//!
//! let runtime = Runtime::new()?;
//! let program = runtime.load(&std::fs::read(job)?)?;
//! let mut task = Task::builder(&runtime, &program).args(["job"]).start()?;
//!
//! // Only a task that waits can be frozen: `parked` is that task.
//! let bytes = match task.run(Policy::Always).await? {
//!     Ended::Suspended(mut parked) => parked.freeze()?.encode()?,
//!     Ended::Exited(code) => panic!("it exited with {code} and never slept"),
//! };
//! drop(task);
//!
//! // Keep the bytes for as long as you like. Then, anywhere:
//! let snapshot = Snapshot::decode(&bytes, &Limits::default())?;
//! let program = runtime.load_snapshot(&snapshot)?;
//! let mut task = Task::builder(&runtime, &program).resume(&snapshot)?;
//! assert_eq!(task.run(Policy::Never).await?.exit_code(), Some(0));
//! # Ok(())
//! # }
//! ```
//!
//! What a guest is given (streams, directories, network, clocks, limits) is set at the
//! [`TaskBuilder`], and what its tasks share at the [`RuntimeBuilder`]. Each method there says what
//! holds where it is not called.
//!
//! # The modules
//!
//! What everybody needs stands at the root. Everything else is in the module of its room, each of
//! which is a crate (`dormouse::wasi` is `dormouse-wasi`) with an example in its documentation.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`model`] | the common words: limits, clocks, waits, values, digests, errors |
//! | [`task`] | one guest: step, freeze, resume; host functions of your own |
//! | [`wasi`] | what guests call, and what they can be given |
//! | [`snapshot`] | a sleeping task as bytes, and files of them |
//! | [`instrument`] | wasm into resumable wasm |
//! | [`engine`] | Wasmtime and WasmEdge behind two small traits |
//! | `store` | durable stores of tasks (feature `server`) |
//! | `daemon` | many tasks in a store, and the HTTP API (feature `server`) |
//!
//! # Features
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `wasmtime`, `wasmedge` | the engines |
//! | `binaryen` | the transforms that run Binaryen's asyncify; needs a C++ compiler |
//! | `components` | runs components, and links them to each other |
//! | `server` | `store` and `daemon` |
//! | `cli` | the command `dormouse` |
//!
//! A program that embeds the library takes `default-features = false` and
//! `features = ["binaryen", "components", "wasmtime"]`. Without `binaryen` it makes modules
//! resumable by [`Transform::Native`](instrument::Transform::Native).

#![deny(missing_docs)]

#[cfg(feature = "cli")]
pub mod cli;
#[doc(hidden)]
pub mod fuzzing;

#[cfg(feature = "cli")]
use dormouse_model::error;

#[cfg(feature = "server")]
pub use dormouse_daemon as daemon;
pub use dormouse_engine as engine;
pub use dormouse_instrument as instrument;
pub use dormouse_model as model;
pub use dormouse_snapshot as snapshot;
#[cfg(feature = "server")]
pub use dormouse_store as store;
pub use dormouse_task as task;
pub use dormouse_wasi as wasi;

pub use engine::EngineKind;
pub use instrument::Transform;
pub use model::error::{Error, ErrorKind};
pub use model::{Digest, Limits, TaskSpec};
pub use snapshot::Snapshot;
pub use task::{
    Ended, Parked, Policy, Program, Runtime, RuntimeBuilder, Step, Task, TaskBuilder, TaskHandle,
};
