//! The socket calls of preview1. Nothing gives a guest a socket yet, so each descriptor is the
//! wrong one.

use super::abi::{Result, arg};
use super::errno::Errno;
use super::fd::Table;

pub(super) fn call(table: &Table, arguments: &[u64]) -> Result<()> {
    table.get(arg(arguments, 0))?;
    Err(Errno::Notsock)
}
