//! Guests that take without end: memory, files and time in `resources.rs`, and the processor in `compute.rs`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod compute;
mod resources;
