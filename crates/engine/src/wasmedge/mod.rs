//! WasmEdge, with its ahead-of-time compiler.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `config.rs` | how WasmEdge is set up |
//! | `compile.rs` | its compiler, in a process of its own |
//! | `instance.rs` | one instance: calls, memories, globals, tables |
//! | `host.rs` | host calls |
//! | `values.rs` | values and types, there and back |
//! | `faults.rs` | the signals that a guest's faults raise |
//! | `library.rs`, `symbols.rs` | loads libwasmedge at its first use |

#![expect(unsafe_code, reason = "WasmEdge's C API")]

mod compile;
mod config;
mod faults;
mod host;
mod instance;
mod library;
mod symbols;
mod values;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmedge_sdk::{CompilerOptimizationLevel, LogManager};

use self::config::{KIND, MAX_PAGES, check_room, config};
use self::instance::WasmEdgeInstance;
use super::{Engine, EngineKind, Error, HostCallback, Instance, MemoryGovernor, Module, Optimized};
use crate::model::shape::Shape;
use crate::model::{Limit, Limits};

/// The engine.
pub(super) struct WasmEdge;

impl WasmEdge {
    pub(super) fn new() -> Result<Self, Error> {
        library::load().map_err(|e| Error::Setup(KIND, e))?;
        // It writes what it also returns to standard output.
        LogManager::log_off();
        faults::install().map_err(|e| Error::Setup(KIND, e))?;
        Ok(Self)
    }
}

impl Engine for WasmEdge {
    fn kind(&self) -> EngineKind {
        KIND
    }

    fn code_key(&self) -> String {
        // Code is compiled for this very CPU, so its features belong to the key.
        let mut hasher = DefaultHasher::new();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let features = cpu
            .lines()
            .find(|line| line.starts_with("flags") || line.starts_with("Features"));
        let levels = (
            compile::MAX_OPTIMIZED_BYTES,
            compile::MAX_PARTLY_OPTIMIZED_BYTES,
            "of the code, slow versions as they are",
        );
        (features, std::env::consts::ARCH, levels).hash(&mut hasher);
        let version = wasmedge_sys::utils::version_string();
        // It loads nothing that is called otherwise.
        format!("wasmedge-{version}-{:016x}.so", hasher.finish())
    }

    fn compile(&self, wasm: &[u8], code: &Path) -> Result<Optimized, Error> {
        compile::check(wasm)?;
        if let Some(folder) = code.parent() {
            check_room(folder, wasm.len())?;
        }
        compile::compile(wasm, code)
    }

    unsafe fn load(&self, code: &Path, shape: &Arc<Shape>) -> Result<Arc<dyn Module>, Error> {
        // The caller vouches for the file, which WasmEdge loads as a shared library. It would take
        // a plain module too, and interpret it.
        let mut magic = [0; 4];
        std::fs::File::open(code)
            .and_then(|mut file| file.read_exact(&mut magic))
            .map_err(|e| Error::Load(KIND, format!("{}: {e}", code.display())))?;
        if magic == *b"\0asm" {
            return Err(Error::Load(KIND, "it holds no machine code".into()));
        }
        let module = wasmedge_sdk::Module::from_file(
            Some(&config(CompilerOptimizationLevel::O0, MAX_PAGES)?),
            code,
        )
        .map_err(|e| Error::Load(KIND, e.to_string()))?;
        Ok(Arc::new(WasmEdgeModule {
            module,
            shape: shape.clone(),
            library: code.canonicalize().unwrap_or_else(|_| code.into()),
        }))
    }
}

struct WasmEdgeModule {
    module: wasmedge_sdk::Module,
    shape: Arc<Shape>,
    /// The file with its code.
    library: PathBuf,
}

impl Module for WasmEdgeModule {
    fn instantiate(
        &self,
        callback: HostCallback,
        limits: &Limits,
        // It does not say when a memory grows: whoever makes the host calls counts.
        _governor: Option<Arc<dyn MemoryGovernor>>,
    ) -> Result<Box<dyn Instance>, Error> {
        // All that it knows is the maximum that each table declares, which is the default one.
        let least = Limits::default().value(Limit::Table);
        if limits.value(Limit::Table) < least && !self.shape.tables.is_empty() {
            return Err(Error::CannotLimit(KIND, "table"));
        }
        let made = WasmEdgeInstance::new(
            &self.module,
            self.shape.clone(),
            self.library.clone(),
            callback,
            limits,
        )?;
        Ok(Box::new(made))
    }
}
