//! Opening the database: settings of a connection, and which format a store has.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::Error;

/// What makes each format from the one before; the first from nothing.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("tenants.sql")];

/// The store's format, which this build writes and reads.
pub(super) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// The number by which a database says that it is a store: "dorm" in ASCII.
const APPLICATION_ID: u32 = 0x646f_726d;

/// The database's name in the data directory.
pub(super) const FILE_NAME: &str = "store.sqlite";

/// Bytes of pages that a connection keeps in memory: the writer, and each reader.
pub(super) const WRITER_CACHE_BYTES: u32 = 32 << 20;
const READER_CACHE_BYTES: u32 = 2 << 20;

/// A connection waits this long for another one's lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements that a connection keeps prepared.
const PREPARED_STATEMENTS: usize = 64;

/// Opens a connection that only reads. With `at_one_moment`, it sees the store as it is now,
/// always.
pub(super) fn reader(path: &Path, at_one_moment: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    configure(&reader, READER_CACHE_BYTES)?;
    if at_one_moment {
        reader.execute_batch("BEGIN")?;
    }
    Ok(reader)
}

/// Sets a connection up, and an empty database with it.
pub(super) fn configure(connection: &Connection, cache_bytes: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_TIMEOUT)?;
    // The WAL and its index stay when the last connection closes: on a full disk there would be no
    // room to make them again, and nothing could be read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Both before the first table is made; later they change nothing.
    connection.pragma_update(None, "page_size", 4096)?;
    if !connection.is_readonly("main")? {
        // It would write to one that has tables, which a full disk does not allow.
        if pragma(connection, "page_count")? == 0 {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    // Negative is KiB.
    connection.pragma_update(None, "cache_size", -i64::from(cache_bytes / 1024))?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    Ok(())
}

/// Sets up the connection that writes: makes the tables in an empty database or what is new in an
/// older one, and refuses one that is no store, or a later one, before anything is changed in it.
pub(super) fn create_or_check(connection: &Connection, directory: &Path) -> Result<(), Error> {
    connection.busy_timeout(LOCK_TIMEOUT)?;
    let query = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(query, [], |row| row.get(0))?;
    let found = match tables {
        0 => 0,
        _ => check_format(connection, directory, 1)?,
    };
    configure(connection, WRITER_CACHE_BYTES)?;
    if found < FORMAT {
        let new = MIGRATIONS[found as usize..].concat();
        connection.execute_batch(&format!("BEGIN IMMEDIATE;{new}COMMIT;"))?;
    }
    Ok(())
}

/// Refuses a database that is not a store of a format from `oldest` to this build's.
pub(super) fn check_format(
    connection: &Connection,
    directory: &Path,
    oldest: u32,
) -> Result<u32, Error> {
    let is_store = pragma(connection, "application_id")? == u64::from(APPLICATION_ID);
    let found = pragma(connection, "user_version")?;
    match u32::try_from(found) {
        Ok(format) if is_store && (oldest..=FORMAT).contains(&format) => Ok(format),
        _ => Err(Error::Format {
            path: directory.to_path_buf(),
            found,
            is_store,
            known: FORMAT,
        }),
    }
}

/// A number that a pragma gives.
pub(super) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let number: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or(0))
}
