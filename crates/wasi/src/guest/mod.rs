//! A guest: its descriptors with their rights and flags, what it waits for, and its whole state as
//! data. Preview1 (`p1`) and WASI 0.2 (`p2`) are two doors to it.
//!
//! Rights, flags and the errors of a descriptor that lacks a right are preview1's. WASI 0.2 has
//! neither; its files have the rights that they were opened with.

mod ctx;
pub(crate) mod errno;
pub(crate) mod fdflags;
pub(crate) mod rights;
mod state;
pub(crate) mod table;
pub(crate) mod wait;

pub use ctx::Ctx;
pub use state::{FdKindV1, FdV1, StateV1};
pub use wait::Source;
