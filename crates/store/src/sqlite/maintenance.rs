//! What an operator does with a store: look at it, check it, copy it, compact it. Beside a daemon
//! too.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::Sqlite;
use super::lock::DirectoryLock;
use super::open::{FILE_NAME, FORMAT, WRITER_CACHE_BYTES, check_format, configure, pragma, reader};
use super::shrink::shrink_to;
use crate::error::Error;

/// At most this many of SQLite's findings are told.
const MOST_FINDINGS: u32 = 100;

/// How long one step of compacting beside a daemon takes, and the pause after it, so that the
/// daemon's changes are not held up.
const STEP: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(20);

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
    /// If there is none, or it cannot be read.
    pub fn look(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE_NAME);
        present(directory, &path)?;
        let open = || {
            let writer = reader(&path, false)?;
            check_format(&writer, directory, FORMAT)?;
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
            held: Default::default(),
            to_shorten: false.into(),
            at_one_moment: true,
        })
    }

    /// What SQLite finds wrong in the file; nothing where it is whole.
    ///
    /// # Errors
    /// If it cannot be read at all.
    pub fn check(&self) -> Result<Vec<String>, Error> {
        let found = self.read(|reader| {
            let query = format!("PRAGMA integrity_check({MOST_FINDINGS})");
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
            for line in lines.take(MOST_FINDINGS as usize) {
                found.push(line?);
            }
            Ok(found)
        })?;
        // SQLite puts several into one text.
        let lines = found.iter().flat_map(|text| text.lines());
        let lines = lines.filter(|line| !line.starts_with("*** in database"));
        Ok(lines.map(String::from).collect())
    }

    /// Writes a copy of the store as it is now into another directory, also beside a daemon. The
    /// copy is on the disk when this returns.
    ///
    /// # Errors
    /// If the store is damaged, or the copy cannot be written; nothing is left of it then.
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
        let copied = self
            .writer
            .lock()
            .execute("VACUUM INTO ?1", [name])
            .map_err(|error| Error::from(error).of(&self.directory));
        let stored = copied.and_then(|_| {
            let renamed = File::open(&new)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&new, directory.join(FILE_NAME)))
                .and_then(|()| File::open(directory)?.sync_all());
            renamed.map_err(failed)
        });
        stored.inspect_err(|_| {
            // What is wrong has been said.
            let _ = remove(&new);
        })
    }

    /// Gives all room back that is not used: beside a daemon in short steps, else by writing the
    /// file anew, for which the disk must have room.
    ///
    /// # Errors
    /// If the store is damaged, or there is no room.
    pub fn compact(directory: &Path) -> Result<Compacted, Error> {
        let path = directory.join(FILE_NAME);
        present(directory, &path)?;
        let size = || fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let before = size();
        let lock = match DirectoryLock::take(directory) {
            Ok(lock) => Some(lock),
            Err(Error::Leased { .. }) => None,
            Err(error) => return Err(error),
        };
        let work = || {
            let mut writer = Connection::open(&path)?;
            check_format(&writer, directory, FORMAT)?;
            configure(&writer, WRITER_CACHE_BYTES)?;
            match &lock {
                Some(_) => {
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
    let mut to_shorten = true;
    // Tasks that are removed meanwhile leave room as well, which the daemon gives back.
    let most = pragma(writer, "page_count")?;
    for _ in 0..most.max(1) {
        let more = shrink_to(writer, &mut to_shorten, STEP, 0)?;
        if !more && !to_shorten {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Refuses a directory without a store, and an empty file.
fn present(directory: &Path, path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(|source| Error::Directory {
        path: directory.to_path_buf(),
        source,
    })?;
    match found.len() {
        0 => Err(Error::Damaged {
            path: directory.to_path_buf(),
            reason: format!("{FILE_NAME} is empty"),
        }),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
