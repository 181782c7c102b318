//! The changes of a batch, and what became of each.

use std::sync::Arc;

use crate::class::ClassId;
use crate::model::{Digest, TaskId, TaskState, TenantId, When};
use crate::moves::RecordChange;
use crate::task::{OutputPiece, StoredSnapshot, TaskRow};

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new task, at version 1. A task that has moved away loses its name to it.
    Insert(Insert),
    /// A task's next version.
    Update(Update),
    /// The task is removed with its output.
    Remove {
        /// The task.
        id: TaskId,
        /// The version that it must have.
        expected: u64,
    },
    /// A blob, unless it is there.
    Blob {
        /// Digest of the blob's meaning; the store does not check it.
        digest: Digest,
        /// The bytes.
        bytes: Vec<u8>,
        /// The pack of chunks that belong to the blob, and that are removed with it.
        pack: Option<u64>,
    },
    /// A part of a snapshot that is too large for one row. Whatever names its pack must come later.
    Chunk {
        /// The chunks of one snapshot have one pack.
        pack: u64,
        /// Its place in the pack, below 2^20.
        number: u32,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// The chunks of a pack that nothing names are removed.
    DropPack {
        /// The pack.
        pack: u64,
    },
    /// A step of a move to or from another store.
    Move(MoveChange),
    /// The wall clock has been set: what is due by it is due at another time of the steady clock.
    Shift,
}

/// A step of a move: a change of the task, and a change of what is remembered of the move. Where
/// the task's change is refused, nothing else is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveChange {
    /// The task's change, an insert, an update or a removal; `None` where the task stays as it is.
    pub change: Option<Box<Change>>,
    /// Output that comes with an inserted task, the oldest first.
    pub output: Vec<OutputPiece>,
    /// Whether the task's output is removed.
    pub clear_output: bool,
    /// What is remembered of the move from now on.
    pub record: RecordChange,
}

/// A new task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// Its ID, which must be free.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// When it is to go on.
    pub due: When,
    /// Its name.
    pub name: Option<String>,
    /// Digest of its module's blob, which must be there or come before in the batch.
    pub module: Digest,
    /// What was submitted.
    pub spec: Vec<u8>,
    /// What is known of it.
    pub status: Vec<u8>,
    /// Its snapshot, if it comes with one.
    pub snapshot: Option<StoredSnapshot>,
    /// Whether the task is the committing node's from now on, or nobody's (see
    /// [`Nodes`](crate::Nodes)). A daemon that has the store for itself needs to own nothing.
    pub held: bool,
    /// Whose it is. Names are unique among a tenant's tasks.
    pub tenant: TenantId,
    /// Which nodes can run it. A store that daemons cannot share keeps nothing of this.
    pub class: ClassId,
}

/// A task's next version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The task.
    pub id: TaskId,
    /// The version that it must have; it has the next one then.
    pub expected: u64,
    /// Its state.
    pub state: TaskState,
    /// When it is to go on.
    pub due: When,
    /// What is known of it.
    pub status: Vec<u8>,
    /// What it was submitted with from now on; `None` leaves it.
    pub spec: Option<Vec<u8>>,
    /// What becomes of its stored snapshot.
    pub snapshot: SnapshotChange,
    /// Output to append.
    pub output: Vec<OutputPiece>,
    /// How many bytes of output to keep; the oldest are dropped first.
    pub output_limit: u64,
    /// Whether the task is a node's from now on, or nobody's.
    pub held: bool,
    /// The number of the node whose it is then, where that is not the committing one. If the task is
    /// nobody's, that node takes it ahead of others. A node that is none any more gets nothing.
    pub target: Option<u64>,
}

impl Update {
    /// The next version of a stored task, with its snapshot and its output as they are.
    pub fn of(row: &TaskRow, state: TaskState, due: When, status: Vec<u8>) -> Self {
        Self {
            id: row.id,
            expected: row.version,
            state,
            due,
            status,
            spec: None,
            snapshot: SnapshotChange::Keep,
            output: Vec::new(),
            output_limit: u64::MAX,
            held: false,
            target: None,
        }
    }
}

/// What becomes of a task's stored snapshot in a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SnapshotChange {
    /// It stays.
    #[default]
    Keep,
    /// It is removed.
    Clear,
    /// It is replaced.
    Set(StoredSnapshot),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done, durably.
    Done,
    /// The task has another version, is not there, or is another node's; or the module of a new one
    /// is not there: nothing was changed.
    Conflict,
    /// Another task of the tenant has this name, or another task this ID: nothing was changed.
    NameTaken,
}
