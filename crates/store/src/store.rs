//! The trait that every store implements, with the lease under which a store is changed.

use std::time::Duration;

use crate::accounts::Accounts;
use crate::change::{Change, Verdict};
use crate::error::Error;
use crate::model::clock::Mark;
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId, Timestamp};
use crate::moves::MoveRecord;
use crate::task::{StoredPiece, StoredSnapshot, TaskRow};

/// The right to change a store, which one daemon has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Rises with every holder.
    pub epoch: u64,
    /// How long the lease lasts after the last batch.
    pub lasts: Duration,
}

/// What the clocks showed when something was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The steady clock, which nobody sets. It begins as the wall clock when the store is made.
    pub now: MonotonicTime,
    /// How far the wall clock is ahead of the steady clock, in nanoseconds. What is due by the wall
    /// clock is due this much earlier by the steady clock.
    pub ahead: i64,
    /// The wall clock.
    pub realtime: Timestamp,
    /// How long the machine has been running.
    pub machine: Option<Mark>,
}

/// A task that is to go on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When, by the steady clock.
    pub at: MonotonicTime,
    /// Which task.
    pub id: TaskId,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only tasks in one of these states; an empty list is all states.
    pub states: Vec<TaskState>,
    /// Only tasks with a name like this: `*` stands for any characters and `?` for one.
    pub name: Option<String>,
    /// Only tasks with lower IDs than this: a list begins with the newest.
    pub before: Option<TaskId>,
    /// At most this many tasks.
    pub limit: usize,
    /// The list ends with the task at which the specs in it have this many bytes; `None` is without
    /// this bound. A spec may have 2 MiB.
    pub spec_bytes: Option<usize>,
    /// Only tasks of this tenant; `None` is all.
    pub tenant: Option<TenantId>,
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
pub trait Store: Accounts {
    /// Takes the lease for this daemon alone, where nobody else holds it.
    ///
    /// # Errors
    /// [`Error::Leased`] if somebody does.
    fn claim(&self, holder: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error>;

    /// A number that no other store has.
    fn number(&self) -> Result<u64, Error>;

    /// When something was last stored; `None` where nothing ever was.
    fn stamp(&self) -> Result<Option<Stamp>, Error>;

    /// Makes all of a batch durable, and says what became of each change. Renews the lease, also
    /// where the batch is empty.
    ///
    /// # Errors
    /// [`Error::Lost`] if the lease has another holder; [`Error::Full`] if the disk is full.
    /// With any error but [`Error::InDoubt`] nothing was changed. After that one, [`settle`]
    /// tells once what became of the batch, if it is asked before the next one is committed.
    ///
    /// [`settle`]: Self::settle
    fn commit(&self, lease: &Lease, now: &Stamp, changes: &[Change])
    -> Result<Vec<Verdict>, Error>;

    /// What became of the last batch after [`Error::InDoubt`]: its verdicts, or `None` where it was
    /// not done and never will be.
    ///
    /// # Errors
    /// An error that passes if nobody knows yet.
    fn settle(&self, _lease: &Lease) -> Result<Option<Vec<Verdict>>, Error> {
        Ok(None)
    }

    /// A task.
    fn task(&self, id: TaskId) -> Result<Option<TaskRow>, Error>;

    /// A task with its snapshot.
    fn load(&self, id: TaskId) -> Result<Option<(TaskRow, Option<StoredSnapshot>)>, Error>;

    /// The task of this name among a tenant's.
    fn named(&self, tenant: TenantId, name: &str) -> Result<Option<TaskId>, Error>;

    /// Tasks, the newest first.
    fn list(&self, filter: &Filter) -> Result<Vec<TaskRow>, Error>;

    /// The tasks that are due after `after` and not later than `until`, the earliest first. Tasks that
    /// a node has (see [`Nodes`](crate::Nodes)) may be left out.
    fn due(
        &self,
        after: Option<Due>,
        until: MonotonicTime,
        limit: usize,
    ) -> Result<Vec<Due>, Error>;

    /// Tasks that are due by the wall clock, perhaps among other times, with IDs beyond
    /// `after`.
    fn walled(&self, after: TaskId, limit: usize) -> Result<Vec<TaskId>, Error>;

    /// How many tasks are due in each of `count` spans, one after another, from `from` on. Tasks that
    /// a node has may be left out. With a tenant, only its tasks count.
    fn due_counts(
        &self,
        tenant: Option<TenantId>,
        from: MonotonicTime,
        span: Duration,
        count: usize,
    ) -> Result<Vec<u64>, Error>;

    /// How many tasks there are of each state, of all tenants or of one.
    fn counts(&self, tenant: Option<TenantId>) -> Result<Vec<(TaskState, u64)>, Error>;

    /// The highest ID that any task has or had.
    fn last_id(&self) -> Result<TaskId, Error>;

    /// A blob.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error>;

    /// Whether a blob is there.
    fn has_blob(&self, digest: &Digest) -> Result<bool, Error>;

    /// Removes blobs that no task refers to and that were put before `before`; returns how many.
    fn prune(&self, lease: &Lease, now: &Stamp, before: MonotonicTime) -> Result<u64, Error>;

    /// A chunk.
    fn chunk(&self, pack: u64, number: u32) -> Result<Option<Vec<u8>>, Error>;

    /// The highest number that any pack has.
    fn last_pack(&self) -> Result<u64, Error>;

    /// Removes at most `most` chunks whose snapshot was removed, so that no transaction lasts long;
    /// says whether some are left.
    fn sweep(&self, lease: &Lease, now: &Stamp, most: usize) -> Result<bool, Error>;

    /// Tasks that were over before `before`, the oldest first, with their versions.
    fn finished(&self, before: MonotonicTime, limit: usize) -> Result<Vec<(TaskId, u64)>, Error>;

    /// A task's output from piece number `first_piece` on: as many whole pieces as `max_bytes`
    /// hold, but at least one if there is one.
    fn output(
        &self,
        id: TaskId,
        first_piece: u64,
        max_bytes: u64,
    ) -> Result<Vec<StoredPiece>, Error>;

    /// What is remembered of a move.
    fn move_record(&self, id: MoveId) -> Result<Option<MoveRecord>, Error>;

    /// What is remembered of all moves, but for those after which the task is ours.
    fn open_moves(&self) -> Result<Vec<MoveRecord>, Error>;

    /// The same of one task's moves.
    fn open_moves_of(&self, task: TaskId) -> Result<Vec<MoveRecord>, Error>;

    /// Returns some free space to the file system, for about this long. Says
    /// whether there is more to give back.
    fn shrink(&self, patience: Duration) -> Result<bool, Error>;

    /// How much it holds.
    fn sizes(&self) -> Result<Sizes, Error>;
}
