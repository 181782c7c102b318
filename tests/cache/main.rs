//! The work on a module: what is told of it, how it is shared and ended, and the cache that keeps
//! what was made.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod ahead;
mod deterministic;
mod ended;
mod kept;
mod prepared;
mod shared;
mod support;
mod timings;
