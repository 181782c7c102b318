//! A resumable module into the machine code of an engine, once, through the cache.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::cache::{self, Cache, Lock};
use super::error::TaskError;
use super::module_bytes::code_bytes;
use super::program::Program;
use super::progress::{Progress, Reporter, Step, Waiting, Work};
use super::runtime::Runtime;
use crate::engine::{self, Engine, EngineKind};
use crate::model::Digest;
use crate::model::error::Error;

impl Program {
    /// Compiles for an engine ahead of the first task, unless that has been done. Says whether it
    /// was compiled now, here or by another process that was waited for.
    ///
    /// # Errors
    /// If the engine is not built in or cannot compile the module.
    pub fn compile(
        &self,
        runtime: &Runtime,
        kind: EngineKind,
        progress: Progress<'_>,
    ) -> Result<bool, Error> {
        self.module_and_tell(runtime, kind, progress)
            .map(|(_, was_made)| was_made)
    }

    /// Compiles for an engine anew, whatever the cache has, and puts the machine code into the
    /// cache.
    ///
    /// # Errors
    /// If the engine is not built in or cannot compile the module.
    pub fn compile_anew(
        &self,
        runtime: &Runtime,
        kind: EngineKind,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        let code = Code::of(self, runtime, kind)?;
        let waiting = Waiting::new(progress, Work::Compiling(kind));
        let lock = runtime.cache.lock(&code.path, &|found| waiting.look(found));
        code.make(progress, &lock).map(drop)
    }

    /// The machine code for an engine, behind the name of the engine with its version, settings and
    /// processor.
    pub(super) fn machine_code(
        &self,
        runtime: &Runtime,
        kind: EngineKind,
        progress: Progress<'_>,
    ) -> Result<(String, Vec<u8>), Error> {
        self.compile(runtime, kind, progress)?;
        let code = Code::of(self, runtime, kind)?;
        let found = match cache::get(&code.path)? {
            // Somebody has removed it since.
            None => {
                self.compile_anew(runtime, kind, progress)?;
                cache::get(&code.path)?.ok_or_else(|| TaskError::Cache {
                    path: code.path.clone(),
                    source: io::ErrorKind::NotFound.into(),
                })?
            }
            Some(found) => found,
        };
        Ok((code.engine.code_key(), found))
    }

    pub(super) fn module(
        &self,
        runtime: &Runtime,
        kind: EngineKind,
        progress: Progress<'_>,
    ) -> Result<Arc<dyn engine::Module>, Error> {
        self.module_and_tell(runtime, kind, progress)
            .map(|(module, _)| module)
    }

    /// The second: whether it was not there already.
    fn module_and_tell(
        &self,
        runtime: &Runtime,
        kind: EngineKind,
        progress: Progress<'_>,
    ) -> Result<(Arc<dyn engine::Module>, bool), Error> {
        let mut modules = self.modules.lock();
        if let Some((_, module)) = modules.iter().find(|(engine, _)| *engine == kind) {
            return Ok((module.clone(), false));
        }
        let code = Code::of(self, runtime, kind)?;
        let cached = code.cached()?;
        let was_made = cached.is_none();
        let module = match cached {
            Some(module) => module,
            None => {
                let waiting = Waiting::new(progress, Work::Compiling(kind));
                let lock = runtime.cache.lock(&code.path, &|found| waiting.look(found));
                match code.cached()? {
                    Some(module) => {
                        waiting.over();
                        module
                    }
                    None => code.make(progress, &lock)?,
                }
            }
        };
        modules.push((kind, module.clone()));
        Ok((module, was_made))
    }
}

/// The machine code of a program for an engine.
struct Code<'a> {
    program: &'a Program,
    runtime: &'a Runtime,
    engine: Arc<dyn Engine>,
    path: PathBuf,
}

impl<'a> Code<'a> {
    fn of(program: &'a Program, runtime: &'a Runtime, kind: EngineKind) -> Result<Self, Error> {
        let engine = runtime.engine(kind)?;
        Ok(Self {
            program,
            runtime,
            path: runtime.cache.code(&program.digest(), &engine.code_key()),
            engine,
        })
    }

    fn load(&self) -> Result<Arc<dyn engine::Module>, engine::Error> {
        #[expect(unsafe_code, reason = "`Engine::load` asks for it")]
        // SAFETY: the file is in a directory that only we write to, under a name that says which
        // engine and settings made it; it got that name when it was complete, and nothing changes
        // it afterwards.
        unsafe {
            self.engine.load(&self.path, self.program.shape())
        }
    }

    /// Nothing where the file is missing or damaged. Where the system is short of something, the
    /// file may be right, and nothing is compiled again.
    fn cached(&self) -> Result<Option<Arc<dyn engine::Module>>, Error> {
        let loaded = self.path.exists().then(|| self.load()).transpose();
        match loaded.map_err(Error::from) {
            Err(error) if error.passes() => Err(error),
            loaded => {
                let loaded = loaded.ok().flatten();
                if loaded.is_some() {
                    Cache::mark_used(&self.path);
                }
                Ok(loaded)
            }
        }
    }

    /// Makes it, and puts it into the cache.
    fn make(&self, progress: Progress<'_>, lock: &Lock) -> Result<Arc<dyn engine::Module>, Error> {
        let cache = &self.runtime.cache;
        let wasm = self.program.wasm()?;
        let bytes = code_bytes(wasm);
        let work = Work::Compiling(self.engine.kind());
        let note = |under_way: &_| lock.note(under_way);
        let reporter = Reporter::new(progress, &note, work, bytes);
        reporter.step(Step::Compiling);
        reporter.begins(bytes);
        let temporary = cache.temporary()?;
        let optimized = self.engine.compile(wasm, &temporary)?;
        progress.compiled(self.engine.kind(), optimized);
        let made = cache::get(&temporary)?.unwrap_or_default();
        // In front of the code: what has a digest can be checked.
        let digest = Digest::of(&made);
        cache.put(&Cache::code_digest(&self.path), digest.as_bytes())?;
        cache.keep(temporary, &self.path)?;
        reporter.step(Step::Loading);
        let loaded = self.load()?;
        cache.has_grown(made.len() as u64)?;
        reporter.ended();
        Ok(loaded)
    }
}
