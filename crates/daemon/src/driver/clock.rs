//! What the driver does when the wall clock has been set: due times that depend on it are computed
//! anew.

use tokio::sync::oneshot;

use crate::driver::commands::{Ask, Command};
use crate::driver::state::DaemonState;
use crate::driver::{Driver, Message};
use crate::model::error::Error;
use crate::model::{TaskId, When};
use crate::store::{Change, Due};
use crate::time::schedule::is_misplaced;

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 1000;

impl Driver {
    /// Compares the two clocks. The driver does this with each message, and at least once a second.
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
        // The store's index has other times now, and is read again from its beginning.
        self.queue.forget_dues();
        self.cursor = None;
        if let Some(tasks) = &mut self.ownership {
            tasks.forget_claimed();
            let at = self.shared.time.now();
            // Those that are not due yet are noted anew when they have been looked at.
            for id in tasks.all() {
                self.queue.schedule_always(Due { at, id });
            }
        }
        for (id, at) in &self.knocked {
            self.queue.schedule_always(Due { at: *at, id: *id });
        }
        let outbox = self.outbox.clone();
        self.shared
            .journal
            .keep(vec![Change::Shift], drop, move |result| {
                if let Err(error) = result {
                    log::error!("cannot store that the wall clock has been set: {error}");
                }
                // An error means that the driver has ended.
                let _ = outbox.send(Message::Shifted);
            });
        self.judge_schedules();
    }

    /// Goes through all tasks that wait for a time of the wall clock, and looks for those whose
    /// schedule now starts them at another time.
    pub(super) fn judge_schedules(&self) {
        let (shared, outbox) = (self.shared.clone(), self.outbox.clone());
        self.outside.run(Box::new(move || {
            let judge = |id| {
                // An error means that the driver has ended.
                let _ = outbox.send(Message::Command(Command::to_judge(id)));
            };
            if let Err(error) = misplaced(&shared, judge) {
                log::error!("cannot judge schedules by the time of day: {error}");
            }
        }));
    }

    /// Looks at one task again: the time that was just stored may have been computed before the
    /// clock was set, or by another daemon.
    pub(super) fn judge_again(&self, id: TaskId, due: When) {
        if due.wall.is_some() {
            // An error means that the driver has ended.
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

fn misplaced(shared: &DaemonState, mut judge: impl FnMut(TaskId)) -> Result<(), Error> {
    let mut after = TaskId(0);
    loop {
        let page = shared.store.walled(after, ROWS_AT_ONCE)?;
        for id in &page {
            // A row that cannot be read is reported when the task is started.
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
