//! WASI 0.2: the interfaces of `wasi:cli/command` and `wasi:http/proxy` for components that were
//! flattened to one core module.
//!
//! ```text
//!   call --import--> function.rs --lift--> cli, clocks, io, … --lower--> result --> guest's memory
//!                                 handles       resources                  pending
//! ```
//!
//! An import is a function with its canonical options: a component instance, a memory, and how
//! strings are encoded ([`Import`]). `function.rs` has all functions of all interfaces. Each is a
//! function of Rust whose types are those of the interface; the canonical ABI (`abi`) follows from
//! them. A handle is an entry in a table of its component instance (`handles`), and stands for a
//! resource of the host's (`resource_table`) or of a component's own.
//!
//! Files and sockets are descriptors of the same table as preview1's, with the same rights, quota
//! and grants. Everything else that a component has is plain data ([`ComponentV1`]).
//!
//! The host never calls the guest. A result that needs memory of the guest's waits as data until a
//! thunk of the guest's has allocated it (`result.next`).

mod abi;
mod call;
mod cli;
mod clocks;
mod component;
mod connection;
mod dispatch;
mod file;
mod filesystem;
mod function;
mod handles;
mod host_type;
mod http;
mod http_resource;
mod import;
mod io;
mod random;
mod release;
mod resource;
mod resource_table;
mod sockets;
mod stop;
#[cfg(test)]
mod tests;
mod version;

pub use component::ComponentV1;
pub use dispatch::Outcome;
pub use function::Function;
pub use import::Import;
