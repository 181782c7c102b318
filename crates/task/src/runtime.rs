//! What the tasks of a process share: the cache, the engines, the host functions.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::cache::Cache;
use super::functions::HostFunctions;
use crate::engine::{self, Engine, EngineKind};
use crate::instrument::Transform;
use crate::model::Limits;
use crate::model::error::Error;

/// Sets up a [`Runtime`]. Each method says what holds where it is not called.
#[derive(Debug, Default)]
#[must_use = "`build` makes the runtime"]
pub struct RuntimeBuilder {
    cache: Option<PathBuf>,
    functions: HostFunctions,
    transform: Transform,
    preempt: bool,
    pool: Option<u32>,
    limits: Limits,
}

impl RuntimeBuilder {
    /// The directory for resumable modules and compiled code. Default: `DORMOUSE_CACHE`, else
    /// `dormouse/modules` in the user's cache directory.
    pub fn cache(mut self, directory: impl Into<Option<PathBuf>>) -> Self {
        self.cache = directory.into();
        self
    }

    /// Functions that guests can import beside WASI. Default: none.
    pub fn functions(mut self, functions: HostFunctions) -> Self {
        self.functions = functions;
        self
    }

    /// How modules are made resumable. Default: [`Transform::default`].
    pub fn transform(mut self, transform: Transform) -> Self {
        self.transform = transform;
        self
    }

    /// Whether guests can be suspended while they compute as well; their loops and calls carry
    /// checks then. Default: no. [`Runtime::load_as`] asks for it module by module.
    pub fn preempt(mut self, preempt: bool) -> Self {
        self.preempt = preempt;
        self
    }

    /// For how many instances address space is kept, which makes it much cheaper to start one: for
    /// programs that run many guests. Default: each instance gets its own when it starts.
    pub fn pool(mut self, instances: impl Into<Option<u32>>) -> Self {
        self.pool = instances.into();
        self
    }

    /// How large modules may be, and how deep guests' calls may get. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens the cache. Engines are started at their first use.
    ///
    /// # Errors
    /// If the cache's directory cannot be made, or belongs to somebody else, or if
    /// `DORMOUSE_CACHE_SIZE` is no size.
    pub fn build(self) -> Result<Runtime, Error> {
        Ok(Runtime {
            cache: Cache::open(self.cache)?,
            functions: self.functions,
            transform: self.transform,
            preempt: self.preempt,
            pool: self.pool,
            limits: self.limits,
            engines: Mutex::default(),
        })
    }
}

/// What all programs loaded with it share: the cache, the engines, the host functions, and the
/// settings made with [`RuntimeBuilder`].
pub struct Runtime {
    pub(super) cache: Cache,
    functions: HostFunctions,
    pub(super) transform: Transform,
    pub(super) preempt: bool,
    pool: Option<u32>,
    pub(super) limits: Limits,
    engines: Mutex<Vec<Arc<dyn Engine>>>,
}

impl Runtime {
    /// A runtime with all defaults.
    ///
    /// # Errors
    /// If the cache's directory cannot be made, or belongs to somebody else.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Begins to set up a runtime.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    pub(super) fn functions(&self) -> &HostFunctions {
        &self.functions
    }

    /// The engine of this kind, started at its first use.
    pub fn engine(&self, kind: EngineKind) -> Result<Arc<dyn Engine>, Error> {
        let mut engines = self.engines.lock();
        if let Some(engine) = engines.iter().find(|engine| engine.kind() == kind) {
            return Ok(engine.clone());
        }
        let engine = engine::engine(kind, self.pool, &self.limits)?;
        engines.push(engine.clone());
        Ok(engine)
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
