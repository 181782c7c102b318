//! A resumable module into the machine code of an engine, once, through the cache.

use std::sync::{Arc, PoisonError};

use super::program::Program;
use super::progress::{Progress, Reporter, STAGES, Work};
use super::runtime::Runtime;
use crate::engine::{self, EngineKind};
use crate::model::error::Error;

impl Program {
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
        let code = runtime.cache.code(&self.digest(), &engine.code_key());
        #[expect(unsafe_code, reason = "`Engine::load` asks for it")]
        // SAFETY: the file is in a directory that only we write to, under a name that says which
        // engine and settings made it; it got that name when it was complete, and nothing changes
        // it afterwards.
        let load = || unsafe { engine.load(&code, self.shape()) };
        // Nothing where the file is missing or damaged. Where the system is short of something, the
        // file may be right, and nothing is compiled again.
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
            let reporter = Reporter::new(progress, Work::Compiling(kind));
            reporter.begins(self.length());
            let temporary = runtime.cache.temporary()?;
            engine.compile(self.wasm()?, &temporary)?;
            runtime.cache.keep(temporary, &code)?;
            let loaded = load()?;
            reporter.ended();
            Ok::<_, Error>(loaded)
        };
        let module = cached()?.map_or_else(make, Ok)?;
        modules.push((kind, module.clone()));
        Ok(module)
    }
}
