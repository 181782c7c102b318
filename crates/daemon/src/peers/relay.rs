//! Connections of tasks that have moved. The source, which has the connection, carries its bytes to
//! the target, which has the task.
//!
//! ```text
//!   client --TCP--> source ==TLS, a link for each connection==> target --TCP on loopback--> guest
//! ```
//!
//! The guest's end at the target is a socket like any other, so that the task can sleep there and
//! move on. Then that target is a source, with a connection that is itself carried.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio_rustls::client::TlsStream;

use crate::model::{Digest, MoveId};
use crate::peers::client::{ANSWER_TIMEOUT, Link};
use crate::peers::ends::reset;
use crate::peers::error::PeerError;
use crate::peers::message::{Answer, Request};
use crate::peers::network::Peers;

/// Carries bytes both ways until both have ended.
pub(super) async fn carry(mut link: impl AsyncRead + AsyncWrite + Unpin, end: TcpStream) {
    let Ok(watch) = end.try_clone() else { return };
    let Ok(mut end) = tokio::net::TcpStream::from_std(end) else {
        return;
    };
    if let Err(error) = copy_bidirectional(&mut link, &mut end).await {
        log::debug!("a carried connection broke: {error}");
        reset(&watch);
    }
}

impl Peers {
    /// Carries the connections of a task that was moved, each over a link of its own.
    pub(super) fn carry_away(
        self: &Arc<Self>,
        address: String,
        peer: Digest,
        move_id: MoveId,
        streams: Vec<(u64, Arc<OwnedFd>)>,
    ) {
        for (key, socket) in streams {
            let (peers, address) = (self.clone(), address.clone());
            tokio::spawn(async move {
                let Ok(end) = socket.try_clone().map(TcpStream::from) else {
                    return;
                };
                drop(socket);
                match peers.carrier(&address, peer, move_id, key).await {
                    Ok(link) => carry(link, end).await,
                    Err(error) => {
                        log::warn!("a connection cannot be carried to {address}: {error}");
                        reset(&end);
                    }
                }
            });
        }
    }

    async fn carrier(
        &self,
        address: &str,
        peer: Digest,
        move_id: MoveId,
        key: u64,
    ) -> Result<TlsStream<tokio::net::TcpStream>, PeerError> {
        let mut link = Link::open(self, address, Some(peer)).await?;
        let request = Request::Carry { move_id, key };
        match link.ask(&request, &[], ANSWER_TIMEOUT).await? {
            Answer::Done => {
                let address = link.address.clone();
                let broken = |error: std::io::Error| PeerError::Broken {
                    address,
                    why: error.to_string(),
                };
                link.into_carrier().map_err(broken)
            }
            answer => Err(link.unexpected(answer)),
        }
    }
}
