//! Snapshot files: those that were written before (`golden.rs`), and that nothing of the host is in
//! them (`portable.rs`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod golden;
mod portable;
