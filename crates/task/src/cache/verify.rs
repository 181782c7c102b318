//! Whether what the cache holds is what was put there: damage by disks and by hand. Somebody who
//! can write to the directory can also forge the digests.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::contents::{FileEntry, Kind, source_entry};
use super::directory::{Cache, get};
use super::entries::unpack_report;
use crate::instrument::Manifest;
use crate::model::Digest;
use crate::model::error::Error;
use crate::module_bytes::{check_digest, stated_length, unpack};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// How many files were looked at and are whole.
    pub whole: u64,
    /// Files that cannot be checked, since there is nothing to compare them with.
    pub unchecked: Vec<PathBuf>,
    /// What is damaged.
    pub damaged: Vec<Damaged>,
    /// Files that processes have left unfinished when they were killed, and that are gone now.
    pub abandoned: u64,
}

/// A damaged file.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Where it is.
    pub path: PathBuf,
    /// The module to which it belongs, and names of its source.
    pub module: Option<(Digest, Vec<String>)>,
    /// What is wrong with it.
    pub what: String,
    /// It has been removed, with what depends on it.
    pub is_removed: bool,
}

/// What a file is.
enum Found {
    Whole,
    Unchecked,
    Damaged(String),
    /// It has gone meanwhile, or is nothing that could be damaged.
    Gone,
}

impl Cache {
    /// Looks at everything, and with `repair` removes what is damaged: it is made again when it is
    /// needed.
    ///
    /// # Errors
    /// If something cannot be read or removed.
    pub fn verify(&self, repair: bool) -> Result<Verified, Error> {
        let files = self.files()?;
        let mut verified = Verified::default();
        if repair {
            verified.abandoned = self.sweep(&files)?;
        }
        let modules = self.group(&files);
        for file in &files {
            let what = match self.look(file)? {
                Found::Whole => {
                    verified.whole += 1;
                    continue;
                }
                Found::Unchecked => {
                    verified.unchecked.push(file.path.clone());
                    continue;
                }
                Found::Gone => continue,
                Found::Damaged(what) => what,
            };
            let of = modules.iter().find(|module| {
                let mut all = module.code.iter().flat_map(|code| &code.files);
                module.files.contains(&file.path) || all.any(|path| *path == file.path)
            });
            // Machine code goes alone, a module with what describes it.
            let together: BTreeSet<&PathBuf> = match of {
                Some(module) if module.files.contains(&file.path) => module.files.iter().collect(),
                Some(module) => {
                    let mut code = module.code.iter();
                    let code = code.find(|code| code.files.contains(&file.path));
                    code.map_or_else(BTreeSet::new, |code| code.files.iter().collect())
                }
                None => BTreeSet::from([&file.path]),
            };
            let together: Vec<_> = together.into_iter().cloned().collect();
            verified.damaged.push(Damaged {
                path: file.path.clone(),
                module: of.map(|module| (module.module, module.names.clone())),
                what,
                is_removed: repair && self.remove(&together)?,
            });
        }
        Ok(verified)
    }

    fn look(&self, file: &FileEntry) -> Result<Found, Error> {
        let Some(bytes) = get(&file.path)? else {
            return Ok(Found::Gone);
        };
        let damaged = |error: Error| Found::Damaged(error.to_string());
        Ok(match &file.kind {
            Kind::Lock | Kind::Temporary | Kind::CodeDigest(_) => Found::Gone,
            Kind::Source => match source_entry(&file.path) {
                Some(_) => Found::Whole,
                None => Found::Damaged("it does not say which module belongs to a source".into()),
            },
            Kind::Module(module) => {
                let length = stated_length(&bytes).unwrap_or_default();
                let checked = unpack(&bytes, length).and_then(|wasm| check_digest(&wasm, module));
                checked.map_or_else(damaged, |()| Found::Whole)
            }
            Kind::Manifest(module) => self.look_at_manifest(&bytes, module)?,
            Kind::Report(_) => match unpack_report(&bytes) {
                Some(_) => Found::Whole,
                None => Found::Damaged("it cannot be read".into()),
            },
            Kind::Code(..) => match get(&Self::code_digest(&file.path))? {
                None => Found::Unchecked,
                Some(stated) if stated == Digest::of(&bytes).as_bytes() => Found::Whole,
                Some(_) => Found::Damaged("it has another digest than when it was made".into()),
            },
        })
    }

    /// A manifest is the one that its module contains.
    fn look_at_manifest(&self, bytes: &[u8], module: &Digest) -> Result<Found, Error> {
        let Some(packed) = get(&self.module(module))? else {
            return Ok(Found::Gone);
        };
        let wasm = unpack(&packed, stated_length(&packed).unwrap_or_default());
        // What is wrong with the module is said there.
        let Ok(manifest) = wasm.and_then(|wasm| Ok(Manifest::of(&wasm)?)) else {
            return Ok(Found::Gone);
        };
        let inside = rmp_serde::to_vec_named(&manifest).unwrap_or_default();
        Ok(match inside == bytes {
            true => Found::Whole,
            false => Found::Damaged("it is not the manifest that its module contains".into()),
        })
    }
}
