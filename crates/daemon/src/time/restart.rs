//! How long it is until a task that has ended is started anew.

use std::time::Duration;

use super::backoff::Backoff;

/// How long a restart waits.
const WAIT: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};

/// After a run that lasted so long, the next restart waits as the first one.
pub(crate) const SETTLED_RUN: Duration = Duration::from_secs(600);

/// How long the restart after this many in a row waits.
pub(crate) fn wait(restarts: u32) -> Duration {
    WAIT.after(restarts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u64> = (0..11).map(|n| wait(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait(u32::MAX), WAIT.longest);
    }
}
