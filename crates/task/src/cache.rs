//! The cache on disk: resumable modules and the machine code that engines made of them.
//!
//! ```text
//! <root>/<key>.source          which resumable module belongs to a source and its settings
//! <root>/<digest>.wasm.zst     the resumable module, compressed
//! <root>/<digest>.manifest     its manifest
//! <root>/<digest>.<code key>   machine code of one engine
//! <root>/<name>.lock           while somebody makes the file `<name>`
//! ```
//!
//! Machine code is run as it is found, so the directory is readable by its owner alone, and one
//! that belongs to somebody else is refused.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use xdg::BaseDirectories;

use super::error::TaskError;
use crate::model::Digest;
use crate::model::error::Error;
use dormouse_child as child;

/// Files that are being made, and are to go if the process ends before they are.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what this process has begun to make and not finished, where it is about to end, and
/// stops the child processes that make it.
pub fn remove_unfinished() {
    child::kill_all();
    for path in std::mem::take(&mut *unfinished()) {
        // It may have got its name just now.
        let _ = fs::remove_file(path);
    }
}

/// Ends this process at once, and leaves nothing half-made behind.
pub fn leave(code: u8) -> ! {
    remove_unfinished();
    child::leave(code)
}

/// A directory of our own.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the cache, making the directory where there is none.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        Self::make(root)?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    fn make(root: &Path) -> Result<(), Error> {
        let failed = |source| TaskError::Cache {
            path: root.to_path_buf(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(failed)?;
        let metadata = fs::metadata(root).map_err(failed)?;
        let foreign = metadata.uid() != rustix::process::geteuid().as_raw();
        if foreign || metadata.mode() & 0o022 != 0 {
            let reason = "the directory holds machine code, and others can write to it";
            let denied = io::Error::new(io::ErrorKind::PermissionDenied, reason);
            return Err(failed(denied).into());
        }
        Ok(())
    }

    /// `DORMOUSE_CACHE`, else `dormouse/modules` in the user's cache directory (`XDG_CACHE_HOME`,
    /// else `~/.cache`).
    pub(super) fn default_root() -> PathBuf {
        let own = std::env::var_os("DORMOUSE_CACHE").filter(|root| !root.is_empty());
        own.map(PathBuf::from).unwrap_or_else(|| {
            // A user without a home has the temporary directory.
            let caches = BaseDirectories::new().get_cache_home();
            let caches = caches.unwrap_or_else(std::env::temp_dir);
            caches.join("dormouse").join("modules")
        })
    }

    /// The file for a source module with its settings.
    pub(super) fn source(&self, key: &Digest) -> PathBuf {
        self.root.join(format!("{key}.source"))
    }

    /// The compressed resumable module.
    pub(super) fn module(&self, module: &Digest) -> PathBuf {
        self.root.join(format!("{module}.wasm.zst"))
    }

    /// The manifest of a resumable module.
    pub(super) fn manifest(&self, module: &Digest) -> PathBuf {
        self.root.join(format!("{module}.manifest"))
    }

    /// Machine code.
    pub(super) fn code(&self, module: &Digest, code_key: &str) -> PathBuf {
        self.root.join(format!("{module}.{code_key}"))
    }

    /// Creates an empty temporary file in the cache's directory, and the directory if it was deleted.
    pub(super) fn temporary(&self) -> Result<Temporary, Error> {
        let mut held = unfinished();
        let mut builder = tempfile::Builder::new();
        builder.prefix(".new-");
        let made = match builder.tempfile_in(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(&self.root)?;
                builder.tempfile_in(&self.root)
            }
            made => made,
        };
        let path = made
            .map(tempfile::NamedTempFile::into_temp_path)
            .map_err(|source| self.failed(&self.root, source))?;
        held.insert(path.to_path_buf());
        Ok(Temporary(Some(path)))
    }

    /// Waits until nobody else makes this file: it takes minutes of all cores for a large module,
    /// which two processes need not both spend. `waiting` is called before a wait.
    ///
    /// Nothing depends on the lock but time. So where the file system has none, work continues.
    pub(super) fn lock(&self, path: &Path, waiting: impl FnOnce()) -> Lock {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let file = File::create(&path).ok();
        if let Some(file) = &file
            && matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock))
        {
            waiting();
            let _ = file.lock();
        }
        unfinished().insert(path.clone());
        Lock { path, _file: file }
    }

    /// Writes a file so that other processes see all of it or nothing.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let temporary = self.temporary()?;
        fs::write(&*temporary, bytes).map_err(|source| self.failed(path, source))?;
        self.keep(temporary, path)
    }

    /// Gives a finished temporary file its name.
    pub(super) fn keep(&self, mut temporary: Temporary, path: &Path) -> Result<(), Error> {
        let Some(file) = temporary.0.take() else {
            return Ok(());
        };
        unfinished().remove(&*file);
        file.persist(path).map_err(|e| self.failed(path, e.error))
    }

    fn failed(&self, path: &Path, source: io::Error) -> Error {
        let path = path.to_path_buf();
        TaskError::Cache { path, source }.into()
    }
}

/// A file that is being made, which goes unless it is kept.
pub(super) struct Temporary(Option<tempfile::TempPath>);

impl std::ops::Deref for Temporary {
    type Target = Path;

    fn deref(&self) -> &Path {
        // Only `keep` takes the path, and with it this.
        self.0.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            unfinished().remove(&*path);
        }
    }
}

/// Says that a file is being made, as long as it lives.
pub(super) struct Lock {
    path: PathBuf,
    _file: Option<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        unfinished().remove(&self.path);
        // Whoever waits for the removed file and whoever makes a new one do the same work twice.
        let _ = fs::remove_file(&self.path);
    }
}

/// The bytes of a file, or `None` where there is none or it cannot be read.
///
/// # Errors
/// `TaskError::Cache` where it may be there, and can be read later.
pub(super) fn get(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => {
            let path = path.to_path_buf();
            let error = Error::from(TaskError::Cache { path, source });
            match error.passes() {
                true => Err(error),
                false => Ok(None),
            }
        }
    }
}
