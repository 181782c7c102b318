//! What a daemon does now and then: it removes what nobody needs.

use std::sync::Weak;
use std::time::Duration;

use super::daemon::Daemon;

/// How long after the start, and how often then.
const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(600);

/// Runs until the daemon has gone.
pub(super) async fn run(daemon: Weak<Daemon>) {
    let mut pause = FIRST;
    let mut later = false;
    loop {
        tokio::time::sleep(pause).await;
        pause = EVERY;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        // Whatever died at the start has lived for long now.
        if std::mem::replace(&mut later, true) {
            daemon.marks.forget();
        }
        if let Err(error) = daemon.tidy().await {
            log::warn!("cannot remove what is not needed: {error}");
        }
    }
}
