//! dormouse puts unmodified WASI programs to sleep.
//!
//! A module is passed through Binaryen's asyncify and runs under a tokio scheduler. Where it
//! blocks (sleep, poll, stdin) it unwinds into plain data, a [`Snapshot`] of the instance and its
//! WASI state, and goes on later: in another process, on another machine, on another wasm engine.
//!
//! ```no_run
//! # async fn example() -> Result<(), dormouse::Error> {
//! use dormouse::{Ended, EngineKind, Policy, Restore, Runtime, RuntimeOptions, Setup, Task};
//!
//! let runtime = Runtime::new(RuntimeOptions::default())?;
//! let wasm = std::fs::read("job.wasm").expect("a module");
//! let program = runtime.load(&wasm, &dormouse::quiet)?;
//! let engine = EngineKind::Wasmtime;
//! let mut task = Task::new(&runtime, &program, engine, Setup::default(), &dormouse::quiet)?;
//! if dormouse::run(&mut task, Policy::Always).await? == Ended::Suspended {
//!     let bytes = task.freeze()?.encode()?;
//!     // Store the bytes for as long as you like; then, anywhere:
//!     let snapshot = dormouse::Snapshot::decode(&bytes, &dormouse::Limits::default())?;
//!     let program = runtime.load_snapshot(&snapshot)?;
//!     let restore = Restore::default();
//!     let mut task =
//!         Task::thaw(&runtime, &program, engine, &snapshot, restore, &dormouse::quiet)?;
//!     dormouse::run(&mut task, Policy::Never).await?;
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "server")]
use dormouse_daemon as daemon;
use dormouse_engine as engine;
use dormouse_instrument as instrument;
use dormouse_model::{self as model, clock, error};
use dormouse_snapshot as snapshot;
#[cfg(feature = "server")]
use dormouse_store as store;
use dormouse_task as task;
use dormouse_wasi as wasi;

#[doc(hidden)]
pub mod fuzzing;

#[cfg(feature = "cli")]
pub mod cli;

pub use clock::{Clock, Mark, Marks, SimClock, SystemClock};
#[cfg(feature = "server")]
pub use daemon::http::{Peers, ServerOptions, peers, serve, wire};
#[cfg(feature = "server")]
pub use daemon::{
    Daemon, FreshOutput, History, LimitChanges, Metrics, Moved, MovedTo, Options as DaemonOptions,
    Outputs, Piece, Restart, Run, Spec, Status, Submission, TaskInfo, World, next_occurrence,
};
pub use engine::EngineKind;
pub use error::{Error, ErrorKind};
pub use instrument::{InstrumentedFunction, Manifest, Report, Transform};
pub use model::{
    ClockId, Deadline, Digest, Ends, FdInterest, Interest, Limit, Limits, OnLimit, Reached,
    Setting, Timestamp, ValType, Value, Wait,
};
#[cfg(feature = "server")]
pub use model::{MoveId, TaskId, TaskState, When};
pub use snapshot::{Snapshot, read as read_snapshot, write as write_snapshot};
#[cfg(feature = "server")]
pub use store::{
    Change, Due, Error as StoreError, Filter, Insert, Lease, MoveChange, MovePhase, MoveRecord,
    OutputPiece, RecordChange, Sizes, SnapshotChange, Sqlite, Stamp, Store, StoredPiece,
    StoredSnapshot, Stream, TaskRow, Update, Verdict,
};
pub use task::{Ended, Policy, run};
pub use task::{
    HostCall, HostFunctions, HostFuture, HostReply, Observer, Program, Progress, Restore, Runtime,
    RuntimeOptions, Setup, Step, Task, TaskHandle, Work, quiet,
};
pub use wasi::{
    Access, Bindings, Clocks, Config, Grants, HeldSocket, HostDir, Input, Listener, Output,
    Randomness, RestoreOptions, Role, Rule, Sink, TmpDir,
};
