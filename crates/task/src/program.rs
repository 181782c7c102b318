//! Modules made ready to run: resumable, compiled for an engine, and cached on disk.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::cache::{self, Cache};
use super::functions::HostFunctions;
use super::host::wasi_function;
use super::known::SourceEntry;
use super::packed::{check_digest, has_connections, unpack};
use super::progress::{Progress, Telling, Work};
use super::{Snapshot, TaskError};
use crate::engine::{self, Engine, EngineKind};
use crate::instrument::{self, HostFunction, Instrumented, Manifest, Report, Segment, Transform};
use crate::model::error::Error;
use crate::model::{Digest, Limits, Shape};
use crate::snapshot::ModuleRef;

/// How a [`Runtime`] is set up.
#[derive(Debug, Default)]
pub struct RuntimeOptions {
    /// Directory for resumable modules and compiled code; `None` is the user's cache directory.
    pub cache: Option<PathBuf>,
    /// Functions that guests can import beside WASI.
    pub functions: HostFunctions,
    /// How modules are made resumable.
    pub transform: Transform,
    /// Whether guests that compute can be suspended too; [`Runtime::load_as`] asks for it module by
    /// module.
    pub preempt: bool,
    /// Keep address space for so many instances, which makes starting one much cheaper: for programs
    /// that run many guests. `None` gives each instance its own.
    pub pool: Option<u32>,
    /// How large modules may be, and how deep guests' calls may get.
    pub limits: Limits,
}

/// What programs share: the cache, the engines, the host functions.
pub struct Runtime {
    pub(super) cache: Cache,
    functions: HostFunctions,
    pub(super) transform: Transform,
    pub(super) preempt: bool,
    pool: Option<u32>,
    pub(super) limits: Limits,
    engines: Mutex<Vec<Arc<dyn Engine>>>,
}

/// Instrumenting, then compiling.
const STAGES: usize = instrument::STAGES + 1;

/// Ends the name of the transform in a snapshot whose module has checks.
const PREEMPTIBLE: &str = " with checks";

impl Runtime {
    /// Opens the cache.
    ///
    /// # Errors
    /// `TaskError::Cache` where the directory cannot be made or belongs to somebody else.
    pub fn new(options: RuntimeOptions) -> Result<Self, Error> {
        let root = options.cache.unwrap_or_else(Cache::default_root);
        Ok(Self {
            cache: Cache::open(&root)?,
            functions: options.functions,
            transform: options.transform,
            preempt: options.preempt,
            pool: options.pool,
            limits: options.limits,
            engines: Mutex::default(),
        })
    }

