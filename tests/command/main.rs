//! The command: its help and manual, and task files.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod components;
mod examples;
mod pages;
mod task_file;
mod units;
mod user;
