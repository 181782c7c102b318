//! Removes the chunks of snapshots that were removed, a few at a time.

use rusqlite::{Connection, OptionalExtension};

use super::lease::begin;
use crate::error::Error;
use crate::store::{Lease, Stamp};

pub(super) fn sweep(
    connection: &mut Connection,
    lease: &Lease,
    now: &Stamp,
    most: usize,
) -> Result<bool, Error> {
    let dead: Option<i64> = connection
        .prepare_cached("SELECT pack FROM dead LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(pack) = dead else { return Ok(false) };
    let transaction = begin(connection, lease, now)?;
    let removed = transaction
        .prepare_cached(
            "DELETE FROM chunks WHERE id IN
               (SELECT id FROM chunks WHERE id >= ?1 << 20 AND id < (?1 + 1) << 20 LIMIT ?2)",
        )?
        .execute([pack, most as i64])?;
    if removed < most {
        transaction
            .prepare_cached("DELETE FROM dead WHERE pack = ?1")?
            .execute([pack])?;
    }
    transaction.commit()?;
    Ok(true)
}
