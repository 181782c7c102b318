//! The side of a link that connects and asks.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::rustls::pki_types::ServerName;

use super::message::{Answer, Hello, Request, receive, send};
use super::tls::{self, Pinned};
use super::{PeerError, Peers};
use crate::model::Digest;

/// Somebody on the same network answers at once.
const CONNECT: Duration = Duration::from_secs(5);

/// What is asked is done within this, or the network is cut.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The other side compiles what it is sent.
pub(super) const COMPILES: Duration = Duration::from_secs(1800);

/// A connection to another daemon, which knows us and is known.
pub(super) struct Link {
    stream: TlsStream<TcpStream>,
    /// How it was called.
    pub(super) address: String,
    /// Who it is.
    pub(super) theirs: Hello,
    /// By what it is known.
    pub(super) fingerprint: Digest,
    /// Bytes that were sent and received.
    pub(super) bytes: u64,
}

impl Link {
    /// Connects to a daemon: one of the peers' names, or `HOST:PORT`. It must be one that is known, and if
    /// `expected` is given, that one.
    pub(super) async fn open(
        peers: &Peers,
        target: &str,
        expected: Option<Digest>,
    ) -> Result<Self, PeerError> {
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
        let unreachable = |why: String| PeerError::Unreachable {
            address: address.clone(),
            why,
        };
        if !address.contains(':') {
            let text = format!("{address:?} is no peer's name and no address; write HOST:PORT");
            return Err(PeerError::Request(text));
        }
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(&address)).await;
        let stream = connected
            .map_err(|_| unreachable(format!("no answer within {CONNECT:?}")))?
            .map_err(|error| unreachable(error.to_string()))?;
        prepare(&stream).map_err(|error| unreachable(error.to_string()))?;
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
        let stream = tokio::time::timeout(CONNECT, shaken)
            .await
            .map_err(|_| unreachable("it does not speak TLS".into()))?
            .map_err(|error| match (is_stranger(&error), pinned.seen()) {
                (true, Some(seen)) => PeerError::Stranger {
                    address: address.clone(),
                    fingerprint: seen.to_string(),
                },
                _ => unreachable(format!("TLS: {error}")),
            })?;
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
        // What the other side says to a stranger comes with its first answer.
        let answer = link.ask(&Request::Hello(ours.clone()), &[], PATIENCE).await;
        let answer = answer.map_err(|error| match error {
            PeerError::Broken { address, why } if why.contains(DENIED) => PeerError::NotKnown {
                address,
                ours: peers.fingerprint(),
            },
            error => error,
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

    /// What is said from now on is somebody else's.
    pub(super) fn into_stream(self) -> TlsStream<TcpStream> {
        self.stream
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        body: &[u8],
        patience: Duration,
    ) -> Result<Answer, PeerError> {
        let broken = |address: &str, error: std::io::Error| PeerError::Broken {
            address: address.into(),
            why: error.to_string(),
        };
        let sent = send(&mut self.stream, request, body).await;
        let received = receive::<Answer>(&mut self.stream, patience).await;
        // Why a write failed may stand in what the other side has said before.
        let (answer, _, received) = received.map_err(|error| broken(&self.address, error))?;
        self.bytes += received + sent.map_err(|error| broken(&self.address, error))?;
        Ok(answer)
    }

    /// What it said makes no sense here.
    pub(super) fn unexpected(&self, answer: Answer) -> PeerError {
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

/// How rustls puts the alert that a stranger is sent.
const DENIED: &str = "AccessDenied";

/// Whether the handshake failed because the other side is not known here.
fn is_stranger(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(TlsError::InvalidCertificate(_)))
}

/// After so long without a byte it is asked whether the network was cut.
const QUIET: Duration = Duration::from_secs(5);

/// Small messages go at once, and a network that is cut is noticed.
pub(super) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    crate::http::admission::prepare(stream, QUIET)
}
