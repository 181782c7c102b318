//! Where tasks are kept: rows with expected versions, an index of due times, blobs by digest, and
//! what the tasks wrote. What a row's bytes mean is the daemon's; a store never looks inside.
//!
//! ```text
//!   daemon --batch of changes--> commit --durable--> one verdict for each change
//!                                  |
//!                                  `- the lease has another holder: nothing was changed
//! ```
//!
//! A batch is one transaction: after a crash all of it is there or nothing. A change of a task
//! names the version that it was made from, and one that comes too late is a [`Verdict::Conflict`]
//! and changes nothing. The lease has a number that rises with every holder (a fencing token): a
//! daemon that has lost the lease cannot change anything any more.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use dormouse_model::{Digest, MonotonicTime, TaskId, TaskState, TenantId, Timestamp, When};
//! use dormouse_store::{Change, ClassId, Insert, Sqlite, Stamp, Store, Verdict};
//!
//! let folder = tempfile::tempdir()?;
//! let store = Sqlite::open(folder.path())?;
//! let now = Stamp {
//!     now: MonotonicTime::from_nanos(1),
//!     ahead: 0,
//!     realtime: Timestamp::from_nanos(1),
//!     machine: None,
//! };
//! let lease = store.claim("an example", &now, Duration::from_secs(10))?;
//!
//! // The module's blob and the task that needs it come in one batch.
//! let module = Digest::of(b"a module");
//! let batch = [
//!     Change::Blob {
//!         digest: module,
//!         bytes: b"a module".to_vec(),
//!         pack: None,
//!     },
//!     Change::Insert(Insert {
//!         id: TaskId(1),
//!         state: TaskState::Ready,
//!         due: When::steady(MonotonicTime::from_nanos(5)),
//!         name: Some("nap".into()),
//!         module,
//!         spec: b"what was submitted".to_vec(),
//!         status: b"what is known".to_vec(),
//!         snapshot: None,
//!         held: false,
//!         tenant: TenantId::DEFAULT,
//!         class: ClassId::ANY,
//!     }),
//! ];
//! assert_eq!(store.commit(&lease, &now, &batch)?, [Verdict::Done; 2]);
//!
//! let due = store.due(None, MonotonicTime::from_nanos(10), 100)?;
//! let first = (due[0].id, due[0].at);
//! assert_eq!(first, (TaskId(1), MonotonicTime::from_nanos(5)));
//! let task = store.task(TaskId(1))?.ok_or("it was committed")?;
//! assert_eq!((task.version, task.spec), (1, b"what was submitted".to_vec()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | what stands there |
//! | --- | --- |
//! | `store` | the trait [`Store`], the lease, and what is asked of a store |
//! | `task` | a task as it is stored: row, snapshot, output |
//! | `change` | the changes of a batch |
//! | `moves` | what is remembered of moves between stores |
//! | `accounts` | the trait [`Accounts`]: tokens and tenants |
//! | `nodes` | the trait [`Nodes`]: several daemons on one store |
//! | `class` | which nodes can run a task |
//! | `numbers` | values as a database's numbers |
//! | `sqlite` | the store in one SQLite database, for one daemon |
//! | `postgres` | the store in a PostgreSQL database, for many (feature `postgres`) |
//! | `reference` | what a store is to do, in plain maps, for tests (feature `reference`) |

use dormouse_model as model;

mod accounts;
mod change;
mod class;
mod error;
mod moves;
mod nodes;
mod numbers;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(test, feature = "reference"))]
mod reference;
mod sqlite;
mod store;
mod task;

#[cfg(test)]
mod tests;

pub use accounts::{AccountChange, Accounts, TenantRow, TokenDigest, TokenRow, Usage};
pub use change::{Change, Insert, MoveChange, SnapshotChange, Update, Verdict};
pub use class::ClassId;
pub use error::Error;
pub use moves::{MovePhase, MoveRecord, RecordChange};
pub use nodes::{Claimed, NodeRow, Nodes, Wish};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "reference")]
pub use reference::Reference;
pub use sqlite::{Compacted, Sqlite};
pub use store::{Due, Filter, Lease, Sizes, Stamp, Store};
pub use task::{OutputPiece, StoredPiece, StoredSnapshot, Stream, TaskRow};
