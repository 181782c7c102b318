//! Opens what a daemon knows of others, and lets other daemons in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::network::Peers;
use super::trust::Trust;
use super::why_open::WhyOpen;
use super::{identity, resolve, server};
use crate::daemon::Daemon;
use crate::model::error::Error;

impl Peers {
    /// Reads identity and known peers from the daemon's directory; the identity is made at the
    /// first time.
    ///
    /// # Errors
    /// If the files cannot be read or written.
    pub fn open(directory: &Path, daemon: Arc<Daemon>) -> Result<Arc<Self>, Error> {
        let peers = Arc::new(Self {
            daemon,
            identity: identity::open(directory)?,
            trust: Trust::open(directory)?,
            address: Mutex::default(),
            listens: OnceLock::new(),
            accepting: OnceLock::new(),
            moves_to_resolve: Notify::new(),
            ends: Arc::default(),
            why_open: WhyOpen::default(),
        });
        tokio::spawn(resolve::run(Arc::downgrade(&peers)));
        Ok(peers)
    }

    /// Accepts other daemons at a listener, which is bound to `bound`. `address` is how they reach
    /// it, `HOST:PORT`.
    pub fn listen(self: &Arc<Self>, listener: TcpListener, bound: SocketAddr, address: String) {
        *self.own_address() = address;
        // Only the first listener is shown.
        let _ = self.listens.set(bound);
        let accepting = tokio::spawn(server::run(Arc::downgrade(self), listener));
        let _ = self.accepting.set(accepting.abort_handle());
    }
}
