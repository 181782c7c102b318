//! When a task that has a schedule starts next.

use super::Error as Refused;
use super::calendar::{Schedule, zone};
use super::spec::{Spec, Status, from_bytes};
use super::time::Time;
use crate::model::TaskState;
use crate::model::error::Error;
use crate::store::Row;

/// A task that starts so long after the time of its schedule is not started for that, in nanoseconds.
const FAR_AHEAD: u64 = 3 * 3_600_000_000_000;

/// A run begins. While the wall clock is far ahead of the time for which that is, it is for no time: the next
/// one is to be as if this had not been.
pub(super) fn begin_run(status: &mut Status, time: &Time) {
    let wall = time.wall();
    status.last = status
        .wall
        .filter(|at| wall.saturating_sub(*at) < FAR_AHEAD);
    status.begins = None;
}

/// When a task starts again that has ended.
pub(super) fn after_run(spec: &Spec, status: &mut Status, time: &Time) -> Option<u64> {
    match next(spec.every.as_deref()?, status, time) {
        Ok(next) => next,
        // It was submitted to a daemon that took it.
        Err(error) => {
            let told = format!("is not started again: {error}");
            status.error.get_or_insert(told);
            None
        }
    }
}

fn next(every: &str, status: &Status, time: &Time) -> Result<Option<u64>, Refused> {
    let schedule: Schedule = every.parse()?;
    let from = schedule.look_from(time.wall(), status.last);
    Ok(schedule.after(from.max(status.begins.unwrap_or(0)), zone()))
}

/// When its schedule has a task start that is not running; `None` where it has no schedule, or no time.
pub(super) fn scheduled(row: &Row, status: &Status, time: &Time) -> Result<Option<u64>, Error> {
    let sleeps = matches!(row.state, TaskState::Hibernated | TaskState::Paused);
    let between_runs = sleeps && status.wait.is_none();
    let spec: Spec = from_bytes(&row.spec)?;
    let (true, Some(every)) = (between_runs, spec.every) else {
        return Ok(None);
    };
    Ok(next(&every, status, time)?)
}

/// Whether its schedule has it start at another time than is stored. One that is due already stays so.
pub(super) fn is_misplaced(row: &Row, time: &Time) -> Result<bool, Error> {
    if row.state != TaskState::Hibernated {
        return Ok(false);
    }
    let status: Status = from_bytes(&row.status)?;
    let stored = status.wall.filter(|at| *at > time.wall());
    let next = scheduled(row, &status, time)?;
    Ok(stored.is_some() && next.is_some() && next != stored)
}
