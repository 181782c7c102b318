//! `wasi:io`: streams, their errors, and waiting.

pub(crate) mod error;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod poll;
mod watch;
mod write;

pub(crate) use watch::{go_on, wait_for};
