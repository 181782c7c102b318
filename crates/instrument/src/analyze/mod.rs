//! What the rewriting has to know about a module, and the reasons to refuse it.
//!
//! - [`features`]: the proposals that modules may use.
//! - [`types`]: which values cannot be part of a snapshot.
//! - [`size`]: how large a module may be, before anything else is done with it.
//! - [`well_formed`]: whether the bytes are a valid module. It validates with [`nesting`], which
//!   also finds code too deep for Binaryen.
//! - [`scan`]: one pass that keeps what the later steps ask for.
//! - [`interface`]: whether the host offers what the module imports.
//! - [`call_graph`]: which functions may be on the stack at a suspend.
//! - [`suspendable`]: whether all that such functions hold can be saved.
//! - [`changed_tables`]: whether an indirect call finds its callee again after a resume.
//! - [`managed`]: whether a module with objects holds some where they outlive every function.
//! - [`initial_memory`]: what memories hold before the first instruction runs.

pub(crate) mod call_graph;
pub(crate) mod changed_tables;
pub(crate) mod features;
pub(crate) mod initial_memory;
pub(crate) mod interface;
pub(crate) mod managed;
pub(crate) mod nesting;
pub(crate) mod scan;
pub(crate) mod size;
pub(crate) mod suspendable;
pub(crate) mod types;
pub(crate) mod well_formed;
