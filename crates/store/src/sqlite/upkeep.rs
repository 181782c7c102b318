//! What keeps the database's file small and whole: giving room back, looking for damage, copying.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::{FORMAT, NAME, Sqlite, WRITER_CACHE, held, migrate, reader, settings};
use crate::Error;

/// Pages that are not used stay in the file, for what comes next: so many, or this part of all.
const SPARE: u64 = 256;
const SPARE_PART: u64 = 16;

/// Pages that are given back at once, before the clock is looked at.
const PAGES: u64 = 32;

/// At most so many findings of SQLite's are told.
const FINDINGS: u32 = 100;

/// Between two steps beside a daemon, so that its changes are not held up.
const PAUSE: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(10);

/// `PRAGMA auto_vacuum` of a file that gives pages back.
const INCREMENTAL: u64 = 2;

/// Gives pages back for about so long, in one transaction; says whether there are more. `cut` says that
/// some were given back which the file has still.
pub(super) fn shrink(
    writer: &mut Connection,
    cut: &mut bool,
    patience: Duration,
) -> rusqlite::Result<bool> {
    let spare = SPARE.max(number(writer, "page_count")? / SPARE_PART);
    shrink_to(writer, cut, patience, spare)
}

fn shrink_to(
    writer: &mut Connection,
    cut: &mut bool,
    patience: Duration,
    spare: u64,
) -> rusqlite::Result<bool> {
    let mut free = number(writer, "freelist_count")?;
    // A file of an earlier version cannot, before it has been compacted.
    let can = free > spare && number(writer, "auto_vacuum")? == INCREMENTAL;
    if can {
        let started = Instant::now();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        while free > spare && started.elapsed() < patience {
            let pages = PAGES.min(free - spare);
            transaction.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
            free = number(&transaction, "freelist_count")?;
        }
        transaction.commit()?;
        *cut = true;
    }
    let more = can && free > spare;
    if *cut && !more {
        // The file itself gets shorter when all of the WAL is taken over.
        *cut = !checkpoint(writer)?;
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

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    let number: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    Ok(super::unsigned(number))
}

/// How many bytes a file had before it was compacted, and has now.
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// Now.
    pub after: u64,
}

impl Sqlite {
    /// Opens the store in a directory to read it as it is now, also beside a daemon that has it.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn look(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(NAME);
        present(directory, &path)?;
        let open = || {
            let writer = reader(&path, false)?;
            known(&writer, directory)?;
            Ok((writer, reader(&path, true)?))
        };
        let (writer, first) = open().map_err(|error: Error| error.of(directory))?;
        Ok(Self {
            directory: directory.to_path_buf(),
            path,
            lock: Default::default(),
            writer: writer.into(),
            readers: vec![first].into(),
            blobs: Default::default(),
            cut: false.into(),
            still: true,
        })
    }

    /// What SQLite finds wrong in the file; nothing where it is whole.
    ///
    /// # Errors
    /// Where it cannot be read at all.
    pub fn check(&self) -> Result<Vec<String>, Error> {
        let found = self.read(|reader| {
            let query = format!("PRAGMA integrity_check({FINDINGS})");
            let mut statement = reader.prepare(&query)?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            let mut found: Vec<String> = lines.collect::<Result<_, _>>()?;
            found.retain(|line| line != "ok");
            let mut statement = reader.prepare("PRAGMA foreign_key_check")?;
            let lines = statement.query_map([], |row| {
                let (table, row): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
                let row = row.unwrap_or_default();
                Ok(format!(
                    "row {row} of {table} refers to a blob that is not there"
                ))
            })?;
            for line in lines.take(FINDINGS as usize) {
                found.push(line?);
            }
            Ok(found)
        })?;
        // SQLite puts several into one text.
        let lines = found.iter().flat_map(|text| text.lines());
        let lines = lines.filter(|line| !line.starts_with("*** in database"));
        Ok(lines.map(String::from).collect())
    }

    /// Writes a copy of the store as it is now into another directory, also beside a daemon. The copy is
    /// on the disk when this returns.
    ///
    /// # Errors
    /// Where the store is damaged, or the copy cannot be written; nothing is left of it then.
    pub fn copy_to(&self, directory: &Path) -> Result<(), Error> {
        let failed = |source| Error::Directory {
            path: directory.to_path_buf(),
            source,
        };
        let new = directory.join(".store-new");
        remove(&new).map_err(failed)?;
        // SQLite writes into an empty file, and would make one that others can read.
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(failed)?;
        let name = new.to_string_lossy().into_owned();
        let copied = held(&self.writer)
            .execute("VACUUM INTO ?1", [name])
            .map_err(|error| Error::from(error).of(&self.directory));
        let stored = copied.and_then(|_| {
            let renamed = File::open(&new)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&new, directory.join(NAME)))
                .and_then(|()| File::open(directory)?.sync_all());
            renamed.map_err(failed)
        });
        stored.inspect_err(|_| {
            // What is wrong has been said.
            let _ = remove(&new);
        })
    }

    /// Gives all room back that is not used: beside a daemon in short steps, else by writing the file
    /// anew, for which the disk must have room.
    ///
    /// # Errors
    /// Where the store is damaged, or there is no room.
    pub fn compact(directory: &Path) -> Result<Compacted, Error> {
        let path = directory.join(NAME);
        present(directory, &path)?;
        let size = || fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let before = size();
        let lock = match Self::lock(directory) {
            Ok(lock) => Some(lock),
            Err(Error::Leased { .. }) => None,
            Err(error) => return Err(error),
        };
        let work = || {
            let mut writer = Connection::open(&path)?;
            known(&writer, directory)?;
            settings(&writer, WRITER_CACHE)?;
            match &lock {
                Some(_) => {
                    migrate(&writer, directory)?;
                    writer.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
                    writer.execute_batch("VACUUM")?;
                    let row = |_: &rusqlite::Row<'_>| Ok(());
                    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], row)?;
                }
                None => beside(&mut writer)?,
            }
            Ok(())
        };
        work().map_err(|error: Error| error.of(directory))?;
        let after = size();
        Ok(Compacted { before, after })
    }
}

/// Gives room back while a daemon works on the store.
fn beside(writer: &mut Connection) -> Result<(), Error> {
    if number(writer, "auto_vacuum")? != INCREMENTAL {
        let text =
            "it was made by an earlier version, and can be compacted only while no daemon has it";
        return Err(Error::Unusable(text.into()));
    }
    let mut cut = true;
    // Tasks that go meanwhile leave room as well, which the daemon gives back.
    let most = number(writer, "page_count")?;
    for _ in 0..most.max(1) {
        let more = shrink_to(writer, &mut cut, STEP, 0)?;
        if !more && !cut {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn present(directory: &Path, path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(|source| Error::Directory {
        path: directory.to_path_buf(),
        source,
    })?;
    match found.len() {
        0 => Err(Error::Damaged {
            path: directory.to_path_buf(),
            reason: format!("{NAME} is empty"),
        }),
        _ => Ok(()),
    }
}

/// Refuses a store of a later version.
fn known(connection: &Connection, directory: &Path) -> Result<(), Error> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found > FORMAT {
        true => Err(Error::Version {
            path: directory.to_path_buf(),
            found,
            known: FORMAT,
        }),
        false => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
