//! The end of a link that accepts and answers requests.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::admission::{Admission, ConnectionSlot};
use crate::certificates::identity::fingerprint;
use crate::certificates::pinned::Pinned;
use crate::model::error::Error;
use crate::model::{Digest, MoveId};
use crate::moving::offer::TaskOffer;
use crate::peers::message::{Answer, Hello, Request, receive, send};
use crate::peers::network::Peers;
use crate::peers::relay::carry;
use crate::peers::tls;
use crate::peers::trust::Peer;
use crate::stored::move_details::MoveDetails;
use crate::task::{HeldSocket, Role};
use crate::tcp::{set_carrier_options, set_peer_options};

/// A daemon that connects must say who it is within this long.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A link without a request is closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long after the system has refused to accept a connection the next try is made.
const ACCEPT_RETRY_AFTER: Duration = Duration::from_millis(100);

/// Answers all daemons that connect, until this one has been dropped.
pub(super) async fn run(peers: Weak<Peers>, listener: TcpListener) {
    let admission = Admission::of_process();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!("cannot accept a peer's connection: {error}");
                admission.make_room();
                tokio::time::sleep(ACCEPT_RETRY_AFTER).await;
                continue;
            }
        };
        let Some(peers) = peers.upgrade() else { return };
        let slot = admission.enter(from.ip());
        tokio::spawn(async move {
            tokio::select! {
                ended = link(&peers, stream, &slot) => {
                    if let Err(error) = ended {
                        log::debug!("a peer's connection ended: {error}");
                    }
                }
                () = slot.lost() => log::debug!("the connection from {from} was closed for others"),
            }
        });
    }
}

/// One connection.
async fn link(peers: &Arc<Peers>, stream: TcpStream, slot: &ConnectionSlot) -> std::io::Result<()> {
    let from = stream.peer_addr()?;
    set_peer_options(&stream)?;
    let trusted = Arc::downgrade(peers);
    let pinned = Pinned::new(move |digest| {
        let peers = trusted.upgrade();
        peers.is_some_and(|peers| peers.trust.of(digest).is_some())
    });
    let config = tls::server(&peers.identity, pinned.clone()).map_err(std::io::Error::other)?;
    let shaken = tokio::time::timeout(HELLO_TIMEOUT, TlsAcceptor::from(config).accept(stream));
    let mut stream = shaken.await?.inspect_err(|error| {
        let who = pinned
            .seen()
            .map_or("nobody".into(), |seen| seen.to_string());
        log::warn!("refused a connection from {from}, fingerprint {who}: {error}");
    })?;
    let (_, state) = stream.get_ref();
    let shown = state.peer_certificates().and_then(|chain| chain.first());
    let shown = shown.map(fingerprint);
    // The handshake has checked the certificate.
    let Some((who, peer)) = shown.and_then(|who| Some((who, peers.trust.of(&who)?))) else {
        return Ok(());
    };
    // While there are too many connections, this one waits, and may lose its slot to others.
    slot.admitted().await;
    let mut asked = PeerSession {
        peers: peers.clone(),
        who,
        peer,
        theirs: None,
        offered: Vec::new(),
        carries: None,
    };
    let ended = asked.answer_all(&mut stream).await;
    // A task that was offered and not decided about is asked about.
    if !asked.offered.is_empty() {
        peers.moves_to_resolve.notify_one();
    }
    let _ = stream.shutdown().await;
    ended
}

/// A link to a peer that sends requests.
struct PeerSession {
    peers: Arc<Peers>,
    who: Digest,
    peer: Peer,
    theirs: Option<Hello>,
    /// Moves that the peer has offered on this link, and has not decided about.
    offered: Vec<MoveId>,
    /// The link carries this connection from now on.
    carries: Option<std::net::TcpStream>,
}