    /// Makes a module resumable, or finds it in the cache.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn load(&self, source: &[u8], progress: Progress<'_>) -> Result<Arc<Program>, Error> {
        self.load_as(source, self.preempt, progress)
    }

    /// Like [`load`](Self::load), and says whether the guest can be suspended while it computes: its
    /// loops and calls carry a check then.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn load_as(
        &self,
        source: &[u8],
        preempt: bool,
        progress: Progress<'_>,
    ) -> Result<Arc<Program>, Error> {
        instrument::check_size(source, &self.limits, 1).map_err(TaskError::Limit)?;
        let entry = self.cache.source(&self.source_key(source, preempt));
        let cached = || self.cached_source(&entry);
        if let Some(program) = cached()? {
            return Ok(program);
        }
        let _lock = self.cache.lock(&entry, || {
            progress.stage("waiting for another process", 0, STAGES)
        });
        match cached()? {
            Some(program) => Ok(program),
            None => Ok(self.instrument_as(source, preempt, progress)?.0),
        }
    }

    /// Makes a module resumable anew, and says what was done.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn instrument(
        &self,
        source: &[u8],
        progress: Progress<'_>,
    ) -> Result<(Arc<Program>, Report), Error> {
        self.instrument_as(source, self.preempt, progress)
    }

    fn instrument_as(
        &self,
        source: &[u8],
        preempt: bool,
        progress: Progress<'_>,
    ) -> Result<(Arc<Program>, Report), Error> {
        let done = self.rewrite(source, preempt, progress)?;
        let module = Digest::of(&done.wasm);
        let packed = zstd::bulk::compress(&done.wasm, zstd::DEFAULT_COMPRESSION_LEVEL)
            .map_err(|e| TaskError::Mismatch(e.to_string()))?;
        let manifest = rmp_serde::to_vec_named(&done.manifest)
            .map_err(|e| TaskError::Mismatch(e.to_string()))?;
        let entry = rmp_serde::to_vec_named(&SourceEntry { module })
            .map_err(|e| TaskError::Mismatch(e.to_string()))?;
        self.cache.put(&self.cache.module(&module), &packed)?;
        self.cache.put(&self.cache.manifest(&module), &manifest)?;
        self.cache.put(
            &self.cache.source(&self.source_key(source, preempt)),
            &entry,
        )?;
        let length = done.wasm.len() as u64;
        let program = Program::new(module, done.manifest, packed.into(), length);
        // It has just been decompressed, so to speak.
        let _ = program.wasm.set(done.wasm);
        Ok((Arc::new(program), done.report))
    }

    /// Makes a module resumable, and keeps nothing of it.
    pub fn rewrite(
        &self,
        source: &[u8],
        preempt: bool,
        progress: Progress<'_>,
    ) -> Result<Instrumented, Error> {
        let connections = has_connections(source);
        let telling = Telling::new(progress, Work::Rewriting);
        let options = instrument::Options {
            host: &|module, name, params| self.host_function(module, name, params, connections),
            transform: self.transform,
            preempt,
            progress: &|stage, number| progress.stage(stage, number, STAGES),
            code: &|bytes| telling.begins(bytes),
        };
        let done = instrument::instrument(source, &options)?;
        telling.ended();
        Ok(done)
    }

    /// The module of a snapshot: from the snapshot itself, else from the cache.
    ///
    /// # Errors
    /// `TaskError::ModuleMissing` where neither has it.
    pub fn load_snapshot(&self, snapshot: &Snapshot) -> Result<Arc<Program>, Error> {
        let wanted = snapshot.meta.module;
        let ModuleRef::Embedded { packed, length } = &snapshot.module else {
            return self
                .cached(&wanted)?
                .ok_or_else(|| TaskError::ModuleMissing(wanted).into());
        };
        // What lies in the cache was checked before it got there. The same bytes need not be
        // unpacked to run; other bytes might be anything, and would go on into the next snapshot.
        if let Some(program) = self.cached(&wanted)?
            && program.packed == *packed
            && program.length == *length
        {
            return Ok(program);
        }
        self.load_packed(&wanted, packed, *length)
    }

    /// A module from a stranger: it must be what it claims.
    fn load_packed(
        &self,
        wanted: &Digest,
        packed: &Arc<[u8]>,
        length: u64,
    ) -> Result<Arc<Program>, Error> {
        let forged = |error: instrument::Error| TaskError::Mismatch(error.to_string());
        let wasm = unpack(packed, length)?;
        instrument::check_size(&wasm, &self.limits, 8).map_err(TaskError::Limit)?;
        check_digest(&wasm, wanted)?;
        let manifest = Manifest::of(&wasm)?;
        // Machine code made of it is going to be cached, so that it must be what it claims.
        instrument::check_resumable(&wasm, &manifest).map_err(forged)?;
        let bytes =
            rmp_serde::to_vec_named(&manifest).map_err(|e| TaskError::Mismatch(e.to_string()))?;
        self.cache.put(&self.cache.module(wanted), packed)?;
        self.cache.put(&self.cache.manifest(wanted), &bytes)?;
        let program = Program::new(*wanted, manifest, packed.clone(), length);
        let _ = program.wasm.set(wasm);
        Ok(Arc::new(program))
    }

    /// The module of this digest: from the cache, else from the bytes that `packed` gives.
    ///
    /// # Errors
    /// `TaskError::ModuleMissing` where neither has it.
    pub fn load_stored(
        &self,
        wanted: &Digest,
        packed: impl FnOnce() -> Result<Option<Vec<u8>>, Error>,
    ) -> Result<Arc<Program>, Error> {
        if let Some(program) = self.cached(wanted)? {
            return Ok(program);
        }
        let packed = packed()?.ok_or(TaskError::ModuleMissing(*wanted))?;
        let length = zstd::zstd_safe::get_frame_content_size(&packed);
        let length = length.ok().flatten().unwrap_or_default();
        self.load_packed(wanted, &packed.into(), length)
    }

    /// Checks that a module given beside a snapshot is the one that the snapshot was taken of.
    ///
    /// # Errors
    /// `TaskError::OtherModule` or `TaskError::OtherTransform`.
    pub fn load_beside(
        &self,
        source: &[u8],
        snapshot: &Snapshot,
        progress: Progress<'_>,
    ) -> Result<Arc<Program>, Error> {
        let found = Digest::of(source);
        if found != snapshot.meta.source {
            let wanted = snapshot.meta.source;
            return Err(TaskError::OtherModule { wanted, found }.into());
        }
        let preempt = snapshot.meta.transform.ends_with(PREEMPTIBLE);
        let program = self.load_as(source, preempt, progress)?;
        match program.digest == snapshot.meta.module {
            true => Ok(program),
            false => Err(TaskError::OtherTransform {
                ours: env!("CARGO_PKG_VERSION").into(),
                theirs: snapshot.meta.tool.clone(),
            }
            .into()),
        }
    }

    pub(super) fn functions(&self) -> &HostFunctions {
        &self.functions
    }

    /// The engine of this kind, started at its first use.
    pub fn engine(&self, kind: EngineKind) -> Result<Arc<dyn Engine>, Error> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.iter().find(|engine| engine.kind() == kind) {
            return Ok(engine.clone());
        }
        let engine = engine::engine(kind, self.pool, &self.limits)?;
        engines.push(engine.clone());
        Ok(engine)
    }

    fn host_function(
        &self,
        module: &str,
        name: &str,
        params: &[crate::model::ValType],
        connections: bool,
    ) -> Option<HostFunction> {
        if let Some(registered) = self.functions.get(module, name) {
            return Some(registered.ty.clone());
        }
        let function = wasi_function(module, name, params)?;
        Some(HostFunction {
            params: function.params().to_vec(),
            results: match function.has_result() {
                true => vec![crate::model::ValType::I32],
                false => Vec::new(),
            },
            // Output waits for a peer only where there can be one.
            blocks: function.may_block(connections),
        })
    }

    /// What a resumable module depends on.
    pub(super) fn cached(&self, module: &Digest) -> Result<Option<Arc<Program>>, Error> {
        let manifest = cache::get(&self.cache.manifest(module))?;
        let packed = cache::get(&self.cache.module(module))?;
        let program = manifest.zip(packed).and_then(|(manifest, packed)| {
            let manifest = rmp_serde::from_slice(&manifest).ok()?;
            let length = zstd::zstd_safe::get_frame_content_size(&packed).ok()??;
            Some(Program::new(*module, manifest, packed.into(), length))
        });
        Ok(program.map(Arc::new))
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("cache", &self.cache)
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}

