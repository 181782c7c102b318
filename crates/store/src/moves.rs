//! What a store remembers of tasks that move to or from another store.

use crate::model::{Digest, MoveId, TaskId};

/// A change of what is remembered of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// The move is remembered as this.
    Put(MoveRecord),
    /// The move is forgotten.
    Forget(MoveId),
}

/// What is remembered of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveRecord {
    /// Both daemons know the move by this.
    pub id: MoveId,
    /// The task, by its number in this store.
    pub task: TaskId,
    /// How far the move has come.
    pub phase: MovePhase,
    /// The fingerprint of the other daemon.
    pub peer: Digest,
    /// What else is known of the move, as the daemon encodes it.
    pub note: Vec<u8>,
}

/// How far a move has come. The source has the first three, the target has the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovePhase {
    /// Source: the task has been stopped, and may have been offered.
    Giving,
    /// Source: the task stays here; the target may hold a copy, and has to be told.
    Returned,
    /// Source: the task is the target's, which may have to be told.
    Given,
    /// Target: a copy of the task is here, and is not ours yet.
    Held,
    /// Target: the task is ours; the source may ask whether we know that.
    Taken,
}

impl MovePhase {
    /// All phases, in the order of their numbers in a store.
    pub const ALL: [Self; 5] = [
        Self::Giving,
        Self::Returned,
        Self::Given,
        Self::Held,
        Self::Taken,
    ];
}
