//! When a task that has a schedule starts next.

use std::time::Duration;

use crate::model::TaskSpec;
use crate::model::error::Error;
use crate::model::spec::CronExpression;
use crate::model::{TaskState, Timestamp};
use crate::store::TaskRow;
use crate::stored::encoding::from_bytes;
use crate::stored::status::Status;
use crate::time::calendar::{Calendar, zone};
use crate::time::clocks::Time;

/// A task that starts so long after a time of its schedule is not started for that time.
const TOO_LATE: Duration = Duration::from_secs(3 * 3600);

/// Notes that a run begins. If the wall clock is far ahead of the time that the run is for, the run
/// is for no time of the schedule, and the next start is computed as if it had not been.
pub(crate) fn begin_run(status: &mut Status, time: &Time) {
    let wall = time.wall();
    status.last = status
        .wall
        .filter(|at| wall.saturating_duration_since(*at) < TOO_LATE);
    status.begins = None;
}

/// When a task that has ended starts again by its schedule.
pub(crate) fn after_run(spec: &TaskSpec, status: &Status, time: &Time) -> Option<Timestamp> {
    next(spec.schedule.every.as_ref()?, status, time)
}

fn next(every: &CronExpression, status: &Status, time: &Time) -> Option<Timestamp> {
    let calendar = Calendar::from(every);
    let from = calendar.look_from(time.wall(), status.last);
    calendar.after(from.max(status.begins.unwrap_or_default()), zone())
}

/// When the schedule starts a task that is not running; `None` where it has no schedule, or where
/// that has no time left.
pub(crate) fn scheduled(
    row: &TaskRow,
    status: &Status,
    time: &Time,
) -> Result<Option<Timestamp>, Error> {
    let sleeps = matches!(row.state, TaskState::Hibernated | TaskState::Paused);
    let between_runs = sleeps && status.wait.is_none();
    let spec: TaskSpec = from_bytes(&row.spec)?;
    let (true, Some(every)) = (between_runs, spec.schedule.every) else {
        return Ok(None);
    };
    Ok(next(&every, status, time))
}

/// Whether the schedule starts a task at another time than is stored. A task that is due already
/// stays due.
pub(crate) fn is_misplaced(row: &TaskRow, time: &Time) -> Result<bool, Error> {
    if row.state != TaskState::Hibernated {
        return Ok(false);
    }
    let status: Status = from_bytes(&row.status)?;
    let stored = status.wall.filter(|at| *at > time.wall());
    let next = scheduled(row, &status, time)?;
    Ok(stored.is_some() && next.is_some() && next != stored)
}
