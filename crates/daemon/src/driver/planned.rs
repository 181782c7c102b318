//! A change that a command or a step of a move leads to.

use crate::model::{TaskState, When};
use crate::store::Change;

/// A change of a task, with the state and the due time that follow.
pub(crate) struct PlannedChange {
    /// What is to be stored.
    pub(crate) change: Change,
    /// What is stored in the same transaction.
    pub(crate) with: Vec<Change>,
    /// The state that the task has then; `None` where it is removed.
    pub(crate) state: Option<TaskState>,
    /// When it is due then.
    pub(crate) due: When,
}
