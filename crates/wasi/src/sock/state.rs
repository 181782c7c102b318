//! Sockets in a snapshot.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net as os;
use serde::{Deserialize, Serialize};

use super::grants::Grants;
use super::held::HeldSocket;
use super::options;
use super::socket::{MAX_SENDERS, PhaseV1, Socket, open_host};
use crate::errno::Errno;
use crate::error::Error;

/// The most options of one socket that are read from a snapshot. The guest interface has fewer, so
/// only a malformed snapshot has more.
const MAX_OPTIONS: usize = 64;

/// A socket that a guest has opened or accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketV1 {
    /// The key under which the host's socket may have been kept.
    pub key: u64,
    /// IPv6, not IPv4.
    pub v6: bool,
    /// UDP, not TCP.
    pub datagram: bool,
    /// How far it has come.
    pub phase: PhaseV1,
    /// The guest chose the address that it is bound to.
    pub bound: bool,
    /// The address that it is bound to.
    pub local: Option<SocketAddr>,
    /// The peer that it is connected to or being connected to.
    pub peer: Option<SocketAddr>,
    /// `SO_RCVTIMEO`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::nanoseconds"
    )]
    pub receive_timeout: Option<Duration>,
    /// `SO_SNDTIMEO`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::nanoseconds"
    )]
    pub send_timeout: Option<Duration>,
    /// Options that the guest has set, by WasmEdge's numbers, as the guest wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(u8, serde_bytes::ByteBuf)>,
    /// The guest asked for any port, so that the system chose one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_port: bool,
    /// The addresses that the last datagrams came from, to which the guest may answer. They count
    /// only if the host's own socket was kept, which has heard from them: a snapshot may have been
    /// written by anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<SocketAddr>,
}

impl Socket {
    /// The socket as data, under a key by which the host's socket can be kept.
    pub(crate) fn save(&self, key: u64) -> SocketV1 {
        self.key.set(key);
        let options = self.options.iter();
        SocketV1 {
            key,
            v6: self.v6,
            datagram: self.datagram,
            phase: self.phase,
            bound: self.bound,
            local: self.local(),
            peer: match self.phase {
                PhaseV1::Connecting => self.target,
                _ => self.peer(),
            },
            receive_timeout: self.receive_timeout,
            send_timeout: self.send_timeout,
            options: options
                .map(|(name, value)| (*name, value.clone().into()))
                .collect(),
            any_port: self.any_port,
            senders: self.senders.iter().copied().collect(),
        }
    }
}

/// The first port that the system chooses by itself, as Linux is usually set up.
const FIRST_EPHEMERAL_PORT: u16 = 32768;

impl SocketV1 {
    /// The socket restored: the one that was kept for it, or one that is made anew.
    pub(crate) fn restore(self, held: &[HeldSocket], grants: &Grants) -> Result<Socket, Error> {
        if self.options.len() > MAX_OPTIONS || self.senders.len() > MAX_SENDERS {
            return Err(Error::Malformed("a socket has more than it can have"));
        }
        let mut socket = Socket::without_host(self.v6, self.datagram, self.phase);
        socket.bound = self.bound;
        socket.target = self.peer;
        socket.receive_timeout = self.receive_timeout;
        socket.send_timeout = self.send_timeout;
        socket.any_port = self.any_port;
        for (name, value) in self.options {
            socket.options.insert(name, value.into_vec());
        }
        let kept = held.iter().find(|kept| kept.key == self.key);
        if let Some(kept) = kept.filter(|kept| kept.role == socket.role()) {
            socket.socket = Some(kept.socket.clone());
            socket.senders = self.senders.into();
            return Ok(socket);
        }
        if socket.is_connection() {
            socket.phase = PhaseV1::Reset;
            return Ok(socket);
        }
        let failed = |source: Errno| Error::Io {
            what: "open a socket of the guest's again",
            source: source.into(),
        };
        let host = open_host(self.v6, self.datagram).map_err(failed)?;
        options::set_again(&host, &socket.options);
        socket.socket = Some(Arc::new(host));
        if let Some(local) = self.local {
            socket.bind_again(local, grants)?;
        }
        if let Some(peer) = self.peer {
            socket.connect_again(peer, grants)?;
        }
        Ok(socket)
    }
}

impl Socket {
    /// Binds a socket that was made anew to the address that it had, and listens there as before.
    fn bind_again(&mut self, local: SocketAddr, grants: &Grants) -> Result<(), Error> {
        let Some(fd) = self.fd() else {
            return Ok(());
        };
        // A client's address was chosen by the system. A snapshot may claim another one.
        let is_client = self.datagram && !grants.connect.is_empty();
        let was_chosen = is_client && local.port() >= FIRST_EPHEMERAL_PORT;
        if !self.bound && !was_chosen {
            return Ok(());
        }
        if self.bound && !may_bind_again(grants, local, self.any_port) {
            return Err(Error::MissingGrant {
                what: "is bound to",
                flag: "--allow-listen",
                address: local,
            });
        }
        if !self.datagram {
            // Connections of before may still hold the address.
            let _ = os::sockopt::set_socket_reuseaddr(fd, true);
        }
        let bound = os::bind(fd, &local).and_then(|()| match self.phase {
            PhaseV1::Listening { backlog } => os::listen(fd, backlog),
            _ => Ok(()),
        });
        match bound {
            // The system chose this address before, and may choose another one now.
            Err(_) if !self.bound => Ok(()),
            bound => bound.map_err(|source| Error::BindAgain {
                address: local,
                source: source.into(),
            }),
        }
    }

    /// Connects a socket that was made anew to the peer that it had, if it had one.
    fn connect_again(&mut self, peer: SocketAddr, grants: &Grants) -> Result<(), Error> {
        if !matches!(self.phase, PhaseV1::Connected | PhaseV1::Connecting) {
            return Ok(());
        }
        let Some(peer) = grants.may_connect(peer) else {
            return Err(Error::MissingGrant {
                what: "connects to",
                flag: "--allow-connect",
                address: peer,
            });
        };
        let Some(fd) = self.fd() else {
            return Ok(());
        };
        // Nothing has been sent on a stream that was still being connected, so that it can be tried
        // again.
        match os::connect(fd, &peer) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(_) => (self.socket, self.phase) = (None, PhaseV1::Reset),
        }
        Ok(())
    }
}

/// Whether a socket may be bound to the address again: it is granted, or it was granted as any
/// port.
fn may_bind_again(grants: &Grants, local: SocketAddr, any_port: bool) -> bool {
    let any = SocketAddr::new(local.ip(), 0);
    let was_chosen = any_port && local.port() >= FIRST_EPHEMERAL_PORT;
    grants.may_listen(local) || (was_chosen && grants.may_listen(any))
}
