//! One guest: an instance, its host state, and its pending call.
//!
//! ```text
//!   TaskBuilder --start--> Task --step--> Parked --step--> Parked ... --> Exited
//!        |                                  |
//!        |                                freeze
//!        |                                  v
//!        `------resume <----------------- Snapshot
//! ```
//!
//! [`Task::step`] runs the guest on the caller's thread until it exits or blocks, and never waits.
//! [`Task::run`] waits as well: it turns the guest's wait into tokio's timers and descriptors, so
//! that the thread is free meanwhile.
//!
//! # Example
//!
#![cfg_attr(all(feature = "binaryen", feature = "wasmtime"), doc = "```")]
#![cfg_attr(
    not(all(feature = "binaryen", feature = "wasmtime")),
    doc = "```no_run"
)]
//! use std::sync::{Arc, Mutex};
//!
//! use dormouse_task::{Output, Runtime, Step, Task};
//! # let wasm = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm/bin/c_hello_sleep.wasm");
//!
//! let runtime = Runtime::new()?;
//! let program = runtime.load(&std::fs::read(wasm)?)?;
//! let printed = Arc::new(Mutex::new(Vec::new()));
//! let mut task = Task::builder(&runtime, &program)
//!     .args(["hello"])
//!     .stdout(Output::Capture(printed.clone()))
//!     .start()?;
//!
//! // The guest runs on this thread until it sleeps.
//! let snapshot = match task.step()? {
//!     Step::Parked(mut parked) => parked.freeze()?,
//!     Step::Exited(code) => panic!("it exited with {code} and did not sleep"),
//! };
//! drop(task);
//!
//! // A new instance continues with the sleep. `step` does not wait, so that this program does.
//! let mut task = Task::builder(&runtime, &program)
//!     .stdout(Output::Capture(printed.clone()))
//!     .resume(&snapshot)?;
//! let code = loop {
//!     if let Some(code) = task.step()?.exit_code() {
//!         break code;
//!     }
//!     std::thread::sleep(task.remaining().unwrap_or_default());
//! };
//! assert_eq!(code, 0);
//! assert!(!printed.lock().unwrap().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Words
//!
//! | word | what it means |
//! | --- | --- |
//! | unwind, rewind | the guest leaves its functions at a host call, and comes back to it |
//! | parked | the guest has unwound and waits; its instance is in memory. The memory of parked instances is *warm* |
//! | freeze, thaw | a parked guest becomes a [`Snapshot`]; a snapshot becomes an instance again |
//! | suspend, resume | freeze and end the instance; thaw and go on |
//! | checkpoint | freeze and go on |
//! | hibernate, wake | of a daemon: suspend into the store; resume from there |
//! | evict | end an instance without freezing it, so that its task goes on from its last snapshot |
//!
//! # The life of a blocking call
//!
//! 1. The guest calls `poll_oneoff(sleep 10 s)`. The engine hands the import's number and the raw
//!    arguments to `host.rs`, which calls `wasi`.
//! 2. The time is not over yet: `wasi` answers `Block(Wait)` and keeps the absolute deadlines of all
//!    subscriptions. A deadline is counted from the first call; when the call is made again after a
//!    suspend, the deadline stays where it was.
//! 3. The call becomes a `Pending`: import, **arguments**, wait, and whether the call itself said
//!    that it blocks. Asyncify's state is set to unwinding. The guest returns to [`Task::step`],
//!    which answers [`Step::Parked`].
//! 4. [`Task::run`] decides by policy and handle whether to wait or to suspend. To wait is to turn
//!    the [`Wait`](model::Wait) into tokio timers and `AsyncFd`s over duplicates of the descriptors
//!    (`reactor.rs`). A timer runs for 10 s at most, because timers do not count while the machine
//!    sleeps, and for 1 s where the wait is for a time of the wall clock, which can be set.
//! 5. The wait is over: [`Task::step`] sets asyncify's state to rewinding and calls the entry. The
//!    guest arrives at the same host call. Whatever arguments it passes now are replaced by those
//!    that were kept. WASI answers from the kept deadlines, and the guest continues.
//!
//! A task can be asked to suspend (SIGTERM, `--rehearse`) while it is at a call that would not have
//! blocked. It then unwinds with `Wait::Yield`. `poll_oneoff` is made first, since it takes nothing
//! away; any other call is left untried and made after the resume, so that no byte is read and
//! lost. An async function of the embedding program is `Wait::Host`: its future is started by the
//! loop that waits, dropped at a suspend, and started again with the same arguments.
//!
//! # Threads
//!
//! The library starts no thread for a guest: [`Task::step`] runs it on the caller's, on a stack that
//! is grown where it is short. Two threads of the process's own help. One looks at guests with a
//! limit of time while they compute (`watchdog.rs`). The other lives while a guest is being killed
//! (`dormouse_engine`'s `interrupt.rs`). The command runs the guest on a thread with 8 MiB of stack
//! for it, and hears signals on its main thread. [`TaskHandle::suspend`] sets a flag that the
//! guest's next blocking call sees, and wakes a wait. A guest that hangs in a write, because nobody
//! reads the pipe, cannot unwind there (`fd_write` is not instrumented): the flag waits with it.
//! The command catches SIGXFSZ, so that writing beyond a limit of the system's is an error, for the
//! guest and for a snapshot.
//!
//! # Where to find what
//!
//! | file | what it holds |
//! | --- | --- |
//! | `task.rs` | [`Task`] and [`Step`]: the guest's state machine |
//! | `builder.rs` | [`TaskBuilder`]: what a guest gets from its host, with the defaults |
//! | `freeze.rs`, `thaw.rs` | a parked task into a snapshot, and back |
//! | `host.rs`, `functions.rs` | host calls: WASI, and the functions of the embedding program |
//! | `import_target.rs`, `wasi_import.rs` | what answers each import |
//! | `run.rs`, `reactor.rs`, `policy.rs` | the loop that waits |
//! | `handle.rs` | reaches a task from elsewhere: suspend, kill, preempt |
//! | `gate.rs` | what a guest does outside of itself waits there, where its host may have lost it |
//! | `runtime.rs`, `load.rs` | modules on their way into a program |
//! | `sources.rs`, `cache/` | the cache on disk |
//! | `prepared.rs` | resumable modules as files, with machine code |
//! | `program.rs`, `compile.rs`, `module_bytes.rs` | a resumable module, and its machine code |
//! | `limits.rs`, `meter.rs`, `watchdog.rs` | what a task has used of its limits |

