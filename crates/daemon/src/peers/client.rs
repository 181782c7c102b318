//! The end of a link that connects and sends requests.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, Error as TlsError};

use crate::certificates::pinned::{Pinned, UNKNOWN_FINGERPRINT};
use crate::model::Digest;
use crate::peers::error::PeerError;
use crate::peers::message::{Answer, Hello, Request, receive, send};
use crate::peers::network::Peers;
use crate::peers::tls;
use crate::tcp::{set_carrier_options, set_peer_options};

/// How long a connection may take. A daemon on the same network accepts at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take. After that the network is taken to be cut.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take for which the other daemon compiles a module.
pub(crate) const COMPILE_TIMEOUT: Duration = Duration::from_secs(1800);

/// A connection to another daemon. Each knows the other's fingerprint.
pub(crate) struct Link {
    stream: TlsStream<TcpStream>,
    /// The address that was connected to.
    pub(crate) address: String,
    /// Who the other daemon is.
    pub(crate) theirs: Hello,
    /// The other daemon's fingerprint.
    pub(crate) fingerprint: Digest,
    /// Bytes that were sent and received.
    pub(crate) bytes: u64,
}

impl Link {
    /// Connects to a daemon by a peer's name or by `HOST:PORT`. Its fingerprint must be known;
    /// where `expected` is given, it must be that one.
    pub(crate) async fn open(
        peers: &Peers,
        target: &str,
        expected: Option<Digest>,
    ) -> Result<Self, PeerError> {
        let (address, expected) = locate(peers, target, expected)?;
        let unreachable = |why: String| PeerError::Unreachable {
            address: address.clone(),
            why,
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await;
        let stream = connected
            .map_err(|_| unreachable(format!("no answer within {CONNECT_TIMEOUT:?}")))?
            .map_err(|error| unreachable(error.to_string()))?;
        set_peer_options(&stream).map_err(|error| unreachable(error.to_string()))?;
        let known: Vec<Digest> = match expected {
            Some(only) => vec![only],
            None => {
                let known = peers.trust.list();
                known.iter().filter_map(|peer| peer.digest()).collect()
            }
        };
        let pinned = Pinned::new(move |digest| known.contains(digest));
        let tls = |error: TlsError| unreachable(format!("TLS: {error}"));
        let config = tls::client(&peers.identity, pinned.clone()).map_err(tls)?;
        let name = ServerName::try_from("dormouse").map_err(|e| unreachable(e.to_string()))?;
        let shaken = TlsConnector::from(config).connect(name, stream);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, shaken)
            .await
            .map_err(|_| unreachable("it does not speak TLS".into()))?
            .map_err(
                |error| match (is_unknown_certificate(&error), pinned.seen()) {
                    (true, Some(seen)) => PeerError::Stranger {
                        address: address.clone(),
                        fingerprint: seen.to_string(),
                    },
                    _ => unreachable(format!("TLS: {error}")),
                },
            )?;
        let broken = || unreachable("it showed no certificate".into());
        let fingerprint = pinned.seen().ok_or_else(broken)?;
        let own = peers.own_address().clone();
        let ours = Hello::new(&peers.daemon.options().identity, &own);
        let mut link = Self {
            stream,
            theirs: ours.clone(),
            address,
            fingerprint,
            bytes: 0,
        };
        // A daemon that does not know this one refuses the connection with its first answer.
        let hello = Request::Hello(ours.clone());
        let answer = link.exchange(&hello, &[], ANSWER_TIMEOUT).await;
        let answer = answer.map_err(|error| match is_denied(&error) {
            true => PeerError::NotKnown {
                address: link.address.clone(),
                ours: peers.fingerprint(),
            },
            false => link.broken(&error),
        })?;
        match answer {
            Answer::Hello(theirs) => {
                if let Some(why) = ours.misfit(&theirs) {
                    let address = link.address;
                    return Err(PeerError::Incompatible { address, why });
                }
                link.theirs = theirs;
                Ok(link)
            }
            answer => Err(link.unexpected(answer)),
        }
    }

