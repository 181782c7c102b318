//! Where tasks are kept: rows with expected versions, an index of due times, blobs by digest, and
//! what the tasks wrote. What a row's bytes mean is the scheduler's; a store never looks inside.
//!
//! ```text
//!   scheduler --batch of changes--> commit --durable--> one verdict for each change
//!                                     |
//!                                     `- the lease is no longer ours: nothing was changed
//! ```
//!
//! A batch is one transaction: after a crash all of it is there or nothing. A change of a task names
//! the version that it was made from, and one that comes too late is a [`Verdict::Conflict`] and
//! changes nothing. The lease has a number that rises with every holder (a fencing token): whoever
//! has lost it cannot change anything any more.

use dormouse_model as model;

mod error;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use crate::model::clock::Mark;
use crate::model::{Digest, TaskId, TaskState, TransferId, When};

pub use error::Error;
pub use sqlite::Sqlite;

/// The right to change a store, of one scheduler at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Rises with every holder.
    pub epoch: u64,
    /// How long it lasts after the last batch, in nanoseconds.
    pub lasts: u64,
}

/// When something is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// By the steady clock, which nobody sets, in nanoseconds.
    pub now: u64,
    /// How far the wall clock is ahead of it: what is due by the wall clock is so much earlier by the
    /// steady one.
    pub ahead: i64,
    /// What the wall clock shows, in nanoseconds since the Unix epoch.
    pub realtime: u64,
    /// How long the machine has been running.
    pub machine: Option<Mark>,
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: TaskId,
    /// Counts its changes.
    pub version: u64,
    /// Where it stands.
    pub state: TaskState,
    /// When it is to go on, by the steady clock; `None` where no time does that.
    pub due: Option<u64>,
    /// A name that no other task of the store has.
    pub name: Option<String>,
    /// Digest of the resumable module, which is a blob.
    pub module: Digest,
    /// What was submitted, as the scheduler encodes it.
    pub spec: Vec<u8>,
    /// What is known of it, as the scheduler encodes it.
    pub status: Vec<u8>,
    /// How many bytes of output are kept.
    pub log_bytes: u64,
    /// How many bytes its snapshot has here: its own, and those of its base where that is in chunks.
    pub snapshot_bytes: u64,
    /// What of it cannot be read, and is a default here.
    pub damage: Option<String>,
}

/// A stored snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The blob that the bytes refer to, if they do.
    pub base: Option<Digest>,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Chunks that belong to it, which go when it does.
    pub pack: Option<u64>,
}

/// What happens to the stored snapshot in a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It stays.
    #[default]
    Keep,
    /// It goes.
    Clear,
    /// It is replaced.
    Set(Frozen),
}

/// One of a task's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which stream.
    pub stream: Stream,
    /// When it was written, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new task, at version 1. A task that has moved away loses its name to it.
    Insert(Insert),
    /// A task's next version.
    Update(Update),
    /// The task goes, with its output.
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
        /// Chunks that belong to it, which go when it does.
        pack: Option<u64>,
    },
    /// A part of a snapshot that is too large for one row. Whatever names its pack must come later.
    Chunk {
        /// Which parts belong together.
        pack: u64,
        /// Its place among them, below 2^20.
        number: u32,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// The chunks of a pack that nothing names go.
    Drop {
        /// The pack.
        pack: u64,
    },
    /// A step of a move to or from another store.
    Hand(Hand),
    /// The wall clock has been set: what is due by it is due at another time of the steady clock.
    Shift,
}

/// A step of a move: a change of the task, and what is remembered of the move. Where the change is refused,
/// nothing else of it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    /// The change, an insert, an update or a removal; `None` where the task stays as it is.
    pub change: Option<Box<Change>>,
    /// Output that comes with an inserted task, the oldest first.
    pub output: Vec<Entry>,
    /// Whether the task's output goes.
    pub clear_output: bool,
    /// What is remembered.
    pub record: Record,
}

/// What is remembered of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// This, from now on.
    Put(Transfer),
    /// Nothing any more.
    Forget(TransferId),
}

/// What is remembered of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Both sides know the move by this.
    pub id: TransferId,
    /// The task, as it is called here.
    pub task: TaskId,
    /// How far it has come.
    pub step: TransferStep,
    /// Digest by which the other side is known.
    pub peer: Digest,
    /// What else is known of it, as the scheduler encodes it.
    pub note: Vec<u8>,
}

/// How far a move has come. The first three are of the side that the task leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStep {
    /// The task has been stopped, and may have been offered.
    Giving,
    /// The task stays here; the other side may hold a copy, and has to be told.
    Returned,
    /// The task is the other side's, which may have to be told.
    Given,
    /// A copy is here, and is not ours yet.
    Held,
    /// The task is ours; the other side may ask whether we know that.
    Taken,
}

impl TransferStep {
    /// All steps, in the order of their numbers in a store.
    pub const ALL: [Self; 5] = [
        Self::Giving,
        Self::Returned,
        Self::Given,
        Self::Held,
        Self::Taken,
    ];
}

/// A new task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// Its number, which must be free.
    pub id: TaskId,
    /// Where it stands.
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
    pub snapshot: Option<Frozen>,
}

