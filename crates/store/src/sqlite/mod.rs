//! The store in one SQLite database.
//!
//! One connection writes, in WAL mode with `synchronous = FULL`: a batch is durable when `commit`
//! returns, also over a power failure. Readers have connections of their own and never wait for it.
//! A lock on a file beside the database keeps a second process out; the system drops it when its
//! holder dies, so that nobody has to wait for a lease to expire.

mod accounts;
mod encoding;
mod held;
mod lease;
mod lock;
mod maintenance;
mod nodes;
mod open;
mod read;
mod shrink;
mod sweep;
mod write;

use std::collections::HashMap;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode};

use self::held::Held;
use self::lock::DirectoryLock;
use self::open::{FILE_NAME, create_or_check, reader};
use crate::change::{Change, Verdict};
use crate::error::Error;
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId};
use crate::moves::MoveRecord;
use crate::store::{Due, Filter, Lease, Sizes, Stamp, Store};
use crate::task::{StoredPiece, StoredSnapshot, TaskRow};

pub use maintenance::Compacted;

/// SQLite takes the WAL over into the database when it has this many pages of 4 KiB.
const CHECKPOINT_PAGES: u32 = 4096;

/// A file of the WAL that has become larger than this is cut.
const LARGEST_WAL_BYTES: u32 = 32 << 20;

/// How many idle readers are kept.
const IDLE_READERS: usize = 8;

/// A store in one SQLite database.
pub struct Sqlite {
    directory: PathBuf,
    path: PathBuf,
    /// The file whose lock keeps other processes out; its text says who has the store. `None` where
    /// the store is only read.
    lock: Mutex<Option<DirectoryLock>>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Row numbers of blobs, by digest.
    blobs: Mutex<HashMap<Digest, i64>>,
    /// The tasks that the node has.
    held: Mutex<Held>,
    /// Room was given back, and the file itself has not been shortened yet.
    to_shorten: Mutex<bool>,
    /// All reads see the store as it was at one moment.
    at_one_moment: bool,
}

impl Sqlite {
    /// Opens the store in a directory, making both where they are not there.
    ///
    /// # Errors
    /// If another process has it, the directory cannot be used, or the store has another format.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let mut lock = DirectoryLock::take(directory)?;
        let path = directory.join(FILE_NAME);
        let damaged = |reason: String| Error::Damaged {
            path: directory.to_path_buf(),
            reason,
        };
        // SQLite would make a new store of an empty file.
        let mut holder = String::new();
        let empty = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0);
        if empty && lock.read_to_string(&mut holder).is_ok_and(|read| read > 0) {
            return Err(damaged(format!(
                "{FILE_NAME} is empty (remove it to begin with an empty store)"
            )));
        }
        let open = || {
            let writer = Connection::open(&path)?;
            create_or_check(&writer, directory)?;
            writer.pragma_update(None, "synchronous", "FULL")?;
            writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            writer.pragma_update(None, "journal_size_limit", LARGEST_WAL_BYTES)?;
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
            held: Mutex::default(),
            to_shorten: Mutex::new(false),
            at_one_moment: false,
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock()
    }

    /// Changes the database. On a full disk the change is tried once more after the WAL has been
    /// taken over into the database, since the change can have the WAL's room then.
    fn change<T>(
        &self,
        mut work: impl FnMut(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut writer = self.writer();
        let done = match work(&mut writer) {
            Err(Error::Full) if shrink::checkpoint(&writer).is_ok_and(|all| all) => {
                work(&mut writer)
            }
            done => done,
        };
        done.map_err(|error| error.of(&self.directory))
    }

    /// Lends a reading connection.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let idle = self.readers.lock().pop();
        let failed = |error| Error::from(error).of(&self.directory);
        let reader = match idle {
            Some(reader) => reader,
            None => reader(&self.path, self.at_one_moment).map_err(failed)?,
        };
        let result = work(&reader).map_err(failed)?;
        let mut readers = self.readers.lock();
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        Ok(result)
    }
}

impl Store for Sqlite {
    fn claim(&self, holder: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error> {
        {
            // A daemon that held the lease before held the lock as well, and has died.
            let mut lock = self.lock.lock();
            let noted = lock.as_mut().map_or(Ok(()), |lock| {
                lock.set_len(0)?;
                lock.rewind()?;
                lock.write_all(holder.as_bytes())
            });
            if let Err(error) = noted {
                log::warn!("cannot note who has the store: {error}");
            }
        }
        let lease = self.change(|writer| lease::claim(writer, holder, now, lasts))?;
        self.held.lock().clear();
        Ok(lease)
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
        let mut blobs = self.blobs.lock();
        let verdicts =
            self.change(|writer| write::commit(writer, &mut blobs, lease, now, changes))?;
        self.held.lock().note(changes, &verdicts);
        Ok(verdicts)
    }

    fn task(&self, id: TaskId) -> Result<Option<TaskRow>, Error> {
        self.read(|reader| read::task(reader, id))
    }

    fn load(&self, id: TaskId) -> Result<Option<(TaskRow, Option<StoredSnapshot>)>, Error> {
        self.read(|reader| read::load(reader, id))
    }

    fn named(&self, tenant: TenantId, name: &str) -> Result<Option<TaskId>, Error> {
        self.read(|reader| read::named(reader, tenant, name))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<TaskRow>, Error> {
        self.read(|reader| read::list(reader, filter))
    }

    fn due(
        &self,
        after: Option<Due>,
        until: MonotonicTime,
        limit: usize,
    ) -> Result<Vec<Due>, Error> {
        self.read(|reader| read::due(reader, after, until, limit))
    }

    fn walled(&self, after: TaskId, limit: usize) -> Result<Vec<TaskId>, Error> {
        self.read(|reader| read::walled(reader, after, limit))
    }

    fn due_counts(
        &self,
        tenant: Option<TenantId>,
        from: MonotonicTime,
        span: Duration,
        count: usize,
    ) -> Result<Vec<u64>, Error> {
        self.read(|reader| read::due_counts(reader, tenant, from, span, count))
    }

    fn counts(&self, tenant: Option<TenantId>) -> Result<Vec<(TaskState, u64)>, Error> {
        self.read(|reader| read::counts(reader, tenant))
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

    fn prune(&self, lease: &Lease, now: &Stamp, before: MonotonicTime) -> Result<u64, Error> {
        let removed = self.change(|writer| write::prune(writer, lease, now, before))?;
        self.blobs.lock().clear();
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

    fn finished(&self, before: MonotonicTime, limit: usize) -> Result<Vec<(TaskId, u64)>, Error> {
        self.read(|reader| read::finished(reader, before, limit))
    }

    fn output(
        &self,
        id: TaskId,
        first_piece: u64,
        max_bytes: u64,
    ) -> Result<Vec<StoredPiece>, Error> {
        self.read(|reader| read::output(reader, id, first_piece, max_bytes))
    }

    fn move_record(&self, id: MoveId) -> Result<Option<MoveRecord>, Error> {
        self.read(|reader| read::move_record(reader, id))
    }

    fn open_moves(&self) -> Result<Vec<MoveRecord>, Error> {
        self.read(read::open_moves)
    }

    fn open_moves_of(&self, task: TaskId) -> Result<Vec<MoveRecord>, Error> {
        self.read(|reader| read::open_moves_of(reader, task))
    }

    fn shrink(&self, patience: Duration) -> Result<bool, Error> {
        self.change(|writer| {
            Ok(shrink::shrink(
                writer,
                &mut self.to_shorten.lock(),
                patience,
            )?)
        })
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
        let _ = shrink::checkpoint(&self.writer());
    }
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
