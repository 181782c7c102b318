//! A resumable module, ready for any engine.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::error::TaskError;
use super::import_target::{ImportTarget, Serving, import_targets};
use super::module_bytes::{check_digest, unpack};
use crate::engine::{self, EngineKind};
use crate::instrument::{self, Manifest, Segment};
use crate::model::error::Error;
use crate::model::{Digest, Shape};
use crate::snapshot::ModuleRef;

/// Ends the name of the transform in a snapshot whose module has checks.
pub(super) const PREEMPTIBLE: &str = " with checks";

/// A resumable module, ready for any engine.
pub struct Program {
    digest: Digest,
    manifest: Manifest,
    shape: Arc<Shape>,
    packed: Arc<[u8]>,
    length: u64,
    wasm: OnceLock<Vec<u8>>,
    image: OnceLock<Vec<Segment>>,
    import_targets: OnceLock<Arc<[ImportTarget]>>,
    serving: OnceLock<Serving>,
    /// Compiled by each engine that has been asked for.
    pub(super) modules: Mutex<Vec<(EngineKind, Arc<dyn engine::Module>)>>,
}

impl Program {
    pub(super) fn new(digest: Digest, manifest: Manifest, packed: Arc<[u8]>, length: u64) -> Self {
        Self {
            digest,
            shape: Arc::new(manifest.shape.clone()),
            manifest,
            packed,
            length,
            wasm: OnceLock::new(),
            image: OnceLock::new(),
            import_targets: OnceLock::new(),
            serving: OnceLock::new(),
            modules: Mutex::default(),
        }
    }

    /// A program whose module is at hand unpacked as well, so that nobody has to unpack it.
    pub(super) fn of_wasm(
        digest: Digest,
        manifest: Manifest,
        packed: Arc<[u8]>,
        wasm: Vec<u8>,
    ) -> Self {
        let program = Self::new(digest, manifest, packed, wasm.len() as u64);
        // It is empty.
        let _ = program.wasm.set(wasm);
        program
    }

    /// Digest of the resumable module.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How the module was made resumable, in words.
    pub(super) fn transform(&self) -> String {
        let checks = if self.manifest.preempt {
            PREEMPTIBLE
        } else {
            ""
        };
        format!("{}{checks}", self.manifest.transform)
    }

    /// Where the module comes from and how its state is reached.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The resumable module.
    ///
    /// # Errors
    /// If the compressed module is damaged.
    pub fn wasm(&self) -> Result<&[u8], Error> {
        if let Some(wasm) = self.wasm.get() {
            return Ok(wasm);
        }
        let wasm = unpack(&self.packed, self.length)?;
        check_digest(&wasm, &self.digest)?;
        Ok(self.wasm.get_or_init(|| wasm))
    }

    pub(super) fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// What answers each of the module's imports.
    pub(super) fn import_targets(&self) -> Arc<[ImportTarget]> {
        let targets = || import_targets(&self.shape);
        self.import_targets.get_or_init(targets).clone()
    }

    /// Checks whether a guest can do what it is to do: answer HTTP requests, or run.
    ///
    /// # Errors
    /// If it is to answer requests and cannot, or is not to and can do nothing else.
    pub fn check_serving(&self, is_to_serve: bool) -> Result<(), TaskError> {
        let serving = || Serving::of(&self.import_targets());
        match (is_to_serve, self.serving.get_or_init(serving)) {
            (true, Serving::Never) => Err(TaskError::NoHttpHandler),
            (false, Serving::Always) => Err(TaskError::OnlyHttpHandler),
            _ => Ok(()),
        }
    }

    /// The resumable module, compressed with zstd.
    pub fn packed(&self) -> &Arc<[u8]> {
        &self.packed
    }

    /// Length of the resumable module in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How the module is put into a snapshot.
    pub fn embedded(&self) -> ModuleRef {
        ModuleRef::Embedded {
            packed: self.packed.clone(),
            length: self.length,
        }
    }

    /// What a fresh instance's memories hold.
    pub(super) fn image(&self) -> Result<&[Segment], Error> {
        if let Some(image) = self.image.get() {
            return Ok(image);
        }
        let image = instrument::initial_memory(self.wasm()?)?;
        Ok(self.image.get_or_init(|| image))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("digest", &self.digest)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}
