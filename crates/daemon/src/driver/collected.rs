//! What connections have come to, as data: what goes with their listener's next change, and what
//! goes with the one that is on its way to the disk.

use std::collections::HashMap;

use crate::driver::planned::PlannedChange;
use crate::model::error::Error;
use crate::model::{TaskId, TaskState, When};
use crate::store::{Change, OutputPiece, TaskRow, Update};
use crate::stored::damaged;
use crate::stored::encoding::to_bytes;
use crate::time::clocks::Time;

/// What is known of connections and not stored yet, by the task that has accepted them.
#[derive(Default)]
pub(super) struct Connections {
    /// What is stored with the listener's next change.
    pub(super) collected: HashMap<TaskId, Collected>,
    /// What goes with a change of the listener's that is on its way to the disk.
    pub(super) under_way: HashMap<TaskId, UnderWay>,
}

/// What connections have come to.
#[derive(Default)]
pub(super) struct Collected {
    /// What was written, the oldest first.
    pub(super) output: Vec<OutputPiece>,
    pub(super) over: Vec<Over>,
}

/// A task whose connection has ended, with its version in the store.
pub(super) type Over = (TaskId, u64);

/// What follows from a change of a listener's.
#[derive(Default)]
pub(super) struct UnderWay {
    /// New tasks, and when they are due.
    pub(super) added: Vec<(TaskId, When)>,
    pub(super) over: Vec<Over>,
}

impl Collected {
    /// The change of the listener's row, with those of its connections.
    pub(super) fn change(
        &self,
        row: &TaskRow,
        time: &Time,
        output_limit: u64,
    ) -> Result<PlannedChange, Error> {
        let (_, mut status) = damaged::read(row)?;
        let is_over = |id: &TaskId| self.over.iter().any(|(over, _)| over == id);
        status.connections.retain(|id| !is_over(id));
        // A listener that has a place again accepts the next connection.
        let due = match row.state {
            TaskState::Hibernated => When::steady(time.now()),
            _ => When::NEVER,
        };
        let update = Update {
            output: self.output.clone(),
            output_limit,
            ..Update::of(row, row.state, due, to_bytes(&status)?)
        };
        Ok(PlannedChange {
            change: Change::Update(update),
            with: self.over.iter().map(|over| removal(*over)).collect(),
            state: Some(row.state),
            due,
        })
    }
}

pub(super) fn removal((id, expected): Over) -> Change {
    Change::Remove { id, expected }
}
