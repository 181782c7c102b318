//! What the cache holds, file by file and module by module.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::directory::{CODE_DIGEST, Cache, get};
use super::entries::SourceEntry;
use super::{lock, unfinished};
use crate::instrument::Manifest;
use crate::model::Digest;
use crate::model::error::Error;

/// A file that was used is marked so again after this time at the earliest: most runs write
/// nothing.
const BETWEEN_MARKS: Duration = Duration::from_secs(24 * 60 * 60);

/// What a file of the cache is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Says which module belongs to a source.
    Source,
    /// A resumable module.
    Module(Digest),
    /// The manifest of one.
    Manifest(Digest),
    /// What was done with its source.
    Report(Digest),
    /// Machine code of it, by the name of the engine.
    Code(Digest, String),
    /// The digest of machine code.
    CodeDigest(Digest),
    /// Says that a file is being made.
    Lock,
    /// A file that is being made.
    Temporary,
}

impl Kind {
    /// `None` for a file that is not ours.
    fn of(name: &str) -> Option<Self> {
        if name.starts_with(unfinished::PREFIX) {
            return Some(Self::Temporary);
        }
        let (digest, rest) = name.split_once('.')?;
        let digest = Digest::from_hex(digest)?;
        if rest.ends_with(lock::SUFFIX) {
            return Some(Self::Lock);
        }
        Some(match rest {
            "source" => Self::Source,
            "wasm.zst" => Self::Module(digest),
            "manifest" => Self::Manifest(digest),
            "report" => Self::Report(digest),
            _ if rest.ends_with(CODE_DIGEST) => Self::CodeDigest(digest),
            _ => {
                let (engine, _) = rest.split_once('-')?;
                Self::Code(digest, engine.to_owned())
            }
        })
    }
}

/// A file of the cache.
#[derive(Clone, Debug)]
pub(super) struct FileEntry {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    pub(super) last_used: SystemTime,
}

/// Machine code that the cache holds.
#[derive(Clone, Debug)]
pub struct CodeEntry {
    /// The engine's name.
    pub engine: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was last used, to a day.
    pub last_used: SystemTime,
    pub(super) files: Vec<PathBuf>,
}

/// A resumable module that the cache holds, with all that belongs to it.
#[derive(Clone, Debug)]
pub struct ModuleEntry {
    /// Digest of the resumable module.
    pub module: Digest,
    /// Digest of its source.
    pub source: Option<Digest>,
    /// Names under which its source was given, where they are known.
    pub names: Vec<String>,
    /// How it was made resumable.
    pub transform: Option<String>,
    /// Whether its loops and calls carry checks.
    pub preempt: bool,
    /// Bytes of all files, machine code among them.
    pub bytes: u64,
    /// When it was last used, to a day.
    pub last_used: SystemTime,
    /// Machine code of it.
    pub code: Vec<CodeEntry>,
    /// Bytes of its files without machine code.
    pub(super) own_bytes: u64,
    /// Its files without machine code. One that is gone must not lead to one that is there: the
    /// first is removed first.
    pub(super) files: Vec<PathBuf>,
}

impl ModuleEntry {
    fn new(module: Digest) -> Self {
        Self {
            module,
            source: None,
            names: Vec::new(),
            transform: None,
            preempt: false,
            bytes: 0,
            last_used: SystemTime::UNIX_EPOCH,
            code: Vec::new(),
            own_bytes: 0,
            files: Vec::new(),
        }
    }

    fn add(&mut self, file: &FileEntry) {
        self.bytes += file.bytes;
        self.last_used = self.last_used.max(file.last_used);
        let key = match &file.kind {
            Kind::Code(..) => Some(file.path.clone()),
            Kind::CodeDigest(_) => {
                let name = file.path.file_name().and_then(OsStr::to_str);
                let name = name.and_then(|name| name.strip_suffix(CODE_DIGEST));
                name.map(|name| file.path.with_file_name(name))
            }
            _ => None,
        };
        let Some(key) = key else {
            self.own_bytes += file.bytes;
            self.files.push(file.path.clone());
            return;
        };
        let known = self.code.iter().position(|code| code.files[0] == key);
        let index = known.unwrap_or_else(|| {
            self.code.push(CodeEntry {
                engine: String::new(),
                bytes: 0,
                last_used: SystemTime::UNIX_EPOCH,
                files: vec![key],
            });
            self.code.len() - 1
        });
        let code = &mut self.code[index];
        code.bytes += file.bytes;
        match &file.kind {
            Kind::Code(_, engine) => {
                code.engine.clone_from(engine);
                code.last_used = file.last_used;
            }
            _ => code.files.push(file.path.clone()),
        }
    }
}

