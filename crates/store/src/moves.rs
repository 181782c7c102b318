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
    /// The task, by its ID in this store.
    pub task: TaskId,
    /// How far the move has come.
    pub phase: MovePhase,
    /// The fingerprint of the other daemon.
    pub peer: Digest,
    /// What else is known of the move, as the daemon encodes it.
    pub details: Vec<u8>,
}

/// How far a move has come: a commit in two phases, in which the source decides. The source has the
/// first three phases, the target has the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovePhase {
    /// Source: the task has been stopped, and may have been offered. The outcome is open.
    Preparing,
    /// Source: the task stays here. The target may have a copy, which it has to discard.
    Aborted,
    /// Source: the task is the target's, which may not know that yet.
    Committed,
    /// Target: a copy of the task is here. Only the source knows whether the task is ours.
    Prepared,
    /// Target: the task is ours. The source may still ask whether we know that.
    Accepted,
}

impl MovePhase {
    /// All phases, in the order of their numbers in a store.
    pub const ALL: [Self; 5] = [
        Self::Preparing,
        Self::Aborted,
        Self::Committed,
        Self::Prepared,
        Self::Accepted,
    ];
}
