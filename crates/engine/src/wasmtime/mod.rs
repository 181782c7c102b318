//! Wasmtime, with Cranelift.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `instance.rs` | one instance: calls, memories, globals, tables |
//! | `host.rs` | host calls, and what the store keeps for them |
//! | `values.rs` | values and types, there and back |
//! | `limits.rs` | how much an instance may take, and the pool of address space |
//! | `interrupt.rs` | where a guest's machine code is |

#![expect(unsafe_code, reason = "Wasmtime loads machine code that is trusted")]

mod error;
mod host;
mod instance;
mod interrupt;
mod limits;
mod values;

use std::path::Path;
use std::sync::Arc;

use wasmtime::{Config, Linker};

use self::error::{KIND, text};
use self::host::{HostData, define};
use super::{Engine, EngineKind, Error, HostCallback, Instance, MemoryGovernor, Module, Optimized};
use crate::model::Limits;
use crate::model::shape::Shape;

/// The engine.
pub(super) struct Wasmtime {
    engine: wasmtime::Engine,
}

impl Wasmtime {
    /// The engine, with one thread pool for compiling.
    pub(super) fn new(pool: Option<u32>, stack: usize) -> Result<Self, Error> {
        let mut config = Config::new();
        config
            .wasm_multi_memory(true)
            .wasm_tail_call(true)
            .wasm_branch_hinting(true)
            .wasm_exceptions(true)
            .max_wasm_stack(stack)
            // Not used, but Wasmtime wants it to be larger.
            .async_stack_size(2 * stack);
        if let Some(instances) = pool {
            config.allocation_strategy(limits::pooling(instances));
        }
        let engine = wasmtime::Engine::new(&config).map_err(|e| Error::Setup(KIND, text(&e)))?;
        Ok(Self { engine })
    }
}

impl Engine for Wasmtime {
    fn kind(&self) -> EngineKind {
        KIND
    }

    fn code_key(&self) -> String {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        format!("wasmtime-{:016x}", hasher.finish())
    }

    fn compile(&self, wasm: &[u8], code: &Path) -> Result<Optimized, Error> {
        let bytes = self.engine.precompile_module(wasm);
        let bytes = bytes.map_err(|e| Error::Compile(KIND, text(&e)))?;
        std::fs::write(code, bytes).map_err(|e| Error::Write(code.into(), e))?;
        Ok(Optimized::All)
    }

    unsafe fn load(&self, code: &Path, shape: &Arc<Shape>) -> Result<Arc<dyn Module>, Error> {
        // SAFETY: the caller vouches for the file.
        let module = unsafe { wasmtime::Module::deserialize_file(&self.engine, code) }
            .map_err(|e| Error::Load(KIND, text(&e)))?;
        let mut linker = Linker::new(&self.engine);
        // Go imports some functions twice.
        linker.allow_shadowing(true);
        for (index, import) in shape.imports.iter().enumerate() {
            define(&mut linker, import, index).map_err(|e| Error::Load(KIND, text(&e)))?;
        }
        let pre = linker
            .instantiate_pre(&module)
            .map_err(|e| Error::Load(KIND, text(&e)))?;
        Ok(Arc::new(WasmtimeModule {
            engine: self.engine.clone(),
            pre,
            shape: shape.clone(),
        }))
    }
}

struct WasmtimeModule {
    engine: wasmtime::Engine,
    pre: wasmtime::InstancePre<HostData>,
    shape: Arc<Shape>,
}

impl Module for WasmtimeModule {
    fn instantiate(
        &self,
        host: HostCallback,
        limits: &Limits,
        governor: Option<Arc<dyn MemoryGovernor>>,
    ) -> Result<Box<dyn Instance>, Error> {
        let data = HostData::new(host, *limits, governor);
        let made = instance::instantiate(&self.engine, &self.pre, &self.shape, data)?;
        Ok(Box::new(made))
    }
}
