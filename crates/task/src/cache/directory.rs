//! The directory: how its files are called, read and written.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use xdg::BaseDirectories;

use super::unfinished::Temporary;
use crate::error::TaskError;
use crate::model::Digest;
use crate::model::error::Error;
use crate::model::spec::ByteSize;

/// How the name of the file ends that has the digest of machine code.
pub(super) const CODE_DIGEST: &str = ".blake3";

/// The size in bytes below which the cache is kept, unless the user says otherwise.
const DEFAULT_LIMIT: ByteSize = ByteSize(10 << 30);

/// A directory of our own.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    limit: Option<u64>,
}

impl Cache {
    /// Opens the cache in a directory, which is made if it is not there; without one, the user's
    /// cache. Its limit is `DORMOUSE_CACHE_SIZE`, such as `2G` or `none`, else 10 GiB.
    ///
    /// # Errors
    /// If the directory cannot be made or belongs to somebody else, or the limit cannot be read.
    pub fn open(root: impl Into<Option<PathBuf>>) -> Result<Self, Error> {
        let root = root.into().unwrap_or_else(Self::default_root);
        let limit = limit()?;
        Self::make(&root)?;
        Ok(Self { root, limit })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How large it may get, in bytes; `None` where there is no limit.
    pub fn limit(&self) -> Option<u64> {
        self.limit
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
    pub(crate) fn default_root() -> PathBuf {
        let own = std::env::var_os("DORMOUSE_CACHE").filter(|root| !root.is_empty());
        own.map(PathBuf::from).unwrap_or_else(|| {
            // A user without a home has the temporary directory.
            let caches = BaseDirectories::new().get_cache_home();
            let caches = caches.unwrap_or_else(std::env::temp_dir);
            caches.join("dormouse").join("modules")
        })
    }

    /// The file for a source module with its settings.
    pub(crate) fn source(&self, key: &Digest) -> PathBuf {
        self.root.join(format!("{key}.source"))
    }

    /// The compressed resumable module.
    pub(crate) fn module(&self, module: &Digest) -> PathBuf {
        self.root.join(format!("{module}.wasm.zst"))
    }

    /// The manifest of a resumable module.
    pub(crate) fn manifest(&self, module: &Digest) -> PathBuf {
        self.root.join(format!("{module}.manifest"))
    }

    /// What was done with the source of a resumable module.
    pub(crate) fn report(&self, module: &Digest) -> PathBuf {
        self.root.join(format!("{module}.report"))
    }

    /// Machine code.
    pub(crate) fn code(&self, module: &Digest, code_key: &str) -> PathBuf {
        self.root.join(format!("{module}.{code_key}"))
    }

    /// The digest of machine code.
    pub(crate) fn code_digest(code: &Path) -> PathBuf {
        let mut name = code.as_os_str().to_owned();
        name.push(CODE_DIGEST);
        name.into()
    }

    /// A name in the cache's directory for a file that is being made. A cache may be deleted at any
    /// time, so the directory is made again where it is gone.
    pub(crate) fn temporary(&self) -> Result<Temporary, Error> {
        let made = match Temporary::in_folder(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(&self.root)?;
                Temporary::in_folder(&self.root)
            }
            made => made,
        };
        made.map_err(|source| self.failed(&self.root, source))
    }

    /// Writes a file so that other processes see all of it or nothing.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let temporary = self.temporary()?;
        fs::write(&*temporary, bytes).map_err(|source| self.failed(path, source))?;
        self.keep(temporary, path)
    }

    /// Gives a finished temporary file its name.
    pub(crate) fn keep(&self, temporary: Temporary, path: &Path) -> Result<(), Error> {
        temporary.keep(path).map_err(|e| self.failed(path, e))
    }

    pub(super) fn failed(&self, path: &Path, source: io::Error) -> Error {
        let path = path.to_path_buf();
        TaskError::Cache { path, source }.into()
    }
}

/// The limit that the user has set, or the default.
fn limit() -> Result<Option<u64>, Error> {
    let text = std::env::var_os("DORMOUSE_CACHE_SIZE").unwrap_or_default();
    let text = text.to_string_lossy();
    match text.trim() {
        "" => Ok(Some(DEFAULT_LIMIT.0)),
        "none" => Ok(None),
        size => match size.parse::<ByteSize>() {
            Ok(size) => Ok(Some(size.0)),
            Err(why) => Err(TaskError::CacheSize(why).into()),
        },
    }
}

/// The bytes of a file, or `None` where there is none or it cannot be read.
///
/// # Errors
/// `TaskError::Cache` if it may be there, and can be read later.
pub(crate) fn get(path: &Path) -> Result<Option<Vec<u8>>, Error> {
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
