//! What a daemon does now and then: it removes what nobody needs.

use std::sync::Weak;
use std::time::Duration;

use super::daemon::Daemon;

/// How often.
const EVERY: Duration = Duration::from_secs(600);

/// Runs until the daemon has gone.
pub(super) async fn run(daemon: Weak<Daemon>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        if let Err(error) = daemon.tidy().await {
            log::warn!("cannot remove what is not needed: {error}");
        }
    }
}
