//! What the handlers of requests share.

use std::sync::Arc;
use std::time::Instant;

use crate::daemon::Daemon;
use crate::peers::Peers;

/// What the handlers share.
pub(super) struct Served {
    pub(super) daemon: Arc<Daemon>,
    /// Other daemons, where this one was started with peers.
    pub(super) peers: Option<Arc<Peers>>,
    pub(super) started: Instant,
}
