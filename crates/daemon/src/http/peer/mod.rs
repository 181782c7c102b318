//! Daemons that know each other, and the link by which tasks move between them.
//!
//! ```text
//!   dormouse migrate --HTTP--> source --TLS 1.3, both sides pinned--> target
//!                                |  hello, inquire, blobs               |
//!                                |  offer, take, settled                |
//!                                `------ settle: asks after a failure --'
//! ```
//!
//! Who is who is told by the SHA-256 fingerprint of a certificate that each daemon makes for itself at its
//! first start; strangers are refused while the connection is made.

mod answer;
mod drain;
mod error;
mod identity;
mod link;
mod message;
mod migrate;
mod relay;
mod routes;
mod settle;
mod tls;
mod trust;
mod undecided;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;

pub use error::PeerError;
pub use identity::Identity;
pub(super) use routes::{Doc, routes};

/// What travels over HTTP about peers and moves, as JSON.
pub mod wire {
    pub use super::routes::{Drain, Gone, Known, Migrate, There};
    pub use super::trust::Peer;
    pub use super::undecided::{Decide, Decided, Open};
}

use self::trust::Peer;

use self::trust::Trust;
use crate::Daemon;
use crate::model::error::Error;

/// What a daemon knows of others, and by what they know it.
pub struct Peers {
    daemon: Arc<Daemon>,
    identity: Identity,
    trust: Trust,
    /// How other daemons call this one, if they do.
    address: std::sync::Mutex<String>,
    /// Where it listens for them.
    listens: std::sync::OnceLock<SocketAddr>,
    accepting: std::sync::OnceLock<tokio::task::AbortHandle>,
    /// Moves may have to be settled.
    unsettled: Notify,
    /// Connections of tasks that came, until they are carried.
    ends: Arc<relay::Ends>,
    /// Why moves are still open.
    troubles: undecided::Troubles,
}

impl Peers {
    /// Reads identity and known peers from the daemon's directory; the identity is made at the first time.
    ///
    /// # Errors
    /// Where the files cannot be read or written.
    pub fn open(directory: &Path, daemon: Arc<Daemon>) -> Result<Arc<Self>, Error> {
        let peers = Arc::new(Self {
            daemon,
            identity: Identity::open(directory)?,
            trust: Trust::open(directory)?,
            address: std::sync::Mutex::default(),
            listens: std::sync::OnceLock::new(),
            accepting: std::sync::OnceLock::new(),
            unsettled: Notify::new(),
            ends: Arc::default(),
            troubles: undecided::Troubles::default(),
        });
        tokio::spawn(settle::run(Arc::downgrade(&peers)));
        Ok(peers)
    }

    /// The fingerprint by which other daemons know this one.
    pub fn fingerprint(&self) -> String {
        self.identity.fingerprint().to_string()
    }

    /// Lets other daemons in at a listener, which is bound to `bound`. `address` is how they call it, `HOST:PORT`.
    pub fn listen(
        self: &Arc<Self>,
        listener: tokio::net::TcpListener,
        bound: SocketAddr,
        address: String,
    ) {
        *self.own_address() = address;
        // Only the first one is told of.
        let _ = self.listens.set(bound);
        let accepting = tokio::spawn(answer::run(Arc::downgrade(self), listener));
        let _ = self.accepting.set(accepting.abort_handle());
    }

    /// Lets nobody else in. Who connects waits in the kernel's queue, while somebody has the socket.
    pub fn stop_listening(&self) {
        if let Some(accepting) = self.accepting.get() {
            accepting.abort();
        }
    }

    fn own_address(&self) -> std::sync::MutexGuard<'_, String> {
        self.address
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}
