//! Gives the disk back the pages of the database that are not used any more.

use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::open::pragma;

/// Unused pages that stay in the file for what comes next: so many, or this part of all pages.
const SPARE_PAGES: u64 = 256;
const SPARE_PART: u64 = 16;

/// Pages that are given back before the clock is looked at again.
const PAGES_AT_ONCE: u64 = 32;

/// Gives pages back for about this long, in one transaction; says whether there are more.
/// `to_shorten` is set while pages were given back and the file has not become shorter yet.
pub(super) fn shrink(
    writer: &mut Connection,
    to_shorten: &mut bool,
    patience: Duration,
) -> rusqlite::Result<bool> {
    let spare = SPARE_PAGES.max(pragma(writer, "page_count")? / SPARE_PART);
    shrink_to(writer, to_shorten, patience, spare)
}

/// The same, until this many unused pages are left.
pub(super) fn shrink_to(
    writer: &mut Connection,
    to_shorten: &mut bool,
    patience: Duration,
    spare: u64,
) -> rusqlite::Result<bool> {
    let mut free = pragma(writer, "freelist_count")?;
    if free > spare {
        let started = Instant::now();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        while free > spare && started.elapsed() < patience {
            let pages = PAGES_AT_ONCE.min(free - spare);
            transaction.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
            free = pragma(&transaction, "freelist_count")?;
        }
        transaction.commit()?;
        *to_shorten = true;
    }
    let more = free > spare;
    if *to_shorten && !more {
        // The file itself becomes shorter when all of the WAL is taken over.
        *to_shorten = !checkpoint(writer)?;
    }
    Ok(more)
}

/// Takes the WAL over into the database, as far as no reader needs it; says whether that was all.
pub(super) fn checkpoint(writer: &Connection) -> rusqlite::Result<bool> {
    writer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let [busy, pages, done]: [i64; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
        Ok(busy == 0 && pages == done)
    })
}
