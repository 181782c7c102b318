//! What the driver does when the wall clock has been set: whatever is due by it is judged anew.

use tokio::sync::oneshot;

use super::super::commands::{Ask, Command};
use super::super::schedule::is_misplaced;
use super::super::shared::Shared;
use super::{Driver, Message};
use crate::model::error::Error;
use crate::model::{TaskId, When};
use crate::store::{Change, Due};

/// Rows that are looked at in one go.
const PAGE: usize = 1000;

impl Driver {
    /// Compares the two clocks. The driver comes here with each message, and once a second at least.
    pub(super) fn look_at_clock(&mut self) {
        if self.closing.is_some() {
            return;
        }
        let Some(by) = self.shared.time.look() else {
            return;
        };
        log::info!(
            "the wall clock has been set by {:.3} s; what waits for a time of day is judged anew",
            by as f64 * 1e-9
        );
        self.steps += 1;
        self.shifting = true;
        // The store's index has other times now: it is read once more, from the beginning.
        self.queue.forget_dues();
        self.cursor = None;
        for (id, at) in &self.knocked {
            self.queue.insist(Due { at: *at, id: *id });
        }
        let outbox = self.outbox.clone();
        self.shared
            .journal
            .keep(vec![Change::Shift], drop, move |result| {
                if let Err(error) = result {
                    log::error!("cannot store that the wall clock has been set: {error}");
                }
                // The driver has gone.
                let _ = outbox.send(Message::Shifted);
            });
        self.judge_schedules();
    }

    /// Looks through all tasks that wait for a time of the wall clock, for those that a schedule now has
    /// start at another time.
    pub(super) fn judge_schedules(&self) {
        let (shared, outbox) = (self.shared.clone(), self.outbox.clone());
        tokio::task::spawn_blocking(move || {
            let judge = |id| {
                // The driver has gone.
                let _ = outbox.send(Message::Command(Command::to_judge(id)));
            };
            if let Err(error) = misplaced(&shared, judge) {
                log::error!("cannot judge schedules by the time of day: {error}");
            }
        });
    }

    /// A time that has just been stored may have been computed before the clock was set, or elsewhere.
    pub(super) fn judge_again(&self, id: TaskId, due: When) {
        if due.wall.is_some() {
            // The driver has gone.
            let _ = self.outbox.send(Message::Command(Command::to_judge(id)));
        }
    }
}

impl Command {
    fn to_judge(id: TaskId) -> Self {
        Self {
            id,
            ask: Ask::Reschedule,
            // Nobody waits for the answer.
            reply: oneshot::channel().0,
        }
    }
}

fn misplaced(shared: &Shared, mut judge: impl FnMut(TaskId)) -> Result<(), Error> {
    let mut after = TaskId(0);
    loop {
        let page = shared.store.walled(after, PAGE)?;
        for id in &page {
            // What cannot be read is told where the task is started.
            if let Some(row) = shared.store.task(*id)?
                && is_misplaced(&row, &shared.time).unwrap_or(false)
            {
                judge(*id);
            }
        }
        match page.last() {
            Some(last) => after = *last,
            None => return Ok(()),
        }
    }
}
