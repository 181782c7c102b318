//! `wasi:sockets`: the network, TCP and UDP sockets, and looking names up.
//!
//! A socket is one of the guest's descriptors, as in preview1, under the same grants. What the
//! interface adds is which step of an operation in two steps comes next, and what has been written
//! to a connection and not yet sent.

pub(crate) mod lookup;
pub(crate) mod network;
pub(crate) mod tcp;
pub(crate) mod tcp_options;
mod types;
pub(crate) mod udp;