/// A resumable module, ready for any engine.
pub struct Program {
    digest: Digest,
    manifest: Manifest,
    shape: Arc<Shape>,
    packed: Arc<[u8]>,
    length: u64,
    wasm: OnceLock<Vec<u8>>,
    image: OnceLock<Vec<Segment>>,
    modules: Mutex<Vec<(EngineKind, Arc<dyn engine::Module>)>>,
}

impl Program {
    fn new(digest: Digest, manifest: Manifest, packed: Arc<[u8]>, length: u64) -> Self {
        Self {
            digest,
            shape: Arc::new(manifest.shape.clone()),
            manifest,
            packed,
            length,
            wasm: OnceLock::new(),
            image: OnceLock::new(),
            modules: Mutex::default(),
        }
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
    /// Where the compressed module is damaged.
    pub fn wasm(&self) -> Result<&[u8], Error> {
        if let Some(wasm) = self.wasm.get() {
            return Ok(wasm);
        }
        let wasm = unpack(&self.packed, self.length)?;
        check_digest(&wasm, &self.digest)?;
        Ok(self.wasm.get_or_init(|| wasm))
    }

    /// Compiles for an engine ahead of the first task, unless that has been done.
    ///
    /// # Errors
    /// Where the engine is not built in or cannot compile the module.
    pub fn compile(
        &self,
        runtime: &Runtime,
        kind: EngineKind,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        self.module(runtime, kind, progress).map(drop)
    }

    pub(super) fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The resumable module, compressed with zstd.
    pub fn packed(&self) -> &Arc<[u8]> {
        &self.packed
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

    pub(super) fn module(
        &self,
        runtime: &Runtime,
        kind: EngineKind,
        progress: Progress<'_>,
    ) -> Result<Arc<dyn engine::Module>, Error> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, module)) = modules.iter().find(|(engine, _)| *engine == kind) {
            return Ok(module.clone());
        }
        let engine = runtime.engine(kind)?;
        let code = runtime.cache.code(&self.digest, &engine.code_key());
        #[expect(unsafe_code, reason = "`Engine::load` asks for it")]
        // SAFETY: the file is in a directory that only we write to, under a name that says which
        // engine and settings made it; it got that name when it was complete, and nothing changes
        // it afterwards.
        let load = || unsafe { engine.load(&code, &self.shape) };
        // Not there, or damaged. What cannot be loaded only now need not be compiled again.
        let cached = || match code.exists().then(load).transpose().map_err(Error::from) {
            Err(error) if error.passes() => Err(error),
            loaded => Ok(loaded.ok().flatten()),
        };
        let make = || {
            let stage = |text: &str| progress.stage(text, STAGES - 1, STAGES);
            let _lock = runtime
                .cache
                .lock(&code, || stage("waiting for another process"));
            if let Some(module) = cached()? {
                return Ok(module);
            }
            stage(&format!("compiling with {kind}"));
            let telling = Telling::new(progress, Work::Compiling(kind));
            telling.begins(self.length);
            let temporary = runtime.cache.temporary()?;
            engine.compile(self.wasm()?, &temporary)?;
            runtime.cache.keep(temporary, &code)?;
            let loaded = load()?;
            telling.ended();
            Ok::<_, Error>(loaded)
        };
        let module = cached()?.map_or_else(make, Ok)?;
        modules.push((kind, module.clone()));
        Ok(module)
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
