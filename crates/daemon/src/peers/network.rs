//! What a daemon knows of other daemons, and by what they know it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::ends::Ends;
use super::trust::Trust;
use super::why_open::WhyOpen;
use crate::certificates::identity::Identity;
use crate::daemon::Daemon;

/// What a daemon knows of other daemons, and by what they know it.
pub struct Peers {
    pub(super) daemon: Arc<Daemon>,
    pub(super) identity: Identity,
    pub(crate) trust: Trust,
    /// The address by which other daemons reach this one, if they can.
    pub(super) address: Mutex<String>,
    /// Where it listens for them.
    pub(crate) listens: OnceLock<SocketAddr>,
    pub(super) accepting: OnceLock<AbortHandle>,
    /// Notified when there may be a move to resolve.
    pub(super) moves_to_resolve: Notify,
    /// Ends of connections of tasks that came here, until a link carries them.
    pub(super) ends: Arc<Ends>,
    /// Why moves are still open.
    pub(super) why_open: WhyOpen,
}

impl Peers {
    /// The fingerprint by which other daemons know this one.
    pub fn fingerprint(&self) -> String {
        self.identity.fingerprint().to_string()
    }

    /// Accepts no further daemons. One that connects waits in the kernel's queue, as long as a
    /// process has the socket.
    pub fn stop_listening(&self) {
        if let Some(accepting) = self.accepting.get() {
            accepting.abort();
        }
    }

    pub(crate) fn own_address(&self) -> MutexGuard<'_, String> {
        self.address.lock()
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}
