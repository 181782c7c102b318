//! TLS between daemons that know each other.

use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, Error, ServerConfig};

use crate::certificates::identity::Identity;
use crate::certificates::pinned::{self, Pinned};

/// The protocol inside TLS, with its version.
const ALPN_PROTOCOL: &[u8] = b"dormouse-peer/1";

/// For the end that connects.
pub(super) fn client(identity: &Identity, pinned: Arc<Pinned>) -> Result<Arc<ClientConfig>, Error> {
    pinned::client(identity, pinned, ALPN_PROTOCOL)
}

/// For the end that accepts.
pub(super) fn server(identity: &Identity, pinned: Arc<Pinned>) -> Result<Arc<ServerConfig>, Error> {
    pinned::server(identity, pinned, ALPN_PROTOCOL)
}