    /// Gives the stream away, to carry a connection.
    pub(crate) fn into_carrier(self) -> std::io::Result<TlsStream<TcpStream>> {
        set_carrier_options(self.stream.get_ref().0)?;
        Ok(self.stream)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(
        &mut self,
        request: &Request,
        body: &[u8],
        patience: Duration,
    ) -> Result<Answer, PeerError> {
        let answer = self.exchange(request, body, patience).await;
        answer.map_err(|error| self.broken(&error))
    }

    async fn exchange(
        &mut self,
        request: &Request,
        body: &[u8],
        patience: Duration,
    ) -> std::io::Result<Answer> {
        let sent = send(&mut self.stream, request, body).await;
        // The reason of a failed write may be in what the other daemon has sent before.
        let (answer, _, received) = receive::<Answer>(&mut self.stream, patience).await?;
        self.bytes += received + sent?;
        Ok(answer)
    }

    fn broken(&self, error: &std::io::Error) -> PeerError {
        PeerError::Broken {
            address: self.address.clone(),
            why: error.to_string(),
        }
    }

    /// An error for an answer that does not fit the request.
    pub(crate) fn unexpected(&self, answer: Answer) -> PeerError {
        let why = match answer {
            Answer::Refused(why) => why,
            other => format!("answered something else than was asked: {other:?}"),
        };
        PeerError::Incompatible {
            address: self.address.clone(),
            why: format!("said: {why}"),
        }
    }
}

/// The address of a peer by its name, or of `HOST:PORT`, and which fingerprint it must have.
fn locate(
    peers: &Peers,
    target: &str,
    expected: Option<Digest>,
) -> Result<(String, Option<Digest>), PeerError> {
    let (address, expected) = match peers.trust.named(target) {
        Some(peer) => {
            let digest = peer.digest();
            let address = peer.address.ok_or_else(|| {
                PeerError::Request(format!(
                    "where {target} is, is not known; `dormouse peers add {target} {} --address \
                         HOST:PORT` says it",
                    peer.fingerprint
                ))
            })?;
            (address, expected.or(digest))
        }
        None => (target.to_string(), expected),
    };
    if !address.contains(':') {
        let text = format!("{address:?} is no peer's name and no address; write HOST:PORT");
        return Err(PeerError::Request(text));
    }
    Ok((address, expected))
}

/// Whether the handshake failed because this daemon rejected the other daemon's certificate, as it
/// does where it does not know the certificate's fingerprint.
fn is_unknown_certificate(error: &std::io::Error) -> bool {
    // A known certificate whose key the other end does not have is another error of certificates.
    let unknown = TlsError::InvalidCertificate(UNKNOWN_FINGERPRINT);
    tls_error(error) == Some(&unknown)
}

/// Whether the other daemon has refused the connection because it does not know this one.
fn is_denied(error: &std::io::Error) -> bool {
    let denied = TlsError::AlertReceived(AlertDescription::AccessDenied);
    tls_error(error) == Some(&denied)
}

fn tls_error(error: &std::io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::crypto::ring::sign::any_ecdsa_type;
    use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
    use tokio_rustls::rustls::sign::CertifiedKey;
    use tokio_rustls::rustls::{ServerConfig, version::TLS13};

    use super::*;
    use crate::certificates::identity::Identity;

    /// Shows a certificate, and signs with a key.
    #[derive(Debug)]
    struct Shown(Arc<CertifiedKey>);

    impl ResolvesServerCert for Shown {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }

    fn identity() -> Identity {
        Identity::made().expect("it is made")
    }

    /// How a connection fails to a daemon that shows the certificate of `shown` and has the key of
    /// `has`. The certificate of `known` is known.
    async fn failure(shown: &Identity, has: &Identity, known: &Identity) -> std::io::Error {
        let key = any_ecdsa_type(&has.key()).expect("a key");
        let shown = Shown(Arc::new(CertifiedKey::new(shown.chain(), key)));
        let mut server = ServerConfig::builder_with_protocol_versions(&[&TLS13])
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        let known = known.fingerprint();
        let pinned = Pinned::new(move |digest| *digest == known);
        let client = tls::client(&identity(), pinned).expect("a configuration");
        server.alpn_protocols.clone_from(&client.alpn_protocols);
        let (near, far) = tokio::io::duplex(1 << 16);
        let accepted = tokio::spawn(TlsAcceptor::from(Arc::new(server)).accept(far));
        let name = ServerName::try_from("dormouse").expect("a name");
        let connected = TlsConnector::from(client).connect(name, near).await;
        // It fails as well, because the client sends an alert.
        drop(accepted.await);
        connected.expect_err("it is refused")
    }

    /// Such a daemon was called unknown, with the advice to add the fingerprint that is known.
    #[tokio::test]
    async fn a_known_certificate_with_another_key_is_not_called_unknown() {
        let (peer, other) = (identity(), identity());
        let error = failure(&peer, &other, &peer).await;
        assert!(
            tls_error(&error).is_some() && !is_unknown_certificate(&error),
            "{error}"
        );
        let error = failure(&other, &other, &peer).await;
        assert!(is_unknown_certificate(&error), "{error}");
    }
}
