//! Values of the daemon's flags, and of the commands that ask a daemon.

use std::str::FromStr;

use clap::builder::RangedI64ValueParser;

use crate::model::check_name;
use crate::model::limits::parse_bytes;

/// `submit --count` submits no more copies: stores have been tried with a million tasks.
const MAX_COPIES: i64 = 10_000_000;

/// How many threads for guests a daemon may have: each has a stack of its own.
const MAX_THREADS: i64 = 1024;

/// The least memory that a daemon works with, in bytes.
const LEAST_MEMORY: u64 = 64 << 20;

/// A number of bytes: `512K`, `256M`, `1G`, of 1024 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_bytes(text)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no size; write 512K, 256M or 1G"))
    }
}

/// The memory of a daemon.
pub(crate) fn memory(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    match size.0 < LEAST_MEMORY {
        true => Err("a daemon needs 64M at least".into()),
        false => Ok(size),
    }
}

/// How many threads for guests a daemon may have.
pub(crate) fn threads() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=MAX_THREADS)
}

/// How often a task is submitted.
pub(crate) fn copies() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MAX_COPIES)
}

/// Parses a number of at least 1, for clap.
pub(crate) fn parse_nonzero(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("{text:?} is no number from 1 to {}", u64::MAX)),
    }
}

/// A task's name, checked before anything is sent.
pub(crate) fn task_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_string())
}
