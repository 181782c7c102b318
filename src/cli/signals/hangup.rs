//! SIGHUP, which a shell sends to its programs when the terminal has gone.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, unless it was ignored when this process began, as `nohup` has it.
pub(super) struct Hangup(Option<Signal>);

impl Hangup {
    pub(super) fn listen() -> std::io::Result<Self> {
        match is_ignored() {
            true => Ok(Self(None)),
            false => signal(SignalKind::hangup()).map(|signal| Self(Some(signal))),
        }
    }

    /// Completes at the signal; never, where it is ignored.
    pub(super) async fn received(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Whether SIGHUP was ignored when this process began, as far as the system tells.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 != 0)
}
