//! Connections of tasks that have moved: the daemon that holds a connection carries its bytes to where the task is.
//!
//! ```text
//!   client --TCP--> source ==TLS, a link for each connection==> target --TCP on loopback--> guest
//! ```
//!
//! The guest's end at the target is a socket like any other, so that the task can sleep there, and move on: then
//! the target is a source, and holds a connection that is itself carried.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};

use super::link::{Link, PATIENCE};
use super::message::{Answer, Request};
use super::{PeerError, Peers};
use crate::model::{Digest, TransferId};

/// So long the guest's end waits for the link that carries it; then it is reset.
const LONGEST: Duration = Duration::from_secs(60);

/// Guests' ends that wait for their links, by move and key.
#[derive(Default)]
pub(super) struct Ends(Mutex<HashMap<(TransferId, u64), (Digest, TcpStream)>>);

impl Ends {
    /// Makes a connection for each key: the guest's ends. The others wait for their links.
    pub(super) fn make(
        self: &Arc<Self>,
        transfer: TransferId,
        peer: Digest,
        keys: &[u64],
    ) -> io::Result<Vec<(u64, Arc<OwnedFd>)>> {
        let mut guests = Vec::with_capacity(keys.len());
        for key in keys {
            let (guest, other) = pair()?;
            self.open().insert((transfer, *key), (peer, other));
            guests.push((*key, Arc::new(guest.into())));
        }
        let (ends, keys) = (self.clone(), keys.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(LONGEST).await;
            ends.drop_all(transfer, &keys);
        });
        Ok(guests)
    }

    /// The end that a link is to carry.
    pub(super) fn take(&self, transfer: TransferId, peer: Digest, key: u64) -> Option<TcpStream> {
        let mut ends = self.open();
        match ends.get(&(transfer, key)) {
            Some((owner, _)) if *owner == peer => ends.remove(&(transfer, key)).map(|(_, end)| end),
            _ => None,
        }
    }

    fn drop_all(&self, transfer: TransferId, keys: &[u64]) {
        for key in keys {
            if let Some((_, end)) = self.open().remove(&(transfer, *key)) {
                reset(&end);
            }
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<(TransferId, u64), (Digest, TcpStream)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two ends of a connection on loopback, which nobody else has got into.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let left = TcpStream::connect(listener.local_addr()?)?;
    for _ in 0..16 {
        let (right, from) = listener.accept()?;
        if from == left.local_addr()? {
            for end in [&left, &right] {
                end.set_nonblocking(true)?;
                end.set_nodelay(true)?;
            }
            return Ok((left, right));
        }
    }
    Err(io::Error::other("others connected to it"))
}

/// The other end is to read "connection reset", as after any failure.
fn reset(end: &TcpStream) {
    // Else it reads an end, which is what there is.
    let _ = sockopt::set_socket_linger(end, Some(Duration::ZERO));
}

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
    /// Carries connections of a task that has gone over links of their own.
    pub(super) fn carry_away(
        self: &Arc<Self>,
        address: String,
        peer: Digest,
        transfer: TransferId,
        streams: Vec<(u64, Arc<OwnedFd>)>,
    ) {
        for (key, socket) in streams {
            let (peers, address) = (self.clone(), address.clone());
            tokio::spawn(async move {
                let Ok(end) = socket.try_clone().map(TcpStream::from) else {
                    return;
                };
                drop(socket);
                match peers.carrier(&address, peer, transfer, key).await {
                    Ok(link) => carry(link.into_stream(), end).await,
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
        transfer: TransferId,
        key: u64,
    ) -> Result<Link, PeerError> {
        let mut link = Link::open(self, address, Some(peer)).await?;
        let request = Request::Carry { transfer, key };
        match link.ask(&request, &[], PATIENCE).await? {
            Answer::Done => Ok(link),
            answer => Err(link.unexpected(answer)),
        }
    }
}
