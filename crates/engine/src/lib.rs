//! Wasm engines behind two small traits, and asyncify's protocol over them.
//!
//! An engine knows nothing of WASI or of snapshots. Host calls come out through one callback, by
//! the import's place in the module's [`Shape`]; state is read and written through [`Instance`].

#[cfg(feature = "wasmedge")]
use dormouse_child as child;
use dormouse_model as model;

pub mod asyncify;
mod error;
mod interrupt;
#[cfg(feature = "wasmedge")]
mod wasmedge;
#[cfg(feature = "wasmtime")]
mod wasmtime;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use crate::model::{Limit, Limits, Reached, Shape, Value};

pub use error::Error;
pub use interrupt::Interrupt;

/// Bytes of native stack that a guest may use: what `main` has on Linux by default.
pub const GUEST_STACK: usize = 8 << 20;

/// The engines that dormouse can run guests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Wasmtime with Cranelift; part of the binary.
    Wasmtime,
    /// WasmEdge with its LLVM compiler; needs the system's libwasmedge.
    WasmEdge,
}

impl EngineKind {
    /// All engines, built in or not.
    pub const ALL: [Self; 2] = [Self::Wasmtime, Self::WasmEdge];

    /// The engines that this build contains.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_available())
    }

    /// Whether this build contains the engine.
    pub fn is_available(self) -> bool {
        match self {
            Self::Wasmtime => cfg!(feature = "wasmtime"),
            Self::WasmEdge => cfg!(feature = "wasmedge"),
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasmtime => "wasmtime",
            Self::WasmEdge => "wasmedge",
        })
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| format!("no engine is called {text:?}; there are wasmtime and wasmedge"))
    }
}

/// A wasm engine.
pub trait Engine: Send + Sync {
    /// Which one.
    fn kind(&self) -> EngineKind;

    /// What machine code made by this engine depends on, apart from the module: its version, the
    /// CPU and the settings.
    fn code_key(&self) -> String;

    /// Compiles a module to a file of machine code.
    fn compile(&self, wasm: &[u8], code: &Path) -> Result<(), Error>;

    /// Loads a file of machine code.
    ///
    /// # Safety
    /// The file must have been written by [`compile`](Self::compile) of the same engine, and must
    /// not change while the module lives: it is machine code that is going to be run.
    #[expect(unsafe_code, reason = "machine code cannot be checked")]
    unsafe fn load(&self, code: &Path, shape: &Arc<Shape>) -> Result<Arc<dyn Module>, Error>;
}

/// A compiled module.
pub trait Module: Send + Sync {
    /// A fresh instance whose host calls go to `host`. Runs nothing of the guest. `limits` says
    /// how large the guest's memories and tables may get; `growth` is asked before its memories grow, where the
    /// engine says that they do.
    fn instantiate(
        &self,
        host: HostCallback,
        limits: &Limits,
        growth: Option<Arc<dyn Growth>>,
    ) -> Result<Box<dyn Instance>, Error>;
}

/// Who has the memory that guests grow into.
pub trait Growth: Send + Sync {
    /// A guest is about to have so many bytes more. Returns when it may.
    ///
    /// # Errors
    /// Where the guest has to be left where it stands.
    fn grow(&self, more: u64) -> Result<(), NoRoom>;
}

/// The guest is left where it stands, because there is no memory for it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no memory for the guest now")]
pub struct NoRoom;

/// Answers the guest's host calls: gets the guest's state, the import's place in
/// [`Shape::imports`] and the arguments as raw bits.
pub type HostCallback = Box<dyn FnMut(&mut dyn Guest, usize, &[u64]) -> Flow + Send>;

/// What a host call does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Returns to the guest, with the raw bits of the result where there is one.
    Return(u64),
    /// The guest unwinds: asyncify's state has been set, and the result does not matter.
    Unwind,
    /// The guest is left where it stands and never goes on.
    Stop,
}

/// The guest as a host call sees it.
pub trait Guest {
    /// The memory that host calls work on; empty where the guest has none.
    fn memory(&mut self) -> &mut [u8];
    /// The memory that holds asyncify's stack.
    fn asyncify_memory(&mut self) -> &mut [u8];
    /// Sets asyncify's two globals.
    fn set_asyncify(&mut self, state: asyncify::State, data: u32);
}

/// How a call into the guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The function returned, or unwound.
    Returned,
    /// A host call answered [`Flow::Stop`].
    Stopped,
}

/// One instance of a module.
pub trait Instance: Guest + Send {
    /// Calls an export without parameters and results.
    ///
    /// # Errors
    /// [`Error::Trap`] where the guest trapped.
    fn call(&mut self, export: &str) -> Result<Ending, Error>;

    /// Whether the guest has unwound, or was about to when it trapped.
    fn is_unwinding(&mut self) -> bool;

    /// Reaches the instance from another thread while it is in a call.
    fn interrupt(&self) -> Interrupt;

    /// The last limit that the guest has been told of, by -1 from `memory.grow` or `table.grow`; an engine
    /// that does not see it gives `None`.
    fn told(&self) -> Option<Reached> {
        None
    }

    /// The guest's memory number `index`.
    fn guest_memory(&mut self, index: usize) -> Result<&mut [u8], Error>;
    /// Grows a memory to `bytes`, a multiple of 64 KiB.
    fn grow_memory(&mut self, index: usize, bytes: usize) -> Result<(), Error>;

    /// The guest's mutable global number `index`.
    fn global(&mut self, index: usize) -> Result<Value, Error>;
    /// Sets the guest's mutable global number `index`.
    fn set_global(&mut self, index: usize, value: Value) -> Result<(), Error>;

    /// The contents of the guest's changeable table number `index`.
    fn table(&mut self, index: usize) -> Result<Vec<Value>, Error>;
    /// Sets the contents of the guest's changeable table number `index`.
    fn set_table(&mut self, index: usize, values: &[Value]) -> Result<(), Error>;
}

/// Bytes of native stack that a guest may use under these limits.
pub fn stack(limits: &Limits) -> usize {
    let most = limits.value(Limit::Stack).clamp(64 << 10, 1 << 30);
    usize::try_from(most).unwrap_or(GUEST_STACK)
}

/// The engine of this kind. `limits` says how deep a guest's calls may get. `pool` is for how many instances to keep address space, where an engine
/// can do that.
///
/// # Errors
/// [`Error::NotBuilt`] where this build does not contain it.
pub fn engine(
    kind: EngineKind,
    pool: Option<u32>,
    limits: &Limits,
) -> Result<Arc<dyn Engine>, Error> {
    match kind {
        #[cfg(feature = "wasmtime")]
        EngineKind::Wasmtime => Ok(Arc::new(wasmtime::Wasmtime::new(pool, stack(limits))?)),
        #[cfg(feature = "wasmedge")]
        EngineKind::WasmEdge => Ok(Arc::new(wasmedge::WasmEdge::new()?)),
        #[allow(unreachable_patterns, reason = "with all features nothing is left")]
        kind => Err(Error::NotBuilt(kind)),
    }
}
