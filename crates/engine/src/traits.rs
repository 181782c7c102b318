//! What an engine, a module and an instance are, whoever makes them, and what they are given.

use std::path::Path;
use std::sync::Arc;

use super::{Aborted, EngineKind, Error, Interrupt};
use crate::model::{Limits, Reached, Shape, Value};

/// A wasm engine.
pub trait Engine: Send + Sync {
    /// Which one.
    fn kind(&self) -> EngineKind;

    /// What machine code made by this engine depends on, apart from the module: its version, the
    /// CPU and the settings.
    fn code_key(&self) -> String;

    /// Compiles a module to a file of machine code, and says how much of it is optimized.
    fn compile(&self, wasm: &[u8], code: &Path) -> Result<Optimized, Error>;

    /// Loads a file of machine code.
    ///
    /// # Safety
    /// The file must have been written by [`compile`](Self::compile) of the same engine, and must
    /// not change while the module lives: it is machine code that is going to be run.
    #[expect(unsafe_code, reason = "machine code cannot be checked")]
    unsafe fn load(&self, code: &Path, shape: &Arc<Shape>) -> Result<Arc<dyn Module>, Error>;
}

/// How much of a module's machine code is optimized. An engine whose compiler takes long for a large
/// module, or much memory, leaves some of it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimized {
    /// All of it.
    All,
    /// All but most of what runs after a resume alone.
    ButSlowVersions,
    /// None of it.
    Nothing,
}

/// A compiled module.
pub trait Module: Send + Sync {
    /// Makes a fresh instance, and runs none of the guest's code. The instance's host calls go to
    /// `host`. `limits` says how large the guest's memories and tables may get. An engine that
    /// reports growth beforehand asks `governor` before it grows one of the guest's memories.
    fn instantiate(
        &self,
        host: HostCallback,
        limits: &Limits,
        governor: Option<Arc<dyn MemoryGovernor>>,
    ) -> Result<Box<dyn Instance>, Error>;
}

/// Counts the memory that guests grow into, and lets them wait for it.
pub trait MemoryGovernor: Send + Sync {
    /// Reserves `more` bytes of linear memory; blocks until they are free. For an engine that does
    /// not report growth beforehand, this is called once the memory has grown.
    ///
    /// # Errors
    /// [`Aborted`] if the guest has to be aborted, because it was evicted or killed. An evicted
    /// task is resumed from its last snapshot.
    fn reserve(&self, more: u64) -> Result<(), Aborted>;
}

/// Answers the guest's host calls: gets the guest's state, the import's index in
/// [`Shape::imports`] and the arguments as raw bits.
pub type HostCallback = Box<dyn FnMut(&mut dyn Guest, usize, &[u64]) -> Flow + Send>;

/// What a host call does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Returns to the guest, with the raw bits of the result where there is one.
    Return(u64),
    /// The guest unwinds: asyncify's state has been set, and the result does not matter.
    Unwind,
    /// The guest is aborted: it never runs again.
    Stop,
}

/// Asyncify's state, as its global holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The guest runs.
    Normal = 0,
    /// Frames save themselves and return.
    Unwinding = 1,
    /// Frames restore themselves and repeat their calls.
    Rewinding = 2,
}

/// The guest as a host call sees it.
pub trait Guest {
    /// The memory with this index among the guest's memories ([`Shape::memories`]); empty where
    /// there is none.
    fn memory(&mut self, index: usize) -> &mut [u8];
    /// The memory that holds asyncify's stack.
    fn asyncify_memory(&mut self) -> &mut [u8];
    /// Sets asyncify's two globals.
    fn set_asyncify(&mut self, state: State, data: u32);
}

/// How a call into the guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The function returned, or unwound.
    Returned,
    /// A host call answered [`Flow::Stop`], or the guest had been killed before this call.
    Stopped,
}

/// One instance of a module.
pub trait Instance: Guest + Send {
    /// Calls an export without parameters and results.
    ///
    /// # Errors
    /// [`Error::Trap`] if the guest trapped, [`Error::Exhausted`] if it used up its stack,
    /// [`Error::Aborted`] if it was evicted or killed while it asked for memory.
    fn call(&mut self, export: &str) -> Result<Ending, Error>;

    /// Whether the guest has unwound, or was about to when it trapped.
    fn is_unwinding(&mut self) -> bool;

    /// Reaches the instance from another thread while it is in a call.
    fn interrupt(&self) -> Interrupt;

    /// The last limit at which `memory.grow` or `table.grow` has answered -1; `None` from an engine
    /// that does not see this.
    fn last_refused(&self) -> Option<Reached> {
        None
    }

    /// The memory with this index among the guest's memories.
    fn guest_memory(&mut self, index: usize) -> Result<&mut [u8], Error>;
    /// Grows the memory with this index to `bytes`, a multiple of 64 KiB. A memory that is larger
    /// stays as it is.
    fn grow_memory(&mut self, index: usize, bytes: usize) -> Result<(), Error>;

    /// The value of the global with this index among the exported mutable globals
    /// ([`Shape::globals`]). An error for a reference that a snapshot cannot hold.
    fn global(&mut self, index: usize) -> Result<Value, Error>;
    /// Sets the global with this index among the exported mutable globals.
    fn set_global(&mut self, index: usize, value: Value) -> Result<(), Error>;

    /// The contents of the table with this index among the mutable tables ([`Shape::tables`]).
    fn table(&mut self, index: usize) -> Result<Vec<Value>, Error>;
    /// Sets the contents of the table with this index among the mutable tables.
    fn set_table(&mut self, index: usize, values: &[Value]) -> Result<(), Error>;
}
