//! `wasi:http`: requests that a guest makes, and messages that it reads and writes.
//!
//! The protocol is in the room `http`, as data. Here its exchanges get their connections, which are
//! descriptors of the guest's (`drive`), and the interface's resources stand for them. A guest that
//! answers requests is given them one after another (`serve`).
//!
//! An exchange goes on whenever the guest waits, whatever for, and at its own calls.

pub(crate) mod body;
pub(crate) mod drive;
mod errors;
pub(crate) mod fields;
pub(crate) mod handler;
pub(crate) mod options;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod serve;
pub(crate) mod server;
