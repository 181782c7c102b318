//! `wasi:filesystem`: descriptors, what lies in directories, and the directories that a guest is
//! given.
//!
//! Each call looks at what the descriptor stands for, a directory or a file of the host's or one in
//! memory, and lets that room do the work. Error codes are those of the system's error numbers.
//! Wasmtime has fewer: where something is read-only, lies on another file system or is an executable
//! that runs, it answers with `not-permitted` or `io`.

pub(crate) mod descriptor;
pub(crate) mod directory;
pub(crate) mod path;
mod types;
