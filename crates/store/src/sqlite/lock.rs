//! The lock that keeps a second process out of a store's directory.

use std::fs::File;
use std::io::Read;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use crate::error::Error;

/// The lock on a directory. Its file says who has the store.
pub(super) struct DirectoryLock(File);

impl DirectoryLock {
    /// Takes the lock on the store in a directory, making its file where there is none.
    ///
    /// # Errors
    /// If somebody else has it, or the directory cannot be used.
    pub(super) fn take(directory: &Path) -> Result<Self, Error> {
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
            Ok(()) => Ok(Self(lock)),
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
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that was forked meanwhile has it open as well,
        // at least until it starts another program.
        if let Err(error) = self.0.unlock() {
            log::debug!("cannot give up the lock on the store: {error}");
        }
    }
}

impl Deref for DirectoryLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for DirectoryLock {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}
