//! Two processes that want one file make it once: the second waits, and reads in the lock how far
//! the first is. Where the first ends before it is done, the system frees the lock, and the second
//! does the work.
//!
//! Nothing depends on a lock but time: where the file system has none, work goes on without.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::directory::Cache;
use super::unfinished::unfinished;
use crate::model::Digest;
use crate::progress::UnderWay;

/// How the name of a lock ends.
pub(super) const SUFFIX: &str = ".lock";

/// The time between two looks of a process that waits for a lock.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Bytes of the digest in front of what a lock says.
const CHECK_BYTES: usize = 8;

/// The most bytes of what a lock says.
const MOST_NOTE_BYTES: usize = 512;

/// Says that a file is being made, as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// `None` where the file system has no locks.
    file: Option<File>,
}

impl Cache {
    /// Waits until nobody else makes this file. `waiting` is called again and again meanwhile, with
    /// how far the other one is, if it says so.
    pub(crate) fn lock(&self, path: &Path, waiting: &dyn Fn(Option<UnderWay>)) -> Lock {
        loop {
            match Lock::attempt(path) {
                Attempt::Got(lock) => return lock,
                Attempt::Taken(file) => {
                    waiting(read(&file));
                    std::thread::sleep(BETWEEN_LOOKS);
                }
            }
        }
    }
}

impl Lock {
    /// The lock of a file that nobody makes; `None` where somebody does.
    pub(super) fn try_new(of: &Path) -> Option<Self> {
        match Self::attempt(of) {
            Attempt::Got(lock) => Some(lock),
            Attempt::Taken(_) => None,
        }
    }

    /// The same by the lock's own name.
    pub(super) fn of_file(lock: &Path) -> Option<Self> {
        let name = lock.to_str()?.strip_suffix(SUFFIX)?;
        Self::try_new(Path::new(name))
    }
}

enum Attempt {
    Got(Lock),
    Taken(File),
}

impl Lock {
    fn attempt(of: &Path) -> Attempt {
        let mut name = of.as_os_str().to_owned();
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        loop {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            let Ok(file) = options.mode(0o600).open(&path) else {
                return Attempt::Got(Self { path, file: None });
            };
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => {
                    unfinished().insert(path.clone());
                    let file = Some(file);
                    return Attempt::Got(Self { path, file });
                }
                // Its owner has just removed it. Who comes now makes a new one.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Attempt::Taken(file),
                Err(TryLockError::Error(_)) => {
                    return Attempt::Got(Self { path, file: None });
                }
            }
        }
    }

    /// Tells those who wait how far the work is.
    pub(crate) fn note(&self, under_way: &UnderWay) {
        let (Some(file), Ok(note)) = (&self.file, rmp_serde::to_vec(under_way)) else {
            return;
        };
        let digest = Digest::of(&note);
        let check = &digest.as_bytes()[..CHECK_BYTES];
        // One write. Who reads in the middle of it sees another digest, and looks again later.
        let _ = file.write_all_at(&[check, &note].concat(), 0);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut unfinished = unfinished();
        unfinished.remove(&self.path);
        if self
            .file
            .as_ref()
            .is_some_and(|file| is_at(file, &self.path))
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What a lock says. Behind a short note stands the end of a longer one before it.
fn read(file: &File) -> Option<UnderWay> {
    let mut bytes = [0; CHECK_BYTES + MOST_NOTE_BYTES];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let (check, note) = bytes[..length].split_at_checked(CHECK_BYTES)?;
    let mut rest = note;
    let under_way: UnderWay = rmp_serde::from_read(&mut rest).ok()?;
    let note = &note[..note.len() - rest.len()];
    (Digest::of(note).as_bytes()[..CHECK_BYTES] == *check).then_some(under_way)
}

/// Whether the file is still the one of this name.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let ours = file.metadata().map(identity);
    let theirs = fs::symlink_metadata(path).map(identity);
    matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
}
