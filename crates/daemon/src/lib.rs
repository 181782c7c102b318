//! Many tasks in a durable store: the daemon, moves of tasks between daemons, and the HTTP API with
//! its dashboard. A [`Daemon`] is what a server, or a program that embeds the library, asks.
//!
//! ```text
//!   http/ ----.                        .--> workers/ --.
//!   peers/ ---+--> daemon/ --> driver/ +--> journal/ --+--> reports and answers, back to driver/
//!   dashboard/'                        `--> timers ----'
//! ```
//!
//! The driver owns every transition of a task. Whatever blocks stands elsewhere: guests run on the
//! workers, the journal commits to the store. Only tasks on which something is being done are in
//! memory.
//!
//! # Example
//!
#![cfg_attr(all(feature = "binaryen", feature = "wasmtime"), doc = "```")]
#![cfg_attr(
    not(all(feature = "binaryen", feature = "wasmtime")),
    doc = "```no_run"
)]
//! use std::sync::Arc;
//!
//! use dormouse_daemon::{Daemon, Options};
//! use dormouse_model::{TaskSpec, TaskState};
//! use dormouse_store::Sqlite;
//! # let wasm = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm/bin/c_hello_sleep.wasm");
//! # let tokio = tokio::runtime::Runtime::new()?;
//! # tokio.block_on(async {
//!
//! let folder = tempfile::tempdir()?;
//! let store = Arc::new(Sqlite::open(folder.path())?);
//! let daemon = Daemon::start(store, Options::default())?;
//!
//! let module = daemon.add_module(std::fs::read(wasm)?).await?;
//! let spec = TaskSpec {
//!     module: Some(module.into()),
//!     ..TaskSpec::default()
//! };
//! // From here on each change of a task's state is told.
//! let mut changes = daemon.watch();
//! let id = daemon.submit(vec![spec]).await?.remove(0)?;
//! while daemon.task(id).await?.state != TaskState::Exited {
//!     changes.recv().await?;
//! }
//!
//! let pieces = daemon.output(id, 0, 1000).await?.pieces;
//! let printed: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.entry.bytes).collect();
//! assert_eq!(printed, b"hello\nbye\n");
//! daemon.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | directory | what stands there |
//! | --- | --- |
//! | `access` | who may ask for what: tokens with roles, tenants with quotas |
//! | `daemon` | the handle: submit, ask, list, and what is done now and then |
//! | `driver` | the one owner of all transitions, with the queue and the commands |
//! | `workers` | the threads that load, run and freeze guests |
//! | `journal` | group commit of all changes, under the store's lease |
//! | `memory` | how much memory guests may have together, and which wait for it |
//! | `blobs` | modules, and the bases that snapshots are compressed against |
//! | `stored` | what the store keeps of a task as bytes |
//! | `time` | the daemon's clocks, schedules and restarts |
//! | `sockets` | the sockets of sleeping tasks, and the listeners of all tasks |
//! | [`telemetry`] | what an OpenTelemetry collector is told: spans, and what guests write |
//! | `nodes` | this daemon as one of several that share a store |
//! | `moving` | what each step of a move means for the store, at the source and at the target |
//! | `certificates` | certificates that daemons make for themselves, and by which they know each other |
//! | `peers` | daemons that know each other, and the protocol by which tasks move |
//! | `takeover` | a new daemon takes the place of an old one, with all sockets |
//! | [`http`] | the HTTP API, metrics and events; `http::wire` is what travels |
//! | `dashboard` | the page for people |

use dormouse_model as model;
use dormouse_store as store;
use dormouse_task as task;

mod access;
mod admission;
mod blobs;
mod bounds;
mod certificates;
mod daemon;
mod dashboard;
mod driver;
mod error;
mod frame;
pub mod http;
mod journal;
mod memory;
mod metrics;
mod moving;
mod nodes;
mod options;
mod peers;
mod sockets;
mod spec;
mod stored;
pub mod takeover;
mod tcp;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod throttled_log;
mod time;
mod workers;

pub use self::{
    daemon::{
        Daemon,
        check::{Checked, check as check_store},
        info::{OutputPage, Piece, TaskInfo, Trouble},
    },
    driver::{not_stored::NotStored, state::Moved},
    error::Error,
    memory::{MemoryUsed, TooLarge, parts::BudgetParts},
    metrics::Metrics,
    nodes::info::{Load, NodeInfo, NodeOptions},
    options::Options,
    peers::error::PeerError,
    sockets::TaskSockets,
    spec::LimitChanges,
    stored::{
        history::{History, Run},
        status::{MovedTo, Status},
    },
    workers::output::FreshOutput,
};
pub use crate::task::{HeldSocket, Role};