impl Cache {
    /// Notes that a file is used, at most once a day.
    pub(crate) fn mark_used(path: &Path) {
        let now = SystemTime::now();
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        // A time in the future is not fresh: the clock was set back.
        let fresh = |time: SystemTime| {
            now.duration_since(time)
                .is_ok_and(|age| age < BETWEEN_MARKS)
        };
        if modified.is_ok_and(|time| !fresh(time)) {
            // Nothing depends on it but what goes first when room is needed.
            let _ = fs::File::open(path).and_then(|file| file.set_modified(now));
        }
    }

    /// All files that are ours. What goes meanwhile is left out.
    pub(super) fn files(&self) -> Result<Vec<FileEntry>, Error> {
        let mut files = Vec::new();
        let entries = match fs::read_dir(self.root()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            entries => entries.map_err(|source| self.failed(self.root(), source))?,
        };
        for entry in entries {
            let entry = entry.map_err(|source| self.failed(self.root(), source))?;
            let name = entry.file_name();
            let Some(kind) = name.to_str().and_then(Kind::of) else {
                continue;
            };
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_file() {
                files.push(FileEntry {
                    path: entry.path(),
                    kind,
                    bytes: metadata.len(),
                    last_used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    /// The modules that the cache holds, those that were used last in front.
    ///
    /// # Errors
    /// If the cache cannot be read.
    pub fn modules(&self) -> Result<Vec<ModuleEntry>, Error> {
        Ok(self.group(&self.files()?))
    }

    /// Puts files together that belong to one module.
    pub(super) fn group(&self, files: &[FileEntry]) -> Vec<ModuleEntry> {
        let mut modules = BTreeMap::<Digest, ModuleEntry>::new();
        let mut add = |module: Digest, file: &FileEntry, name: Option<String>| {
            let entry = modules
                .entry(module)
                .or_insert_with(|| ModuleEntry::new(module));
            entry.add(file);
            entry.names.extend(name);
        };
        // Sources come first, so that they are removed first.
        let (sources, others): (Vec<_>, Vec<_>) =
            files.iter().partition(|file| file.kind == Kind::Source);
        for file in sources {
            if let Some(source) = source_entry(&file.path) {
                add(source.module, file, source.name);
            }
        }
        for file in others {
            match &file.kind {
                Kind::Module(module)
                | Kind::Manifest(module)
                | Kind::Report(module)
                | Kind::Code(module, _)
                | Kind::CodeDigest(module) => add(*module, file, None),
                Kind::Source | Kind::Lock | Kind::Temporary => {}
            }
        }
        let mut modules: Vec<_> = modules.into_values().collect();
        for entry in &mut modules {
            entry.names.sort();
            entry.names.dedup();
            entry.code.sort_by(|one, other| one.files.cmp(&other.files));
            let manifest = get(&self.manifest(&entry.module)).ok().flatten();
            let manifest =
                manifest.and_then(|bytes| rmp_serde::from_slice::<Manifest>(&bytes).ok());
            if let Some(manifest) = manifest {
                entry.source = Some(manifest.source);
                entry.transform = Some(manifest.transform.to_string());
                entry.preempt = manifest.preempt;
            }
        }
        modules.sort_by(|one, other| {
            let order = other.last_used.cmp(&one.last_used);
            order.then_with(|| one.module.to_string().cmp(&other.module.to_string()))
        });
        modules
    }
}

/// What the file of a source says; `None` where it cannot be read.
pub(super) fn source_entry(path: &Path) -> Option<SourceEntry> {
    let bytes = get(path).ok().flatten()?;
    rmp_serde::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name() {
        let digest = Digest::of(b"");
        let kind = |rest: &str| Kind::of(&format!("{digest}{rest}"));
        assert_eq!(kind(".source"), Some(Kind::Source));
        assert_eq!(kind(".source.lock"), Some(Kind::Lock));
        assert_eq!(kind(".wasm.zst"), Some(Kind::Module(digest)));
        let code = |engine: &str| Some(Kind::Code(digest, engine.into()));
        assert_eq!(kind(".wasmtime-52190ab6d9925f29"), code("wasmtime"));
        assert_eq!(
            kind(".wasmedge-0.14.1-7b2cce5085e1b3bd.so"),
            code("wasmedge")
        );
        assert_eq!(kind(".wasmtime-1.blake3"), Some(Kind::CodeDigest(digest)));
        assert_eq!(kind(".wasmtime-1.lock"), Some(Kind::Lock));
        assert_eq!(Kind::of(".new-AbCdEf"), Some(Kind::Temporary));
        // Somebody else's.
        for name in ["notes.txt", ".sizes", "0123.wasm.zst", "a-b"] {
            assert_eq!(Kind::of(name), None, "{name}");
        }
        assert_eq!(kind(".txt"), None);
        assert_eq!(kind(""), None);
    }
}
