//! TLS between nodes. Each process makes itself a certificate, whose fingerprint stands in the node's
//! row. So whoever can write to the store says who is a node, and who is fenced is one no longer.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::ClientHello;
use tokio_rustls::rustls::{CommonState, ServerConfig};

use crate::certificates::identity::{Identity, fingerprint};
use crate::certificates::pinned::{self, Pinned};
use crate::error::Error as Refused;
use crate::model::Digest;
use crate::model::error::Error;

/// The protocol inside TLS, with its version. It tells nodes from other clients of the API.
const ALPN_PROTOCOL: &[u8] = b"dormouse-node/1";

/// What a node has to show others.
pub(crate) struct NodeTls {
    identity: Identity,
    /// For the end that accepts. It takes any certificate whose key the other end has: whether that is
    /// a node's, is asked afterwards, since a new node may not be known so far.
    pub(crate) server: Arc<ServerConfig>,
}

impl NodeTls {
    /// A new certificate, which nothing but this process has.
    pub(super) fn made() -> Result<Self, Error> {
        let failed = |error: String| Error::from(Refused::NodeCertificate(error));
        let identity = Identity::made().map_err(|error| failed(error.to_string()))?;
        let server = pinned::server(&identity, Pinned::new(|_| true), ALPN_PROTOCOL);
        let server = server.map_err(|error| failed(error.to_string()))?;
        Ok(Self { identity, server })
    }

    pub(super) fn fingerprint(&self) -> Digest {
        self.identity.fingerprint()
    }

    /// Secures a connection to the node that has this certificate.
    ///
    /// # Errors
    /// If another one answers.
    pub(crate) async fn connect(
        &self,
        expected: Digest,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let pinned = Pinned::new(move |shown| *shown == expected);
        let config = pinned::client(&self.identity, pinned, ALPN_PROTOCOL);
        let config = config.map_err(io::Error::other)?;
        let name = ServerName::try_from("dormouse").map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

/// Whether a client wants to speak as a node.
pub(crate) fn asks_as_node(hello: &ClientHello<'_>) -> bool {
    let mut protocols = hello.alpn().into_iter().flatten();
    protocols.any(|protocol| protocol == ALPN_PROTOCOL)
}

/// The fingerprint of the certificate that the other end has shown.
pub(crate) fn shown(connection: &CommonState) -> Option<Digest> {
    let shown = connection.peer_certificates()?.first()?;
    Some(fingerprint(shown))
}