/// A task's next version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The task.
    pub id: TaskId,
    /// The version that it must have; it has the next one then.
    pub expected: u64,
    /// Where it stands.
    pub state: TaskState,
    /// When it is to go on.
    pub due: When,
    /// What is known of it.
    pub status: Vec<u8>,
    /// What it was submitted with from now on; `None` leaves it.
    pub spec: Option<Vec<u8>>,
    /// Its snapshot.
    pub snapshot: Part,
    /// Output to append.
    pub output: Vec<Entry>,
    /// How many bytes of output to keep; the oldest go first.
    pub output_limit: u64,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done, durably.
    Done,
    /// The task has another version, or is not there: nothing was changed.
    Conflict,
    /// Another task has this name: nothing was changed.
    NameTaken,
}

/// A task that is to go on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When, by the steady clock.
    pub at: u64,
    /// Which.
    pub id: TaskId,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those in one of these states; empty is all.
    pub states: Vec<TaskState>,
    /// Only those with a name like this: `*` stands for any characters, `?` for one, and nothing else is special.
    pub name: Option<String>,
    /// Only numbers below this one: a list begins with the newest.
    pub before: Option<TaskId>,
    /// At most so many.
    pub limit: usize,
}

/// A piece of stored output with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Counts the task's pieces from 0; where the first has a higher number, older ones were dropped.
    pub place: u64,
    /// The piece.
    pub entry: Entry,
}

impl Logged {
    /// Bytes of the piece.
    pub fn size(&self) -> u64 {
        self.entry.bytes.len() as u64
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes on the disk.
    pub disk: u64,
    /// How many blobs.
    pub blobs: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
}

/// A transactional store. Calls block; callers keep them off tokio's threads.
pub trait Store: Send + Sync {
    /// Takes the lease, where nobody else holds it.
    ///
    /// # Errors
    /// [`Error::Leased`] where somebody does.
    fn claim(&self, holder: &str, now: &Stamp, lasts: u64) -> Result<Lease, Error>;

    /// A number that no other store has.
    fn number(&self) -> Result<u64, Error>;

    /// When something was last stored; `None` where nothing ever was.
    fn stamp(&self) -> Result<Option<Stamp>, Error>;

    /// Makes all of a batch durable, and says what became of each change. Renews the lease, also where
    /// the batch is empty.
    ///
    /// # Errors
    /// [`Error::Lost`] where the lease has another holder; [`Error::Full`] where the disk is full. With
    /// any error nothing was changed.
    fn commit(&self, lease: &Lease, now: &Stamp, changes: &[Change])
    -> Result<Vec<Verdict>, Error>;

    /// A task.
    fn task(&self, id: TaskId) -> Result<Option<Row>, Error>;

    /// A task with its snapshot.
    fn load(&self, id: TaskId) -> Result<Option<(Row, Option<Frozen>)>, Error>;

    /// The task of this name.
    fn named(&self, name: &str) -> Result<Option<TaskId>, Error>;

    /// Tasks, the newest first.
    fn list(&self, filter: &Filter) -> Result<Vec<Row>, Error>;

    /// The tasks that are due after `after` and not later than `until`, the earliest first.
    fn due(&self, after: Option<Due>, until: u64, limit: usize) -> Result<Vec<Due>, Error>;

    /// Tasks that are due by the wall clock, among others, with numbers beyond `after`.
    fn walled(&self, after: TaskId, limit: usize) -> Result<Vec<TaskId>, Error>;

    /// How many tasks are due in each of `count` spans of `step` nanoseconds from `from` on.
    fn due_counts(&self, from: u64, step: u64, count: usize) -> Result<Vec<u64>, Error>;

    /// How many tasks there are of each state.
    fn counts(&self) -> Result<Vec<(TaskState, u64)>, Error>;

    /// The highest number that any task has or had.
    fn last_id(&self) -> Result<TaskId, Error>;

    /// A blob.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error>;

    /// Whether a blob is there.
    fn has_blob(&self, digest: &Digest) -> Result<bool, Error>;

    /// Removes blobs that no task refers to and that were put before `before`; gives how many.
    fn prune(&self, lease: &Lease, now: &Stamp, before: u64) -> Result<u64, Error>;

    /// A chunk.
    fn chunk(&self, pack: u64, number: u32) -> Result<Option<Vec<u8>>, Error>;

    /// The highest number that any pack has.
    fn last_pack(&self) -> Result<u64, Error>;

    /// Removes at most `most` chunks whose snapshot has gone, so that no transaction lasts long; says whether some
    /// are left.
    fn sweep(&self, lease: &Lease, now: &Stamp, most: usize) -> Result<bool, Error>;

    /// Tasks that are over since before `before`, the oldest first.
    fn finished(&self, before: u64, limit: usize) -> Result<Vec<(TaskId, u64)>, Error>;

    /// A task's output from a place on, up to `limit` bytes but at least one piece.
    fn output(&self, id: TaskId, from: u64, limit: u64) -> Result<Vec<Logged>, Error>;

    /// What is remembered of a move.
    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, Error>;

    /// What is remembered of all moves, but for those after which the task is ours.
    fn open_transfers(&self) -> Result<Vec<Transfer>, Error>;

    /// Gives the disk back some of the room that is not used any more, for about so long. Says whether
    /// there is more to give back.
    fn shrink(&self, patience: Duration) -> Result<bool, Error>;

    /// How much it holds.
    fn sizes(&self) -> Result<Sizes, Error>;
}
