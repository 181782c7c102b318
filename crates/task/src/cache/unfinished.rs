//! Files that are being made. They go if the work fails, and if the process ends before they are
//! finished.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dormouse_child as child;
use parking_lot::{Mutex, MutexGuard};
use tempfile::{Builder, TempPath};

/// Files that are being made, and are to go if the process ends before they are.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

pub(super) fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock()
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

/// Writes a file: all of it or nothing, also where [`leave`] ends the process meanwhile. What is no
/// file, such as a pipe, is written as it is.
///
/// # Errors
/// The system's.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return fs::write(path, bytes),
        // A link leads on to the file.
        Ok(_) => path.canonicalize()?,
        Err(_) => path.to_path_buf(),
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let temporary = match Temporary::with_mode(folder, NEW_FILE_MODE) {
        // A file can be written in a folder that cannot.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
            return fs::write(&path, bytes);
        }
        made => made?,
    };
    fs::write(&*temporary, bytes)?;
    if let Ok(metadata) = fs::metadata(&path) {
        fs::set_permissions(&*temporary, metadata.permissions())?;
    }
    temporary.keep(&path)
}

/// The permissions of files in the cache.
const OWN_FILE_MODE: u32 = 0o600;

/// The permissions of other new files, of which the user's mask takes some away.
const NEW_FILE_MODE: u32 = 0o666;

/// How the names of files begin that are being made in the cache.
pub(super) const PREFIX: &str = ".new-";

/// A file that is being made, which goes unless it is kept.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: Option<TempPath>,
    /// Locked, so that nobody takes it for a file that was left behind.
    _file: File,
}

impl Temporary {
    /// A new one in this folder, for its owner alone.
    pub(super) fn in_folder(folder: &Path) -> io::Result<Self> {
        Self::with_mode(folder, OWN_FILE_MODE)
    }

    fn with_mode(folder: &Path, mode: u32) -> io::Result<Self> {
        let mut held = unfinished();
        let mode = Permissions::from_mode(mode);
        let made = Builder::new()
            .prefix(PREFIX)
            .permissions(mode)
            .tempfile_in(folder);
        let (file, path) = made?.into_parts();
        // Nothing depends on it but when a sweep removes it.
        let _ = file.try_lock();
        held.insert(path.to_path_buf());
        Ok(Self {
            path: Some(path),
            _file: file,
        })
    }

    /// Gives the finished file its name.
    pub(super) fn keep(mut self, path: &Path) -> io::Result<()> {
        let Some(file) = self.path.take() else {
            return Ok(());
        };
        unfinished().remove(&*file);
        file.persist(path).map_err(|e| e.error)
    }
}

impl Deref for Temporary {
    type Target = Path;

    fn deref(&self) -> &Path {
        // Only `keep` takes the path, and with it this.
        self.path.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            unfinished().remove(&*path);
        }
    }
}
