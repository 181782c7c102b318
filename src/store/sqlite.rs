//! The store in one SQLite database.
//!
//! One connection writes, in WAL mode with `synchronous = FULL`: a batch is durable when `commit`
//! returns, also over a power failure. Readers have connections of their own and never wait for it.
//! A lock on a file beside the database keeps a second process out; the system drops it when its
//! holder dies, so that nobody has to wait for a lease to expire.

mod read;
mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    Change, Due, Error, Filter, Frozen, Lease, Logged, Row, Sizes, Stamp, Store, TaskId, TaskState,
    Transfer, Verdict,
};
use crate::model::{Digest, TransferId};

/// The store's format that this build writes, and the newest that it reads.
const FORMAT: u32 = 3;

/// Bytes of pages that a connection keeps in memory: the writer, and each reader.
const WRITER_CACHE: u32 = 32 << 20;
const READER_CACHE: u32 = 2 << 20;

/// The WAL is taken over into the database when it has so many pages of 4 KiB.
const CHECKPOINT: u32 = 4096;

/// How many idle readers are kept.
const READERS: usize = 8;

/// A store in one SQLite database.
pub struct Sqlite {
    path: PathBuf,
    /// Holds the lock; its text says who.
    lock: Mutex<File>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Row numbers of blobs, by digest.
    blobs: Mutex<HashMap<Digest, i64>>,
}

impl Sqlite {
    /// Opens the store in a directory, making both where they are not there.
    ///
    /// # Errors
    /// Where another process has it, the directory cannot be used, or the format is newer.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Directory {
            path: directory.to_path_buf(),
            source,
        };
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only to tell the user more.
                let _ = lock.read_to_string(&mut holder);
                return Err(Error::Leased {
                    path: directory.to_path_buf(),
                    holder: holder.trim().to_string(),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let path = directory.join("store.sqlite");
        let writer = Connection::open(&path)?;
        settings(&writer, WRITER_CACHE)?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        migrate(&writer, directory)?;
        Ok(Self {
            path,
            lock: Mutex::new(lock),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            blobs: Mutex::default(),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        held(&self.writer)
    }

    /// Lends a reading connection.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let idle = held(&self.readers).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let reader = Connection::open_with_flags(&self.path, flags)?;
                settings(&reader, READER_CACHE)?;
                reader
            }
        };
        let result = work(&reader)?;
        let mut readers = held(&self.readers);
        if readers.len() < READERS {
            readers.push(reader);
        }
        Ok(result)
    }
}

impl Store for Sqlite {
    fn claim(&self, holder: &str, now: &Stamp, lasts: u64) -> Result<Lease, Error> {
        {
            // Whoever held the lease before held the lock too, and has died.
            let mut lock = held(&self.lock);
            let noted = lock
                .set_len(0)
                .and_then(|()| lock.rewind())
                .and_then(|()| lock.write_all(holder.as_bytes()));
            if let Err(error) = noted {
                log::warn!("cannot note who has the store: {error}");
            }
        }
        write::claim(&mut self.writer(), holder, now, lasts)
    }

    fn number(&self) -> Result<u64, Error> {
        self.read(read::number)
    }

    fn stamp(&self) -> Result<Option<Stamp>, Error> {
        self.read(read::stamp)
    }

    fn commit(
        &self,
        lease: &Lease,
        now: &Stamp,
        changes: &[Change],
    ) -> Result<Vec<Verdict>, Error> {
        write::commit(
            &mut self.writer(),
            &mut held(&self.blobs),
            lease,
            now,
            changes,
        )
    }

    fn task(&self, id: TaskId) -> Result<Option<Row>, Error> {
        self.read(|reader| read::task(reader, id))
    }

    fn load(&self, id: TaskId) -> Result<Option<(Row, Option<Frozen>)>, Error> {
        self.read(|reader| read::load(reader, id))
    }

    fn named(&self, name: &str) -> Result<Option<TaskId>, Error> {
        self.read(|reader| read::named(reader, name))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Row>, Error> {
        self.read(|reader| read::list(reader, filter))
    }

    fn due(&self, after: Option<Due>, until: u64, limit: usize) -> Result<Vec<Due>, Error> {
        self.read(|reader| read::due(reader, after, until, limit))
    }

    fn walled(&self, after: TaskId, limit: usize) -> Result<Vec<TaskId>, Error> {
        self.read(|reader| read::walled(reader, after, limit))
    }

    fn due_counts(&self, from: u64, step: u64, count: usize) -> Result<Vec<u64>, Error> {
        self.read(|reader| read::due_counts(reader, from, step, count))
    }

    fn counts(&self) -> Result<Vec<(TaskState, u64)>, Error> {
        self.read(read::counts)
    }

    fn last_id(&self) -> Result<TaskId, Error> {
        self.read(read::last_id)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        self.read(|reader| read::blob(reader, digest))
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.read(|reader| read::has_blob(reader, digest))
    }

    fn prune(&self, lease: &Lease, now: &Stamp, before: u64) -> Result<u64, Error> {
        let removed = write::prune(&mut self.writer(), lease, now, before)?;
        held(&self.blobs).clear();
        Ok(removed)
    }

    fn finished(&self, before: u64, limit: usize) -> Result<Vec<(TaskId, u64)>, Error> {
        self.read(|reader| read::finished(reader, before, limit))
    }

    fn output(&self, id: TaskId, from: u64, limit: u64) -> Result<Vec<Logged>, Error> {
        self.read(|reader| read::output(reader, id, from, limit))
    }

    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, Error> {
        self.read(|reader| read::transfer(reader, id))
    }

    fn open_transfers(&self) -> Result<Vec<Transfer>, Error> {
        self.read(read::open_transfers)
    }

    fn sizes(&self) -> Result<Sizes, Error> {
        let (blobs, blob_bytes) = self.read(read::blob_sizes)?;
        let size = |suffix: &str| {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        Ok(Sizes {
            disk: size("") + size("-wal"),
            blobs,
            blob_bytes,
        })
    }
}

fn settings(connection: &Connection, cache: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    // Before the first table is made; later it changes nothing.
    connection.pragma_update(None, "page_size", 4096)?;
    if !connection.is_readonly("main")? {
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    // Negative is KiB.
    connection.pragma_update(None, "cache_size", -i64::from(cache / 1024))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Makes the tables, or says that the store is of another time.
fn migrate(connection: &Connection, directory: &Path) -> Result<(), Error> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > FORMAT {
        return Err(Error::Version {
            path: directory.to_path_buf(),
            found,
            known: FORMAT,
        });
    }
    let steps = [
        include_str!("sqlite/schema.sql"),
        include_str!("sqlite/format2.sql"),
        include_str!("sqlite/format3.sql"),
    ];
    for step in steps.iter().skip(found as usize) {
        connection.execute_batch(&format!("BEGIN IMMEDIATE;{step}COMMIT;"))?;
    }
    Ok(())
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SQLite's numbers are signed. Times fit until the year 2262.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn state_number(state: TaskState) -> i64 {
    TaskState::ALL
        .iter()
        .position(|known| *known == state)
        .map_or(0, |place| place as i64)
}

fn state_of(number: i64) -> rusqlite::Result<TaskState> {
    let place = usize::try_from(number).ok();
    place
        .and_then(|place| TaskState::ALL.get(place).copied())
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error.to_string()),
            // What a write to a full disk or over a quota can also come out as.
            Some(ErrorCode::SystemIoFailure) => Self::Full(error.to_string()),
            _ => Self::Database(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
