//! Flattens a component to one core module, which then goes the way of any other.
//!
//! A component is a tree: core modules, which are instantiated with each other's exports, and
//! components within it, whose functions call each other through adapters. All of that is known
//! before it runs. So all instances become one module, with a memory for each that one of them
//! has; calls between them become plain calls; and what is left to import are functions, whose
//! names say everything that the host has to know ([`dormouse_model::lowered`]).
//!
//! ```text
//!   component
//!     │  translate      by Wasmtime's translator, which makes the adapters, too
//!     ▼
//!   plan                core instances in their order, and what each of their imports is
//!     │  link           what imports are in the end; shims of tables are resolved
//!     ▼
//!   spaces, callees     the indices of the flattened module, and what it imports
//!     │  merge          instance by instance: instance, constants, segments, adapters
//!     │  thunks         allocations for results, destructors; `_start`: entry; strings: transcode
//!     ▼
//!   core module
//! ```
//!
//! Everything is done in a process of its own, with limits: a component of a few hundred bytes may
//! stand for millions of instances, and the translator is written to end where it is surprised.

mod adapters;
mod assembler;
mod callees;
mod check;
mod constants;
mod contents;
mod entry;
mod instance;
mod link;
mod merge;
mod plan;
mod segments;
mod spaces;
mod thunks;
mod transcode;
mod translate;
mod types;

use dormouse_child::{self as child, Limits, Outcome};
use wasmparser::Parser;

use self::plan::Plan;
use crate::analyze::well_formed;
use crate::error::{ComponentError, Error};

/// The processor time that any component may take, in seconds, and further seconds for each MiB of
/// it.
const CPU_SECONDS: u64 = 20;
const CPU_SECONDS_PER_MIB: u64 = 5;

/// The memory that any component may take, in bytes, and further bytes for each byte of it.
const MEMORY_BYTES: u64 = 512 << 20;
const MEMORY_BYTES_PER_BYTE: u64 = 60;

/// How large the modules of all instances may be together: bytes for any component, and bytes for
/// each byte of it. A module that is instantiated twice counts twice.
const MODULE_BYTES: u64 = 16 << 20;
const MODULE_BYTES_PER_BYTE: u64 = 16;

/// What the process writes first: whether it has made a module, or says why not.
const DONE: u8 = 0;
const REFUSED: u8 = 1;

/// Flattens a component to a core module that exports `_start`, and its memories under the names of
/// [`memory_export`](dormouse_model::lowered::memory_export). The same component gives the same
/// bytes.
///
/// # Errors
/// Why the component is not valid, or cannot be flattened.
pub fn flatten(component: &[u8]) -> Result<Vec<u8>, Error> {
    if !Parser::is_component(component) {
        well_formed::check(component)?;
        return Err(ComponentError::NoComponent.into());
    }
    let refused = match in_child(component) {
        Ok(module) => match well_formed::check(&module) {
            Ok(()) => return Ok(module),
            Err(error) => error,
        },
        Err(error) => error.into(),
    };
    // The translator reads no bodies, and names no proposals.
    check::check(component)?;
    Err(refused)
}

/// Flattens a component in this process, also one that has nothing to run, and without any
/// limits.
#[doc(hidden)]
pub fn flatten_any(component: &[u8]) -> Result<Vec<u8>, ComponentError> {
    flattened(component, &translate::translate(component)?)
}

fn flattened(component: &[u8], plan: &Plan<'_>) -> Result<Vec<u8>, ComponentError> {
    let sizes = plan
        .instances
        .iter()
        .map(|instance| plan.modules[instance.module].wasm.len());
    let bytes: u64 = sizes.map(|size| size as u64).sum();
    let limit = MODULE_BYTES + MODULE_BYTES_PER_BYTE * component.len() as u64;
    if bytes > limit {
        return Err(ComponentError::TooLarge { bytes, limit });
    }
    merge::merge(plan)
}

fn in_child(component: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let limit_seconds = CPU_SECONDS + CPU_SECONDS_PER_MIB * (component.len() as u64 >> 20);
    let limit_bytes = MEMORY_BYTES + MEMORY_BYTES_PER_BYTE * component.len() as u64;
    let limits = Limits {
        cpu: Some(limit_seconds),
        memory: Some(limit_bytes),
    };
    let work = || {
        let done = translate::translate(component).and_then(|plan| match &plan.entry {
            Ok(_) => flattened(component, &plan),
            Err(error) => Err(error.clone()),
        });
        let (word, mut said) = match done {
            Ok(module) => (DONE, module),
            // Writing plain data into memory fails only where memory does.
            Err(error) => (REFUSED, rmp_serde::to_vec(&error).unwrap_or_default()),
        };
        said.push(word);
        Ok(said)
    };
    let internal = |what: String| ComponentError::Internal(what);
    Err(match child::run(&limits, &work) {
        Ok(Outcome::Done(mut said)) => match said.pop() {
            Some(DONE) => return Ok(said),
            _ => rmp_serde::from_slice(&said).unwrap_or_else(|error| internal(error.to_string())),
        },
        Ok(Outcome::Failed(why)) => internal(why),
        Ok(Outcome::Left) => internal("the process has ended itself".into()),
        Ok(Outcome::Killed(signal)) => match signal {
            libc::SIGXCPU | libc::SIGKILL => ComponentError::OutOfTime { limit_seconds },
            libc::SIGABRT => ComponentError::OutOfMemory {
                limit_mib: limit_bytes >> 20,
            },
            signal => ComponentError::Crashed { signal },
        },
        Err(error) => ComponentError::NoProcess(error.to_string()),
    })
}
