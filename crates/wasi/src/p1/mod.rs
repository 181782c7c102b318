//! WASI preview1: its calls with their ABI, and the state of a guest that makes them.
//!
//! `dispatch.rs` leads a call to the function that answers it. Such a function reads its arguments
//! from the guest's memory, looks the descriptor and its rights up, lets the room that the
//! descriptor belongs to do the work, and writes the result back. Layouts and numbers are those of
//! the specification, `wasi_snapshot_preview1.witx`. Where it leaves the error number open, it is
//! the one that Wasmtime gives on Linux.

mod clock;
mod ctx;
mod dispatch;
mod errno;
mod fd;
mod fdflags;
mod function;
mod layout;
mod memory;
mod open;
mod path;
mod poll;
mod process;
mod read_write;
mod readdir;
pub(crate) mod rights;
mod sock;
mod state;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod tmpfs;
mod wait;

pub use ctx::{Ctx, Outcome};
pub use errno::Errno;
pub use function::Function;
pub use state::{FdKindV1, FdV1, StateV1};
pub use wait::Source;
