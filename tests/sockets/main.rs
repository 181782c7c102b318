//! Guests with sockets: real connections and datagrams over loopback.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod buffers;
mod extension;
mod grants;
mod preview1;
mod resume;
mod support;
