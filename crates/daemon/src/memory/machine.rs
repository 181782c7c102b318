//! How much memory the daemon takes, and how much it has.

use crate::task::available_memory;

/// The daemon takes this many eighths of the memory, unless `--memory` says otherwise.
const EIGHTHS_TAKEN: u64 = 7;

/// The default budget, in bytes.
pub(crate) fn available() -> u64 {
    available_memory() / 8 * EIGHTHS_TAKEN
}

/// Bytes of memory that the process has of its own, without mapped files.
pub(crate) fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut fields = text.split(' ').skip(1).map(str::parse::<u64>);
    let (all, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(all.saturating_sub(shared) * rustix::param::page_size() as u64)
}
