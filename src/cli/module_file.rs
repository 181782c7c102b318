//! Modules on the command line: files, or named by the digest of their bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::cli::exit::{Failure, MISMATCH, MODULE, NO_INPUT, USAGE, WRITE};
use crate::instrument::Transform;
use crate::model::Digest;
use crate::model::spec::Module;
use crate::task::write_file;

/// No engine takes a module of more bytes.
const MAX_MODULE_BYTES: u64 = 1 << 30;

/// A module is known by its first bytes; of any other file no more than these are read.
const HEADER_BYTES: u64 = 16;

/// A module as it was named on the command line, or as a task file's components became one.
pub(crate) struct Source {
    /// What it is called in messages.
    pub(crate) name: String,
    /// Its bytes; empty where it is named by its digest.
    pub(crate) bytes: Vec<u8>,
    /// Its digest, where it is named by that.
    pub(crate) digest: Option<Digest>,
}

impl Source {
    /// Reads a module, unless it is named by its digest.
    pub(crate) fn load(module: &Module) -> Result<Self, Failure> {
        let (bytes, digest) = match module {
            Module::Digest(digest) => (Vec::new(), Some(*digest)),
            Module::Path(path) => (read(Path::new(path))?, None),
        };
        let name = module.to_string();
        Ok(Self {
            name,
            bytes,
            digest,
        })
    }

    /// What components became.
    pub(crate) fn linked(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
            digest: None,
        }
    }

    /// Compares it with the digest that `--digest` or a task file wants.
    pub(crate) fn checked(self, wanted: Option<Digest>) -> Result<Self, Failure> {
        let Some(wanted) = wanted else {
            return Ok(self);
        };
        let found = self.digest.unwrap_or_else(|| Digest::of(&self.bytes));
        match wanted == found {
            true => Ok(self),
            false => Err(Failure::new(
                MISMATCH,
                format!(
                    "the module is not the one that is meant: its BLAKE3 is {found}, and not {wanted}"
                ),
            )),
        }
    }
}

/// The bytes of a module's file; of a file that is no module, only its start.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(NO_INPUT, format!("cannot read {}: {error}", path.display()))
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(HEADER_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.starts_with(b"\0asm") {
        file.take(MAX_MODULE_BYTES)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    }
    match bytes.len() as u64 > MAX_MODULE_BYTES {
        true => {
            let text = format!(
                "{} has more than 1 GiB, too much for a module",
                path.display()
            );
            Err(Failure::new(MODULE, text))
        }
        false => Ok(bytes),
    }
}

/// Writes a module or a component: all of it or nothing, also where a signal ends the process.
pub(crate) fn write(path: &Path, wasm: &[u8]) -> Result<(), Failure> {
    write_file(path, wasm).map_err(|error| {
        let path = path.display();
        Failure::new(WRITE, format!("cannot write {path}: {error}"))
    })
}

/// A module's name for its guest and for people: that of its file.
pub(crate) fn file_name(module: &str) -> String {
    let name = Path::new(module).file_name();
    name.map_or_else(
        || module.to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Whether the module gets checks in its loops and calls, which needs a transform that rewrites it.
pub(crate) fn preempt(wanted: bool, transform: Transform) -> Result<bool, Failure> {
    match wanted && transform == Transform::None {
        true => Err(Failure::new(
            USAGE,
            "--preempt rewrites the module, and --transform none does not; give one of them",
        )),
        false => Ok(wanted),
    }
}
