//! Tasks whose row in the store cannot be read. All others go on. A damaged task stays as it is in
//! the store, is shown with what is wrong with it and what to do, and can be removed.

use super::encoding::decode;
use super::status::Status;
use crate::error::Error;
use crate::model::TaskSpec;
use crate::store::TaskRow;

/// What a store has of a task. What of it cannot be read is a default.
pub(crate) struct Stored {
    pub(crate) spec: TaskSpec,
    pub(crate) status: Status,
    /// What is wrong with it, and what to do.
    pub(crate) damage: Option<Error>,
}

impl Stored {
    /// Reads a row; what cannot be read is noted.
    pub(crate) fn of(row: &TaskRow) -> Self {
        let mut reason = row.damage.clone();
        let spec = decode(&row.spec).unwrap_or_else(|error| {
            reason.get_or_insert(format!(
                "what it was submitted with cannot be read: {error}"
            ));
            TaskSpec::default()
        });
        let status = decode(&row.status).unwrap_or_else(|error| {
            reason.get_or_insert(format!("its status cannot be read: {error}"));
            Status::default()
        });
        let id = row.id;
        Self {
            spec,
            status,
            damage: reason.map(|reason| Error::DamagedTask { id, reason }),
        }
    }
}

/// Reads a row.
///
/// # Errors
/// If it is damaged.
pub(crate) fn read(row: &TaskRow) -> Result<(TaskSpec, Status), Error> {
    let stored = Stored::of(row);
    match stored.damage {
        None => Ok((stored.spec, stored.status)),
        Some(damage) => Err(damage),
    }
}
