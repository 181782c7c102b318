//! The programs that tasks run, by the digest of their resumable module.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::blobs::preparations::{LoadingTask, PreparationObserver, Preparations};
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, TaskId};
use crate::store::{Change, Store};
use crate::task::{EngineKind, Program, Runtime};

/// How many programs are kept ready to run.
const KEPT_PROGRAMS: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

/// The programs that are ready to run.
pub(crate) struct Programs {
    runtime: Runtime,
    store: Arc<dyn Store>,
    ready: Mutex<LruCache<Digest, Arc<Program>>>,
    preparations: Arc<Preparations>,
}

impl Programs {
    pub(crate) fn new(
        runtime: Runtime,
        store: Arc<dyn Store>,
        preparations: Arc<Preparations>,
    ) -> Self {
        Self {
            preparations,
            runtime,
            store,
            ready: Mutex::new(LruCache::new(KEPT_PROGRAMS)),
        }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Observes work on a module, and tells those who ask how far it is.
    pub(crate) fn told(&self, module: &Digest) -> PreparationObserver {
        self.preparations.observer(module)
    }

    /// A task is loaded, until what this returns is dropped: work on its module is shown with it.
    pub(crate) fn loading(&self, id: TaskId, module: &Digest) -> LoadingTask {
        self.preparations.loading(id, module)
    }

    /// Loads a program that the store has.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Arc<Program>, Error> {
        let mut ready = self.ready.lock();
        if let Some(program) = ready.get(digest) {
            return Ok(program.clone());
        }
        drop(ready);
        let packed = || Ok(self.store.blob(digest)?);
        let program = self.runtime.load_stored(digest, packed)?;
        Ok(self.keep(program))
    }

    /// Makes a module resumable and compiles it; returns the program with the change that stores
    /// it.
    pub(crate) fn add(
        &self,
        source: &[u8],
        preempt: bool,
        engine: EngineKind,
    ) -> Result<(Arc<Program>, Change), Error> {
        let told = self.told(&Digest::of(source));
        let program = self.runtime.load_as(source, preempt, &told)?;
        program.compile(&self.runtime, engine, &told)?;
        let change = blob(&program);
        Ok((self.keep(program), change))
    }

    /// Finds a program by the digest of its source, and compiles it; returns it with the change
    /// that stores it.
    pub(crate) fn find(
        &self,
        source: &Digest,
        preempt: bool,
        engine: EngineKind,
    ) -> Result<Option<(Arc<Program>, Change)>, Error> {
        let program = match self.runtime.load_known_as(source, preempt) {
            Ok(program) => program,
            Err(error) if error.passes() => return Err(error),
            Err(_) => return Ok(None),
        };
        program.compile(&self.runtime, engine, &self.told(source))?;
        let change = blob(&program);
        Ok(Some((self.keep(program), change)))
    }

    /// Refuses a program that the store does not have.
    pub(crate) fn check(&self, digest: &Digest) -> Result<(), Error> {
        let known = {
            let ready = self.ready.lock();
            ready.contains(digest)
        };
        match known || self.store.blob(digest)?.is_some() {
            true => Ok(()),
            false => Err(Refused::NoModule(digest.to_string()).into()),
        }
    }

    pub(crate) fn keep(&self, program: Arc<Program>) -> Arc<Program> {
        let mut ready = self.ready.lock();
        // Two threads may have made it at once; its machine code is to be in memory once.
        if let Some(first) = ready.get(&program.digest()) {
            return first.clone();
        }
        ready.put(program.digest(), program.clone());
        program
    }
}

/// The change that stores a program.
pub(crate) fn blob(program: &Program) -> Change {
    Change::Blob {
        digest: program.digest(),
        bytes: program.packed().to_vec(),
        pack: None,
    }
}