#![deny(missing_docs)]

use dormouse_child as child;
use dormouse_engine as engine;
use dormouse_instrument as instrument;
use dormouse_model as model;
use dormouse_snapshot as snapshot;
use dormouse_wasi as wasi;

mod builder;
pub mod cache;
mod compile;
mod context;
mod error;
mod freeze;
mod functions;
mod gate;
mod handle;
mod host;
mod import_target;
mod limits;
mod load;
mod meter;
mod module_bytes;
mod policy;
mod prepared;
mod program;
pub mod progress;
pub mod reactor;
mod run;
mod runtime;
mod sources;
mod task;
mod thaw;
mod wasi_import;
mod watchdog;

pub use builder::TaskBuilder;
pub use cache::{leave, remove_unfinished, write_file};
pub use error::TaskError;

pub use dormouse_model::spec::Policy;
pub use functions::{HostCall, HostFunctions, HostFuture, HostReply};
pub use gate::Gate;
pub use handle::TaskHandle;
pub use module_bytes::check_packed;
pub use prepared::{has_machine_code, without_machine_code};
pub use program::Program;
pub use progress::{LogObserver, Observer, Progress, UnderWay, Work, quiet};
pub use run::{Ended, time_ends};
pub use runtime::{Runtime, RuntimeBuilder};
pub use task::{Parked, Step, Task};
pub use thaw::SnapshotExt;

pub use crate::snapshot::Snapshot;
// The daemon's, which knows tasks alone.
pub use crate::{
    child::available_memory,
    engine::{Aborted, EngineKind, GUEST_STACK as STACK, MemoryGovernor},
    snapshot::{ModuleRef, VERSION as SNAPSHOT_VERSION, chunks, pack, unpack},
    wasi::{
        Access, Asleep, Bindings, Clocks, Config, Grants, HeldSocket, HostDir, HttpConnection,
        Input, Listener, Output, Randomness, RestoreOptions, Role, Rule, Sink, TmpDir, Watch,
        Watched,
    },
};
