//! Room: what was not used for long goes.
//!
//! A file that is deleted while somebody uses it stays with whoever has it open, and is made again
//! by whoever looks for it next. Files that are being made have locks, and are left alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::contents::{FileEntry, Kind, source_entry};
use super::directory::{Cache, get};
use super::lock::Lock;
use crate::model::Digest;
use crate::model::error::Error;

/// Where there is a limit, room is made for some more than is needed, so that it is not made again
/// at once.
const KEPT_SHARE: f64 = 0.9;

/// The file in which each line says by how many bytes the cache has grown.
const SIZES: &str = ".sizes";

/// A list of sizes that is longer, in bytes, is replaced by their sum.
const MOST_SIZES_BYTES: usize = 16 << 10;

/// A temporary file that was not written to for this long was left by a process that has ended.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// What goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prune {
    /// The least recently used, until what is left has at most this many bytes.
    pub max_bytes: Option<u64>,
    /// What was not used for this long.
    pub older_than: Option<Duration>,
}

/// What became of the cache.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// Modules that went, and machine code that went alone: what it was, and its bytes.
    pub removed: Vec<Removed>,
    /// Files that went that processes had left unfinished when they were killed.
    pub abandoned: u64,
    /// What is being made and was left, although it was to go.
    pub busy: u64,
    /// Bytes of all that is left.
    pub kept_bytes: u64,
}

/// What went.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The module.
    pub module: Digest,
    /// The file names under which its source was given.
    pub names: Vec<String>,
    /// The engine whose machine code went; `None` for the module itself.
    pub engine: Option<String>,
    /// Bytes that were given back.
    pub bytes: u64,
    /// When it was last used, to a day.
    pub last_used: SystemTime,
}

/// What goes together.
struct Unit {
    removed: Removed,
    files: Vec<PathBuf>,
}

impl Cache {
    /// Makes room.
    ///
    /// # Errors
    /// If the cache cannot be read, or something cannot be removed.
    pub fn prune(&self, prune: &Prune) -> Result<Pruned, Error> {
        let files = self.files()?;
        let mut pruned = Pruned {
            abandoned: self.sweep(&files)?,
            ..Pruned::default()
        };
        let now = SystemTime::now();
        let mut units = self.units(&files);
        units.sort_by_key(|unit| unit.removed.last_used);
        let mut bytes: u64 = units.iter().map(|unit| unit.removed.bytes).sum();
        for unit in units {
            let age = now
                .duration_since(unit.removed.last_used)
                .unwrap_or_default();
            let old = prune.older_than.is_some_and(|most| age > most);
            let much = prune.max_bytes.is_some_and(|most| bytes > most);
            if !old && !much {
                continue;
            }
            match self.remove(&unit.files)? {
                true => {
                    bytes -= unit.removed.bytes;
                    pruned.removed.push(unit.removed);
                }
                false => pruned.busy += 1,
            }
        }
        pruned.kept_bytes = bytes;
        self.put(&self.root().join(SIZES), format!("{bytes}\n").as_bytes())?;
        Ok(pruned)
    }

    /// What goes together: a module without its machine code, and each machine code. A source whose
    /// module is gone is a part of that module.
    fn units(&self, files: &[FileEntry]) -> Vec<Unit> {
        let mut units = Vec::new();
        for module in self.group(files) {
            let removed = |engine, bytes, last_used| Removed {
                module: module.module,
                names: module.names.clone(),
                engine,
                bytes,
                last_used,
            };
            for code in &module.code {
                units.push(Unit {
                    removed: removed(Some(code.engine.clone()), code.bytes, code.last_used),
                    files: code.files.clone(),
                });
            }
            if !module.files.is_empty() {
                // A module was used whenever its code was.
                units.push(Unit {
                    removed: removed(None, module.own_bytes, module.last_used),
                    files: module.files.clone(),
                });
            }
        }
        units
    }

    /// Removes files in their order. False where one of them is being made.
    pub(super) fn remove(&self, files: &[PathBuf]) -> Result<bool, Error> {
        let mut locks = Vec::new();
        for path in files {
            match Lock::try_new(path) {
                Some(lock) => locks.push(lock),
                None => return Ok(false),
            }
        }
        for path in files {
            remove(path).map_err(|source| self.failed(path, source))?;
        }
        Ok(true)
    }

    /// Removes what processes have left that were killed: locks that nobody holds, temporary files
    /// that nobody writes, and files of sources that cannot be read. Returns how many.
    pub(super) fn sweep(&self, files: &[FileEntry]) -> Result<u64, Error> {
        let mut swept = 0;
        for file in files {
            let path = &file.path;
            let abandoned = match &file.kind {
                Kind::Lock => {
                    // Whoever gets a lock removes its file in the end.
                    swept += u64::from(Lock::of_file(path).is_some());
                    continue;
                }
                Kind::Temporary => is_abandoned(file),
                Kind::Source => source_entry(path).is_none() && path.exists(),
                _ => false,
            };
            if abandoned {
                remove(path).map_err(|source| self.failed(path, source))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Notes that the cache has grown by `by` bytes. If it is larger than its limit now, prunes it.
    pub(crate) fn has_grown(&self, by: u64) -> Result<(), Error> {
        let Some(limit) = self.limit() else {
            return Ok(());
        };
        let path = self.root().join(SIZES);
        let known = get(&path)?.unwrap_or_default();
        let sizes = String::from_utf8_lossy(&known);
        let sizes = sizes.lines().map(|line| line.parse::<u64>().ok());
        // What cannot be read is counted anew, as is a list that gets long.
        let sum = sizes.sum::<Option<u64>>();
        let sum = sum.filter(|_| !known.is_empty() && known.len() < MOST_SIZES_BYTES);
        match sum {
            Some(sum) if sum.saturating_add(by) <= limit => {
                let mut options = OpenOptions::new();
                // Lines of several processes do not mix: each is one short write to the end.
                let file = options.append(true).create(true).mode(0o600).open(&path);
                file.and_then(|mut file| file.write_all(format!("{by}\n").as_bytes()))
                    .map_err(|source| self.failed(&path, source))
            }
            _ => self.prune_to(limit),
        }
    }

    fn prune_to(&self, limit: u64) -> Result<(), Error> {
        let bytes: u64 = self.files()?.iter().map(|file| file.bytes).sum();
        let max_bytes = match bytes > limit {
            true => Some((limit as f64 * KEPT_SHARE) as u64),
            false => None,
        };
        let prune = Prune {
            max_bytes,
            older_than: None,
        };
        let pruned = self.prune(&prune)?;
        if !pruned.removed.is_empty() {
            let bytes: u64 = pruned.removed.iter().map(|removed| removed.bytes).sum();
            log::info!(
                "the cache was larger than {limit} bytes; {bytes} bytes of what was not used for longest were removed"
            );
        }
        Ok(())
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether the process that was making a file has gone.
fn is_abandoned(file: &FileEntry) -> bool {
    let age = SystemTime::now().duration_since(file.last_used);
    let old = age.is_ok_and(|age| age > ABANDONED);
    // Whoever makes it holds a lock on it.
    let locked =
        File::open(&file.path).map(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
    old && locked.is_ok_and(|locked| !locked)
}
