//! Whether a standby has what was committed, where the server waits for one.
//!
//! Somebody may cancel that wait (`pg_cancel_backend`): then the server says that the commit is done,
//! which is true of the server itself, and a failover can lose it. It says so in a warning ahead of its
//! answer. Such an answer counts as lost: a node acts on nothing, and acknowledges nothing, that another
//! server may never have heard of. The commit is there for everybody to read, so that nothing is read
//! either before a later commit has had its wait: the log is one, so that a standby has all before it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deadpool_postgres::Object;
use tokio_postgres::Client;
use tokio_postgres::error::DbError;

use super::error::unreachable;
use crate::error::Error;

/// Stores something that changes nothing: a record in the server's log that everybody passes over.
pub(super) const STORE_SOMETHING: &str = "SELECT pg_logical_emit_message(true, 'dormouse', '')";

/// The function of the server's that waits for a standby. Its warnings are known by its name, since
/// their text is in the server's language.
const WAITS_FOR_STANDBY: &str = "SyncRepWaitForLSN";

/// The waits that were cancelled, of all connections.
#[derive(Default)]
pub(super) struct Replicated {
    /// How many there were.
    cancelled: AtomicU64,
    /// After so many of them, a commit has had its wait.
    made_up_for: AtomicU64,
}

impl Replicated {
    /// Looks at what a server says besides its answers.
    pub(super) fn look_at(&self, notice: &DbError) {
        if notice.routine() == Some(WAITS_FOR_STANDBY) {
            self.cancelled.fetch_add(1, Ordering::SeqCst);
            log::warn!("the store's server: {}", notice.message());
        }
    }

    /// How many waits were cancelled so far.
    pub(super) fn cancelled(&self) -> u64 {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Refuses an answer, where a wait has been cancelled since there were so many. It may have been
    /// that of another connection.
    pub(super) fn unless_cancelled_since(&self, before: u64) -> Result<(), Error> {
        match self.cancelled() == before {
            true => Ok(()),
            false => Err(unreachable(
                "it did not wait for its standby, which may not have what it has stored",
            )),
        }
    }

    /// Stores something, where the last wait was cancelled.
    async fn make_up(&self, client: &Client) -> Result<u64, Error> {
        let cancelled = self.cancelled();
        if self.made_up_for.load(Ordering::SeqCst) < cancelled {
            client.batch_execute(STORE_SOMETHING).await?;
            self.unless_cancelled_since(cancelled)?;
            self.made_up_for.fetch_max(cancelled, Ordering::SeqCst);
        }
        Ok(cancelled)
    }
}

/// A connection to ask something.
pub(super) struct Asking {
    client: Object,
    replicated: Arc<Replicated>,
    /// How many waits were cancelled before.
    before: u64,
}

impl Asking {
    pub(super) async fn by(client: Object, replicated: Arc<Replicated>) -> Result<Self, Error> {
        let before = replicated.make_up(&client).await?;
        Ok(Self {
            client,
            replicated,
            before,
        })
    }

    /// An answer, if a failover cannot make it untrue.
    pub(super) fn answer<T>(&self, answer: T) -> Result<T, Error> {
        self.replicated.unless_cancelled_since(self.before)?;
        Ok(answer)
    }
}

impl Deref for Asking {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.client
    }
}
