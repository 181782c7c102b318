//! What a daemon removes now and then: tasks that have been over for long, and blobs that no task
//! needs.

use std::sync::Weak;
use std::time::Duration;

use crate::daemon::{Daemon, blocking};
use crate::model::error::Error;

/// How long after the start of the daemon, and how often after that.
const FIRST_AFTER: Duration = Duration::from_secs(1);
const REPEAT_EVERY: Duration = Duration::from_secs(600);

/// Runs until the daemon has been dropped.
pub(crate) async fn run(daemon: Weak<Daemon>) {
    let mut pause = FIRST_AFTER;
    let mut later = false;
    loop {
        tokio::time::sleep(pause).await;
        pause = REPEAT_EVERY;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        // The daemon has not died since its start, which was long ago.
        if std::mem::replace(&mut later, true) {
            daemon.marks.forget();
        }
        if let Err(error) = daemon.tidy().await {
            log::warn!("cannot remove what is not needed: {error}");
        }
    }
}

impl Daemon {
    /// Removes tasks that have been over for longer than they are kept, and blobs that no task
    /// refers to.
    async fn tidy(&self) -> Result<(), Error> {
        // By the steady clock: a wall clock that is far ahead for a moment must not remove
        // anything.
        let now = self.shared.time.now();
        if let Some(retain) = self.shared.options.retain {
            let before = now.saturating_sub(u64::try_from(retain.as_nanos()).unwrap_or(u64::MAX));
            loop {
                let store = self.shared.store.clone();
                let over = blocking(move || Ok(store.finished(before, 1000)?)).await?;
                for (id, _) in &over {
                    // A task that a command is about to change is left for the next time.
                    let _ = self.remove(*id).await;
                }
                if over.len() < 1000 {
                    break;
                }
            }
        }
        let (store, tenure) = (self.shared.store.clone(), self.tenure.clone());
        // A blob that was put within the last hour may be about to be referred to.
        let before = now.saturating_sub(3_600_000_000_000);
        let stamp = self.shared.time.stamp();
        let removed = blocking(move || {
            let lease = tenure.lease(&stamp)?;
            Ok(store.prune(&lease, &stamp, before)?)
        });
        let removed = removed.await?;
        if removed > 0 {
            log::info!("{removed} blobs that no task refers to were removed");
            self.bases.forget();
        }
        Ok(())
    }
}
