//! The lease: who has it, and the transactions under it.

use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, Params, Transaction, TransactionBehavior, params_from_iter};

use crate::error::Error;
use crate::numbers::{signed, time_number, unsigned};
use crate::store::{Lease, Stamp};

/// The columns of the lease that say when it was renewed.
const STAMP: &str = "expires = ?1, now = ?2, ahead = ?3, realtime = ?4, boot = ?5, booted = ?6";

/// The values of the six parameters in [`STAMP`], and of a seventh, `last`.
fn stamped(now: &Stamp, lasts: Duration, last: Value) -> impl Params {
    let boot = now.machine.map(|mark| mark.of.cast_signed());
    params_from_iter([
        Value::from(time_number(now.now.saturating_add(lasts))),
        time_number(now.now).into(),
        now.ahead.into(),
        signed(now.realtime.as_nanos()).into(),
        boot.into(),
        now.machine.map(|mark| time_number(mark.at)).into(),
        last,
    ])
}

pub(super) fn claim(
    connection: &mut Connection,
    holder: &str,
    now: &Stamp,
    lasts: Duration,
) -> Result<Lease, Error> {
    // Without a transaction the statement would return its row before its change is stored.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let epoch: i64 = transaction
        .prepare_cached(&format!(
            "UPDATE lease SET epoch = epoch + 1, holder = ?7, {STAMP} RETURNING epoch"
        ))?
        .query_row(stamped(now, lasts, holder.to_string().into()), |row| {
            row.get(0)
        })?;
    // The last holder may have died before anything named the chunks of a snapshot that it stored.
    transaction.execute(
        "INSERT OR IGNORE INTO dead SELECT DISTINCT id >> 20 FROM chunks WHERE id >> 20 NOT IN
           (SELECT pack FROM tasks WHERE pack IS NOT NULL UNION
            SELECT pack FROM blobs WHERE pack IS NOT NULL)",
        [],
    )?;
    transaction.commit()?;
    Ok(Lease {
        epoch: unsigned(epoch),
        lasts,
    })
}

/// A transaction under the lease; it also renews it.
pub(super) fn begin<'a>(
    connection: &'a mut Connection,
    lease: &Lease,
    now: &Stamp,
) -> Result<Transaction<'a>, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let held = transaction
        .prepare_cached(&format!("UPDATE lease SET {STAMP} WHERE epoch = ?7"))?
        .execute(stamped(now, lease.lasts, signed(lease.epoch).into()))?;
    match held {
        0 => Err(Error::Lost),
        _ => Ok(transaction),
    }
}

/// Nobody has the lease any more; says whether it was this one.
pub(super) fn leave(connection: &Connection, lease: &Lease) -> Result<bool, Error> {
    let left = connection
        .prepare_cached("UPDATE lease SET epoch = epoch + 1, holder = '' WHERE epoch = ?1")?
        .execute([signed(lease.epoch)])?;
    Ok(left > 0)
}

/// So many numbers for new tasks, up to the one that is returned.
pub(super) fn take_ids(connection: &Connection, lease: &Lease, count: u64) -> Result<u64, Error> {
    let changed = connection
        .prepare_cached("UPDATE lease SET last_task = last_task + ?2 WHERE epoch = ?1")?
        .execute([signed(lease.epoch), signed(count)])?;
    if changed == 0 {
        return Err(Error::Lost);
    }
    let last: i64 = connection
        .prepare_cached("SELECT last_task FROM lease")?
        .query_row([], |row| row.get(0))?;
    Ok(unsigned(last))
}
