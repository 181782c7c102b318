//! How long to wait after a failure: longer after each one in a row, up to a limit.

use std::time::Duration;

/// Waits of which each is twice as long as the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The wait after the first failure.
    pub(crate) first: Duration,
    /// No wait is longer.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// How long to wait after a failure before which so many failed in a row.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let doubled = 1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.longest)
    }
}
