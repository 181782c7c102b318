//! What a daemon removes now and then: tasks that have been over for long, and blobs that no task
//! needs.

use std::sync::Weak;
use std::time::Duration;

use crate::daemon::{Daemon, blocking};
use crate::model::error::Error;

/// How long after the start of the daemon, and how often after that.
const FIRST_AFTER: Duration = Duration::from_secs(1);
const REPEAT_EVERY: Duration = Duration::from_secs(600);

/// Finished tasks that are read from the store at once.
const TASKS_AT_ONCE: usize = 1000;

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
    /// Removes tasks that ended longer ago than the option `retain` says, if it is set, and blobs
    /// older than an hour that no task refers to.
    async fn tidy(&self) -> Result<(), Error> {
        // By the steady clock: a wall clock that is far ahead for a moment must not remove
        // anything.
        let now = self.shared.time.now();
        if let Some(retain) = self.shared.options.retain {
            let before = now.saturating_sub(retain);
            loop {
                let store = self.shared.store.clone();
                let over = blocking(move || Ok(store.finished(before, TASKS_AT_ONCE)?)).await?;
                let mut removed = 0;
                for (id, _) in &over {
                    // A task that a command is about to change is left for the next time.
                    removed += usize::from(self.remove(*id).await.is_ok());
                }
                // If none could be removed, the next page would be the same one.
                if over.len() < TASKS_AT_ONCE || removed == 0 {
                    break;
                }
            }
        }
        // Another node may know a blob that no task refers to, and be about to refer to it.
        let member = self.shared.member.as_ref();
        if member.is_some_and(|member| !member.is_alone()) {
            return Ok(());
        }
        let (store, tenure) = (self.shared.store.clone(), self.tenure.clone());
        // A blob that was put within the last hour may be about to be referred to.
        let before = now.saturating_sub(Duration::from_secs(3600));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{TaskId, TaskState};
    use crate::options::Options;
    use crate::tests::stores::{paused, store_after, update};

    /// The loop went on as long as a page was full, also if none of its tasks could be removed.
    #[tokio::test]
    async fn tasks_that_cannot_be_removed_do_not_keep_the_upkeep_busy() {
        let mut changes = Vec::new();
        for id in (1..=TASKS_AT_ONCE as u64).map(TaskId) {
            changes.push(paused(id));
            changes.push(update(id, 1, TaskState::Exited, Vec::new()));
        }
        let (store, _directory) = store_after(changes);
        let options = Options {
            retain: Some(Duration::ZERO),
            ..Options::default()
        };
        let daemon = Daemon::start(Arc::new(store), options).expect("it starts");
        // A daemon that is closed removes nothing.
        daemon.close().await;
        let tidied = tokio::time::timeout(Duration::from_secs(60), daemon.tidy()).await;
        tidied.expect("it ends").expect("the store is read");
        let task = daemon.task(TaskId(1)).await.expect("it was not removed");
        assert_eq!(task.state, TaskState::Exited);
    }
}
