//! What a resumable module looks like from outside: the names under which its state can be reached.
//!
//! `instrument` writes it, `engine` reads it; neither knows the other.

use serde::{Deserialize, Serialize};

use super::ValType;

/// Exported global: 0 normal, 1 unwinding, 2 rewinding (asyncify's own numbers).
pub const ASYNCIFY_STATE: &str = "dormouse.asyncify_state";
/// Exported global: address of asyncify's data in its memory.
pub const ASYNCIFY_DATA: &str = "dormouse.asyncify_data";
/// Exported memory that holds nothing but asyncify's stack.
pub const ASYNCIFY_MEMORY: &str = "dormouse.asyncify_memory";
/// Exported function that runs what was the module's start function.
pub const START: &str = "dormouse.start";
/// Exported function that drops again the segments that a snapshot says were dropped.
pub const REDROP: &str = "dormouse.redrop";

/// Custom section: the indices of slow versions of functions, which run only after a resume. A
/// vector of `u32`, encoded as in the wasm specification.
pub const SLOW_VERSIONS: &str = "dormouse.slow";
/// Custom section: the indices of functions that go on from a loop after a resume, in the same
/// encoding.
pub const OSR_VERSIONS: &str = "dormouse.osr";
/// Custom section of a module with objects that a garbage collector looks after, or with typed
/// references, which not every engine knows. It is empty.
pub const MANAGED: &str = "dormouse.managed";

/// Imported function, module and name: a check at which a guest that computes may be suspended.
pub const PREEMPT: (&str, &str) = ("dormouse", "preempt");

/// The export name of the guest's memory number `index`.
pub fn memory_export(index: usize) -> String {
    format!("dormouse.memory.{index}")
}

/// The export name of the guest's mutable global number `index`. Immutable globals and asyncify's
/// own are not counted.
pub fn global_export(index: usize) -> String {
    format!("dormouse.global.{index}")
}

/// The export name of the guest's table number `index`.
pub fn table_export(index: usize) -> String {
    format!("dormouse.table.{index}")
}

/// The export name of the function number `index` among those that references may point to.
pub fn function_export(index: usize) -> String {
    format!("dormouse.function.{index}")
}

/// A function that the module imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The module name, such as `wasi_snapshot_preview1`.
    pub module: String,
    /// The function's name.
    pub name: String,
    /// Types of its parameters.
    pub params: Vec<ValType>,
    /// Types of its results; at most one.
    pub results: Vec<ValType>,
    /// Whether a call may suspend the guest.
    pub blocks: bool,
}

/// A table whose contents the guest can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// `FuncRef` or `ExternRef`.
    pub element: ValType,
}

/// Everything an engine must know to run, save and restore an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Imported functions, in the module's order: host calls are told by their place here.
    pub imports: Vec<Import>,
    /// Exports to call, one after another, at the first run: the start function, then `_start`.
    pub entries: Vec<String>,
    /// How many memories of the guest's own are exported.
    pub memories: usize,
    /// Which of them host calls work on, if there is any.
    pub host_memory: Option<usize>,
    /// Types of the exported mutable globals.
    pub globals: Vec<ValType>,
    /// The tables that instructions of the module can change.
    pub tables: Vec<Table>,
    /// How many functions are exported so that references can be told apart; zero where no table
    /// and no global that holds references can change.
    pub functions: usize,
    /// Whether [`REDROP`] exists.
    pub redrop: bool,
}
