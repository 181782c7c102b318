//! SQLite: WAL, `synchronous = FULL`, one row a task, a partial index of due times.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::candidate::{Candidate, Change, Result};

pub struct Sqlite(Connection);

impl Candidate for Sqlite {
    fn open(folder: &Path) -> Result<Self> {
        let connection = Connection::open(folder.join("store.sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768;
             PRAGMA wal_autocheckpoint = 4096;
             CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY, version INTEGER, due INTEGER,
               lines INTEGER, spec BLOB, snapshot BLOB);
             CREATE INDEX IF NOT EXISTS tasks_due ON tasks (due) WHERE due IS NOT NULL;
             CREATE TABLE IF NOT EXISTS output (task INTEGER, place INTEGER, bytes BLOB,
               PRIMARY KEY (task, place)) WITHOUT ROWID;",
        )?;
        Ok(Self(connection))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        let transaction = self.0.transaction()?;
        for change in changes {
            let (id, due) = (change.id as i64, change.due as i64);
            if change.expected == 0 {
                transaction
                    .prepare_cached("INSERT INTO tasks VALUES (?1, 1, ?2, 0, ?3, NULL)")?
                    .execute(params![id, due, change.spec])?;
                continue;
            }
            let lines: i64 = transaction
                .prepare_cached(
                    "UPDATE tasks SET version = version + 1, due = ?3, snapshot = ?4, lines = lines + 1
                     WHERE id = ?1 AND version = ?2 RETURNING lines",
                )?
                .query_row(params![id, change.expected as i64, due, change.snapshot], |row| row.get(0))?;
            transaction
                .prepare_cached("INSERT INTO output VALUES (?1, ?2, ?3)")?
                .execute(params![id, lines, change.line])?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn due(&mut self, until: u64, limit: usize) -> Result<Vec<(u64, u64, u64)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT due, id, version FROM tasks WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2",
        )?;
        let rows = statement.query_map(params![until as i64, limit as i64], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn snapshot(&mut self, id: u64) -> Result<Vec<u8>> {
        let mut statement = self.0.prepare_cached("SELECT snapshot FROM tasks WHERE id = ?1")?;
        Ok(statement.query_row([id as i64], |row| row.get(0))?)
    }

    fn count(&mut self) -> Result<u64> {
        let count: i64 = self.0.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?;
        Ok(count as u64)
    }
}