impl PeerSession {
    async fn answer_all(&mut self, stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
        loop {
            let patience = match self.theirs {
                None => HELLO_TIMEOUT,
                Some(_) => IDLE_TIMEOUT,
            };
            let (request, body, _) = match receive::<Request>(stream, patience).await {
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            // The peer may have been removed meanwhile, or been granted something else.
            let Some(peer) = self.peers.trust.of(&self.who) else {
                return Ok(());
            };
            self.peer = peer;
            let answer = match self.answer(request, body).await {
                Ok(answer) => answer,
                Err(error) => Answer::Refused(error.to_string()),
            };
            send(stream, &answer, &[]).await?;
            if let Some(end) = self.carries.take() {
                set_carrier_options(stream.get_ref().0)?;
                carry(stream, end).await;
                return Ok(());
            }
        }
    }

    async fn answer(&mut self, request: Request, body: Vec<u8>) -> Result<Answer, Error> {
        let daemon = &self.peers.daemon;
        if self.theirs.is_none() && !matches!(request, Request::Hello(_)) {
            return Ok(Answer::Refused("say hello first".into()));
        }
        Ok(match request {
            Request::Hello(theirs) => {
                let address = self.peers.own_address().clone();
                self.theirs = Some(theirs);
                // The peer checks whether the two fit.
                Answer::Hello(Hello::new(&daemon.options().identity, &address))
            }
            Request::Inquire(inquiry) => {
                let grants = self.peer.grants();
                Answer::Considered(daemon.consider(inquiry, &grants).await?)
            }
            Request::Has(digest) => Answer::Has(daemon.has_blob(digest).await?),
            Request::Put {
                kind,
                digest,
                engine,
            } => {
                daemon.put_blob(kind, digest, body, engine).await?;
                Answer::Done
            }
            Request::Offer => match rmp_serde::from_slice(&body) {
                Ok(offer) => self.prepare(offer).await?,
                Err(error) => Answer::Refused(format!("no offer: {error}")),
            },
            Request::Accept(move_id) => match daemon.accept_prepared(move_id, self.who).await? {
                Some(id) => {
                    self.offered.retain(|offered| *offered != move_id);
                    log::info!("task {id} came from daemon {}", self.peer.name);
                    Answer::Accepted(id.0)
                }
                None => Answer::Unknown,
            },
            Request::Abort(move_id) => {
                let accepted = daemon.discard_prepared(move_id, self.who).await?;
                self.offered.retain(|offered| *offered != move_id);
                match accepted {
                    None => Answer::Done,
                    Some(id) => Answer::Accepted(id.0),
                }
            }
            Request::Forget(move_id) => {
                daemon.forget_accepted(move_id, self.who).await?;
                Answer::Done
            }
            Request::Carry { move_id, key } => match self.peers.ends.take(move_id, self.who, key) {
                Some(end) => {
                    self.carries = Some(end);
                    Answer::Done
                }
                None => Answer::Refused("nobody waits for this connection".into()),
            },
            Request::MoveState(claim) => {
                Answer::MoveState(daemon.move_state(claim, self.who).await?)
            }
        })
    }

    /// Stores an offered task as prepared, and makes ends for the connections that are carried to
    /// it.
    async fn prepare(&mut self, offer: TaskOffer) -> Result<Answer, Error> {
        let daemon = &self.peers.daemon;
        let move_id = offer.move_id;
        let details = self.details();
        let grants = self.peer.grants();
        let keys = offer.streams.clone();
        self.offered.push(move_id);
        let id = daemon
            .prepare_task(offer, self.who, details, &grants)
            .await?;
        match self.peers.ends.make(move_id, self.who, &keys) {
            Ok(ends) => {
                let held = ends.into_iter().map(|(key, socket)| HeldSocket {
                    key,
                    role: Role::Stream,
                    socket,
                });
                daemon.put_streams(id, held.collect());
            }
            // The guest then reads the connections as reset.
            Err(error) => log::warn!("connections cannot be carried: {error}"),
        }
        Ok(Answer::Prepared(id.0))
    }

    /// What is stored of a move from this peer.
    fn details(&self) -> MoveDetails {
        let theirs = self.theirs.as_ref();
        let said = theirs.map(|hello| hello.address.clone());
        let said = said.filter(|address| !address.is_empty());
        MoveDetails {
            daemon: theirs.map(|hello| hello.daemon.clone()).unwrap_or_default(),
            address: self.peer.address.clone().or(said).unwrap_or_default(),
            ..MoveDetails::default()
        }
    }
}
