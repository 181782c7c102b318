//! Modules on the command line: files, or named by the digest of their bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::cli::exit::{Failure, MISMATCH, MODULE, NO_INPUT, USAGE, WRITE};
use crate::cli::output::say;
use crate::cli::snapshot_file::at;
use crate::error::Error;
use crate::instrument::Transform;
use crate::model::spec::Module;
use crate::model::{Digest, Limits};
use crate::snapshot::{self, Unseal};
use crate::task::{Runtime, has_machine_code, write_file};

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
    /// Whether a key that was named has signed it.
    is_trusted: bool,
}

impl Source {
    /// Reads a module, unless it is named by its digest. Where keys to verify with are given, one of
    /// them must have signed it.
    pub(crate) fn load(module: &Module, keys: &Unseal) -> Result<Self, Failure> {
        let (bytes, digest) = match module {
            Module::Path(path) => (read_signed(Path::new(path), keys)?, None),
            Module::Digest(_) if keys.verifies() => {
                let text =
                    "--verify-key is for a module's file, and this one is named by its digest";
                return Err(Failure::new(USAGE, text));
            }
            Module::Digest(digest) => (Vec::new(), Some(*digest)),
        };
        Ok(Self {
            name: module.to_string(),
            bytes,
            digest,
            is_trusted: keys.verifies(),
        })
    }

    /// What components became.
    pub(crate) fn linked(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
            digest: None,
            is_trusted: false,
        }
    }

    /// Puts machine code that comes with the module into the cache, if a key that was named has
    /// signed it.
    pub(crate) fn keep_machine_code(&self, runtime: &Runtime) -> Result<(), Error> {
        match (has_machine_code(&self.bytes), self.is_trusted) {
            (false, _) => {}
            (true, true) => {
                runtime.keep_machine_code(&self.bytes)?;
            }
            (true, false) => {
                say!("the module's machine code is not taken: --verify-key says whose is");
            }
        }
        Ok(())
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

/// The bytes of a module's file, whoever has signed it; of a file that is no module, only its start.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_signed(path, &Unseal::default())
}

fn read_signed(path: &Path, keys: &Unseal) -> Result<Vec<u8>, Failure> {
    let file = read_file(path)?;
    let opened = keys.open(file, &Limits::default());
    let content = opened.and_then(|opened| Ok(opened.content.ok_or(snapshot::Error::Encrypted)?));
    content.map_err(|error| at(path, error))
}

/// Writes a module: all of it or nothing, also where a signal ends this.
pub(crate) fn write(path: &Path, wasm: &[u8]) -> Result<(), Failure> {
    write_file(path, wasm).map_err(|error| {
        let path = path.display();
        Failure::new(WRITE, format!("cannot write {path}: {error}"))
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(NO_INPUT, format!("cannot read {}: {error}", path.display()))
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(HEADER_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.starts_with(b"\0asm") || snapshot::is_sealed(&bytes) {
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
