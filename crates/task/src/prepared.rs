//! Prepared modules: resumable modules from elsewhere, with the machine code of engines or without.
//!
//! ```text
//! the resumable module                  as `dormouse build` writes it
//! custom section "dormouse.code"        once for each engine, behind everything else
//! ```
//!
//! Custom sections may stand anywhere, so the file is still a WebAssembly module. The content of
//! each is a [`Code`] in MessagePack.
//!
//! The module is checked as one out of a stranger's snapshot is. Machine code cannot be checked: it
//! is what the processor runs. So nothing takes it by itself, and
//! [`Runtime::keep_machine_code`] is for files from somebody who is trusted.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasm_encoder::{CustomSection, Section as _};

use super::cache::Cache;
use super::error::TaskError;
use super::module_bytes::unpack_exactly;
use super::program::Program;
use super::progress::Progress;
use super::runtime::Runtime;
use crate::engine::EngineKind;
use crate::instrument::{self, Manifest, Transform};
use crate::model::Digest;
use crate::model::error::Error;

/// The name of a custom section that has machine code.
const SECTION: &str = "dormouse.code";

/// The machine code of one engine.
#[derive(Serialize, Deserialize)]
struct Code<'a> {
    /// The engine with its version, settings and processor: another one does not load this code.
    engine: String,
    /// Of the machine code, before it is compressed.
    digest: Digest,
    /// Its bytes, before they are compressed.
    length: u64,
    /// The machine code, compressed with zstd.
    #[serde(borrow, with = "serde_bytes")]
    packed: Cow<'a, [u8]>,
}

/// A file in its parts.
struct Parts<'a> {
    module: &'a [u8],
    code: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(file: &'a [u8]) -> Result<Self, Error> {
        let damaged = |text: String| Error::from(TaskError::DamagedPrepared(text));
        let (mut end, mut code) = (None, Vec::new());
        let sections = instrument::sections(file).map_err(|error| damaged(error.to_string()))?;
        for section in sections {
            let section = section.map_err(|error| damaged(error.to_string()))?;
            match section.custom() {
                Some((SECTION, content)) => {
                    end.get_or_insert(section.start);
                    code.push(content);
                }
                _ if end.is_some() => {
                    return Err(damaged("something follows its machine code".into()));
                }
                _ => {}
            }
        }
        let module = &file[..end.unwrap_or(file.len())];
        Ok(Self { module, code })
    }
}

/// The resumable module of a prepared module, without machine code.
///
/// # Errors
/// Where the file is not a module.
pub fn without_machine_code(file: &[u8]) -> Result<&[u8], Error> {
    Ok(Parts::of(file)?.module)
}

/// Whether machine code lies in a prepared module.
pub fn has_machine_code(file: &[u8]) -> bool {
    Parts::of(file).is_ok_and(|parts| !parts.code.is_empty())
}

impl Runtime {
    /// The program of a prepared module, without its machine code; `None` where the file is no
    /// resumable module.
    ///
    /// # Errors
    /// Where it is damaged or forged, or was made otherwise than this runtime makes modules.
    pub(super) fn load_prepared(
        &self,
        file: &[u8],
        preempt: bool,
    ) -> Result<Option<Arc<Program>>, Error> {
        let manifest = match Manifest::of(file) {
            Ok(manifest) => manifest,
            Err(error @ instrument::Error::UnreadableManifest(_)) => return Err(error.into()),
            // Whoever rewrites modules says what is wrong with it.
            Err(_) => return Ok(None),
        };
        let asked = match self.transform {
            Transform::Auto => manifest.transform,
            asked => asked,
        };
        if asked != manifest.transform || (preempt && !manifest.preempt) {
            return Err(TaskError::PreparedOtherwise {
                transform: manifest.transform,
                preempt: manifest.preempt,
            }
            .into());
        }
        let module = without_machine_code(file)?;
        let digest = Digest::of(module);
        let program = match self.cached(&digest)? {
            Some(program) => program,
            None => self.keep_untrusted(digest, manifest, module)?,
        };
        Ok(Some(program))
    }

    /// A prepared module: the program with the machine code of some engines, which are compiled for
    /// where that has not been done. It is a stranger's to everybody until it is signed.
    ///
    /// # Errors
    /// Where an engine is not built in or cannot compile the module.
    pub fn with_machine_code(
        &self,
        program: &Program,
        engines: &[EngineKind],
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, Error> {
        let mut file = program.wasm()?.to_vec();
        for engine in engines {
            let (key, code) = program.machine_code(self, *engine, progress)?;
            let packed = zstd::bulk::compress(&code, zstd::DEFAULT_COMPRESSION_LEVEL);
            let code = Code {
                engine: key,
                digest: Digest::of(&code),
                length: code.len() as u64,
                packed: packed.map_err(TaskError::Compress)?.into(),
            };
            let data = rmp_serde::to_vec_named(&code).map_err(TaskError::Manifest)?;
            CustomSection {
                name: SECTION.into(),
                data: data.into(),
            }
            .append_to(&mut file);
        }
        Ok(file)
    }

    /// Puts the machine code of a prepared module into the cache, as far as this build's engines on
    /// this processor can load it. Returns for which engines.
    ///
    /// The machine code is going to be run as it is. So the file must come from somebody who may do
    /// with this process what he likes: a signature by a trusted key has been verified.
    ///
    /// # Errors
    /// Where the machine code is damaged, and where the cache cannot be written.
    pub fn keep_machine_code(&self, file: &[u8]) -> Result<Vec<EngineKind>, Error> {
        let parts = Parts::of(file)?;
        let module = Digest::of(parts.module);
        let mut kept = Vec::new();
        for data in parts.code {
            let code: Code<'_> = rmp_serde::from_slice(data).map_err(|error| {
                TaskError::DamagedPrepared(format!("its machine code: {error}"))
            })?;
            for kind in EngineKind::available() {
                // No engine is started for code that is another one's.
                if code.engine.starts_with(&kind.to_string())
                    && self.engine(kind)?.code_key() == code.engine
                {
                    self.keep_code(&module, &code)?;
                    kept.push(kind);
                }
            }
        }
        Ok(kept)
    }

    fn keep_code(&self, module: &Digest, code: &Code<'_>) -> Result<(), Error> {
        let path = self.cache.code(module, &code.engine);
        if path.exists() {
            return Ok(());
        }
        let damaged = |what| TaskError::DamagedPrepared(format!("its machine code: {what}"));
        let bytes = unpack_exactly(&code.packed, code.length).map_err(damaged)?;
        if Digest::of(&bytes) != code.digest {
            return Err(damaged("it has another digest than stated".into()).into());
        }
        let digest = Cache::code_digest(&path);
        self.cache.put(&digest, code.digest.as_bytes())?;
        self.cache.put(&path, &bytes)?;
        self.cache.has_grown(bytes.len() as u64)
    }
}
