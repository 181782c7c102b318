//! Tasks whose row in the store cannot be read. All others go on; a damaged one stays as it is in the store, is shown
//! with what is wrong with it and what to do, and can be removed.

use super::Error;
use super::spec::{Spec, Status, decode};
use crate::store::Row;

/// What a store has of a task. What of it cannot be read is a default.
pub(super) struct Stored {
    pub(super) spec: Spec,
    pub(super) status: Status,
    /// What is wrong with it, and what to do.
    pub(super) damage: Option<Error>,
}

impl Stored {
    pub(super) fn of(row: &Row) -> Self {
        let mut reason = row.damage.clone();
        let spec = decode(&row.spec).unwrap_or_else(|error| {
            reason.get_or_insert(format!(
                "what it was submitted with cannot be read: {error}"
            ));
            Spec::default()
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

/// What a store has of a task.
///
/// # Errors
/// Where it is damaged.
pub(super) fn read(row: &Row) -> Result<(Spec, Status), Error> {
    let stored = Stored::of(row);
    match stored.damage {
        None => Ok((stored.spec, stored.status)),
        Some(damage) => Err(damage),
    }
}
