//! WASI preview1: its calls with their ABI.
//!
//! `dispatch.rs` leads a call to the function that answers it. Such a function reads its arguments
//! from the guest's memory, looks the descriptor and its rights up, lets the room that the
//! descriptor belongs to do the work, and writes the result back. Layouts and numbers are those of
//! the specification, `wasi_snapshot_preview1.witx`. Where it leaves the error number open, it is
//! the one that Wasmtime gives on Linux.

mod clock;
mod dispatch;
mod fd;
mod function;
mod layout;
mod memory;
mod open;
mod outcome;
mod path;
mod poll;
mod process;
mod read_write;
mod readdir;
mod sock;
#[cfg(test)]
mod tests;
mod tmpfs;

use crate::guest::errno;
pub use errno::Errno;
pub use function::Function;
pub use outcome::Outcome;
