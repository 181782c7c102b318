//! The store in one SQLite database.
//!
//! One connection writes, in WAL mode with `synchronous = FULL`: a batch is durable when `commit`
//! returns, also over a power failure. Readers have connections of their own and never wait for it.
//! A lock on a file beside the database keeps a second process out; the system drops it when its
//! holder dies, so that nobody has to wait for a lease to expire.

mod read;
mod sweep;
mod upkeep;
mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    Change, Due, Error, Filter, Frozen, Lease, Logged, Row, Sizes, Stamp, Store, TaskId, TaskState,
    Transfer, Verdict,
};
use crate::model::{Digest, TransferId};

/// The store's format that this build writes, and the newest that it reads.
const FORMAT: u32 = 4;

/// Bytes of pages that a connection keeps in memory: the writer, and each reader.
const WRITER_CACHE: u32 = 32 << 20;
const READER_CACHE: u32 = 2 << 20;

/// The WAL is taken over into the database when it has so many pages of 4 KiB, and a file of it that has
/// become larger than this is cut.
const CHECKPOINT: u32 = 4096;
const WAL_SIZE: u32 = 32 << 20;

/// The database's name in the data directory.
const NAME: &str = "store.sqlite";

/// How many idle readers are kept.
const READERS: usize = 8;

/// A store in one SQLite database.
pub struct Sqlite {
    directory: PathBuf,
    path: PathBuf,
    /// Holds the lock; its text says who. Nothing where the store is only read.
    lock: Mutex<Option<File>>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Row numbers of blobs, by digest.
    blobs: Mutex<HashMap<Digest, i64>>,
    /// What was given back is in the WAL, and not cut off the file yet.
    cut: Mutex<bool>,
    /// All reads see the store as it was at one moment.
    still: bool,
}

impl Sqlite {
    /// Opens the store in a directory, making both where they are not there.
    ///
    /// # Errors
    /// Where another process has it, the directory cannot be used, or the format is newer.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let mut lock = Self::lock(directory)?;
        let path = directory.join(NAME);
        let damaged = |reason: String| Error::Damaged {
            path: directory.to_path_buf(),
            reason,
        };
        // SQLite would make a new store of an empty file.
        let mut holder = String::new();
        let empty = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0);
        if empty && lock.read_to_string(&mut holder).is_ok_and(|read| read > 0) {
            return Err(damaged(format!(
                "{NAME} is empty (remove it to begin with an empty store)"
            )));
        }
        let open = || {
            let writer = Connection::open(&path)?;
            settings(&writer, WRITER_CACHE)?;
            writer.pragma_update(None, "synchronous", "FULL")?;
            writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
            writer.pragma_update(None, "journal_size_limit", WAL_SIZE)?;
            migrate(&writer, directory)?;
            Ok(writer)
        };
        let writer = open().map_err(|error: Error| error.of(directory))?;
        Ok(Self {
            directory: directory.to_path_buf(),
            path,
            lock: Mutex::new(Some(lock)),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            blobs: Mutex::default(),
            cut: Mutex::new(false),
            still: false,
        })
    }

    /// Takes the lock on the store in a directory, making both where they are not there.
    fn lock(directory: &Path) -> Result<File, Error> {
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
            Ok(()) => Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only to tell the user more.
                let _ = lock.read_to_string(&mut holder);
                Err(Error::Leased {
                    path: directory.to_path_buf(),
                    holder: holder.trim().to_string(),
                })
            }
            Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        held(&self.writer)
    }

    /// Changes the database. On a full disk once more after the WAL has been taken over, whose room is
    /// free for the change then.
    fn change<T>(
        &self,
        mut work: impl FnMut(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut writer = self.writer();
        let done = match work(&mut writer) {
            Err(Error::Full) if upkeep::checkpoint(&writer).is_ok_and(|all| all) => {
                work(&mut writer)
            }
            done => done,
        };
        done.map_err(|error| error.of(&self.directory))
    }

    /// Lends a reading connection.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let idle = held(&self.readers).pop();
        let failed = |error| Error::from(error).of(&self.directory);
        let reader = match idle {
            Some(reader) => reader,
            None => reader(&self.path, self.still).map_err(failed)?,
        };
        let result = work(&reader).map_err(failed)?;
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
            let noted = lock.as_mut().map_or(Ok(()), |lock| {
                lock.set_len(0)?;
                lock.rewind()?;
                lock.write_all(holder.as_bytes())
            });
            if let Err(error) = noted {
                log::warn!("cannot note who has the store: {error}");
            }
        }
        self.change(|writer| write::claim(writer, holder, now, lasts))
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
        let mut blobs = held(&self.blobs);
        self.change(|writer| write::commit(writer, &mut blobs, lease, now, changes))
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
        let removed = self.change(|writer| write::prune(writer, lease, now, before))?;
        held(&self.blobs).clear();
        Ok(removed)
    }

    fn chunk(&self, pack: u64, number: u32) -> Result<Option<Vec<u8>>, Error> {
        self.read(|reader| read::chunk(reader, pack, number))
    }

    fn last_pack(&self) -> Result<u64, Error> {
        self.read(read::last_pack)
    }

    fn sweep(&self, lease: &Lease, now: &Stamp, most: usize) -> Result<bool, Error> {
        sweep::sweep(&mut self.writer(), lease, now, most)
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

    fn shrink(&self, patience: Duration) -> Result<bool, Error> {
        self.change(|writer| Ok(upkeep::shrink(writer, &mut held(&self.cut), patience)?))
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

impl Drop for Sqlite {
    fn drop(&mut self) {
        // What is in the WAL would be taken over at the next start as well.
        let _ = upkeep::checkpoint(&self.writer());
    }
}

/// A connection that reads; with `still`, always the store as it is now.
fn reader(path: &Path, still: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    settings(&reader, READER_CACHE)?;
    if still {
        reader.execute_batch("BEGIN")?;
    }
    Ok(reader)
}

fn settings(connection: &Connection, cache: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    // The WAL and its index stay when the last connection closes: on a full disk there would be no room to
    // make them again, and nothing could be read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Both before the first table is made; later they change nothing.
    connection.pragma_update(None, "page_size", 4096)?;
    if !connection.is_readonly("main")? {
        // It would write to one that has tables, which a full disk does not allow.
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        if pages == 0 {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
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
        include_str!("sqlite/format4.sql"),
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

/// The row number of a chunk.
fn chunk_id(pack: u64, number: u32) -> i64 {
    signed(
        pack.saturating_mul(1 << 20)
            .saturating_add(u64::from(number)),
    )
}

fn state_number(state: TaskState) -> i64 {
    TaskState::ALL
        .iter()
        .position(|known| *known == state)
        .map_or(0, |place| place as i64)
}

fn known_state(number: i64) -> Option<TaskState> {
    let place = usize::try_from(number).ok()?;
    TaskState::ALL.get(place).copied()
}

impl Error {
    /// Says which store it is about.
    fn of(self, directory: &Path) -> Self {
        match self {
            Self::Damaged { reason, .. } => Self::Damaged {
                path: directory.to_path_buf(),
                reason,
            },
            error => error,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // What a write over a quota comes out as, too.
            Some(ErrorCode::SystemIoFailure) => Self::Disk(reason),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path: PathBuf::new(),
                reason,
            },
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationInterrupted,
            ) => Self::Unusable(reason),
            _ => Self::Database(reason),
        }
    }
}

#[cfg(test)]
mod tests;
