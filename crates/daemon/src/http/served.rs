//! What the handlers of requests share.

use std::sync::Arc;
use std::time::Instant;

use crate::access::audit::AuditLog;
use crate::access::tenants::Tenants;
use crate::access::tokens::Tokens;
use crate::daemon::Daemon;
use crate::peers::Peers;

/// What the handlers share.
pub(in crate::http) struct Served {
    pub(in crate::http) daemon: Arc<Daemon>,
    /// Other daemons, where this one was started with peers.
    pub(in crate::http) peers: Option<Arc<Peers>>,
    pub(in crate::http) started: Instant,
    pub(in crate::http) tenants: Arc<Tenants>,
    pub(in crate::http) tokens: Arc<Tokens>,
    pub(in crate::http) audit: Option<Arc<AuditLog>>,
}

impl Served {
    /// `token` is the one in the daemon's directory.
    pub(in crate::http) fn new(
        daemon: Arc<Daemon>,
        peers: Option<Arc<Peers>>,
        token: &str,
    ) -> Self {
        let store = daemon.shared.store.clone();
        let tenants = Arc::new(Tenants::new(store.clone(), daemon.is_node()));
        Self {
            tokens: Arc::new(Tokens::new(token, store, tenants.clone())),
            tenants,
            daemon,
            peers,
            started: Instant::now(),
            audit: None,
        }
    }
}
