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
//! | file | what stands there |
//! | --- | --- |
//! | `store` | the trait [`Store`], the lease, and what is asked of a store |
//! | `task` | a task as it is stored: row, snapshot, output |
//! | `change` | the changes of a batch |
//! | `moves` | what is remembered of moves between stores |
//! | `sqlite` | the store in one SQLite database |

use dormouse_model as model;

mod change;
mod error;
mod moves;
mod sqlite;
mod store;
mod task;

pub use change::{Change, Insert, MoveChange, SnapshotChange, Update, Verdict};
pub use error::Error;
pub use moves::{MovePhase, MoveRecord, RecordChange};
pub use sqlite::{Compacted, Sqlite};
pub use store::{Due, Filter, Lease, Sizes, Stamp, Store};
pub use task::{OutputPiece, StoredPiece, StoredSnapshot, Stream, TaskRow};
