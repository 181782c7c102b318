//! Sockets as data, and from data.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{self as os, AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::{HeldSocket, MAX_SENDERS, Role, SocketFd, options};
use crate::Error;
use crate::ctx::Ctx;

/// A socket that a guest has opened or accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketV1 {
    /// By this the host's socket is found, where somebody has kept it.
    pub key: u64,
    /// IPv6, not IPv4.
    pub v6: bool,
    /// UDP, not TCP.
    pub datagram: bool,
    /// What has become of it.
    pub phase: PhaseV1,
    /// The guest chose the address that it is bound to.
    pub bound: bool,
    /// Where it is bound.
    pub local: Option<SocketAddr>,
    /// Whom it is connected to, or about to be.
    pub peer: Option<SocketAddr>,
    /// `SO_RCVTIMEO`, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_timeout: Option<u64>,
    /// `SO_SNDTIMEO`, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_timeout: Option<u64>,
    /// Options that the guest has set, by WasmEdge's numbers, as the guest wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(u8, serde_bytes::ByteBuf)>,
    /// Its port is one that the system chose, because the guest asked for any.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_port: bool,
    /// The last ones that sent datagrams, whom the guest may answer. It may so only with the host's own
    /// socket, which has heard from them: a file may say anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<SocketAddr>,
}

/// What has become of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseV1 {
    /// It was opened.
    Open,
    /// It has an address that the guest chose.
    Bound,
    /// It accepts connections.
    Listening {
        /// How many may wait.
        backlog: i32,
    },
    /// It is on its way.
    Connecting,
    /// It has a peer.
    Connected,
    /// Its connection was lost in a suspend.
    Reset,
}

impl SocketFd {
    pub(super) fn role(&self) -> Role {
        match (self.datagram, self.is_listening()) {
            (true, _) => Role::Datagram,
            (false, true) => Role::Listener,
            (false, false) => Role::Stream,
        }
    }

    /// As data, under this key.
    pub(crate) fn save(&self, key: u64) -> SocketV1 {
        self.key.set(key);
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
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
            receive_timeout: self.receive_timeout.map(nanoseconds),
            send_timeout: self.send_timeout.map(nanoseconds),
            options: options
                .map(|(name, value)| (*name, value.clone().into()))
                .collect(),
            any_port: self.any_port,
            senders: self.senders.iter().copied().collect(),
        }
    }

    /// Where it is bound, where that is known.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        let address = os::getsockname(self.fd()?).ok()?;
        let address = SocketAddr::try_from(address).ok()?;
        (address.port() != 0).then_some(address)
    }

    /// Whom it is connected to.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        let address = os::getpeername(self.fd()?).ok()??;
        SocketAddr::try_from(address).ok()
    }
}

/// From here on the system chooses ports, as it is usually set up.
const EPHEMERAL: u16 = 32768;

/// A new socket of the host's.
pub(super) fn open(v6: bool, datagram: bool) -> rustix::io::Result<OwnedFd> {
    let family = match v6 {
        true => AddressFamily::INET6,
        false => AddressFamily::INET,
    };
    let kind = match datagram {
        true => SocketType::DGRAM,
        false => SocketType::STREAM,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    os::socket_with(family, kind, flags, None)
}

impl Ctx {
    /// A socket from data: the one that was kept for it, or one made anew.
    pub(crate) fn restore_socket(
        &self,
        saved: SocketV1,
        held: &[HeldSocket],
    ) -> Result<SocketFd, Error> {
        if saved.options.len() > 64 || saved.senders.len() > MAX_SENDERS {
            return Err(Error::Malformed("a socket has more than it can have"));
        }
        let mut socket = SocketFd::reset();
        socket.v6 = saved.v6;
        socket.datagram = saved.datagram;
        socket.phase = saved.phase;
        socket.bound = saved.bound;
        socket.target = saved.peer;
        socket.receive_timeout = saved.receive_timeout.map(Duration::from_nanos);
        socket.send_timeout = saved.send_timeout.map(Duration::from_nanos);
        socket.any_port = saved.any_port;
        for (name, value) in saved.options {
            socket.options.insert(name, value.into_vec());
        }
        let kept = held.iter().find(|kept| kept.key == saved.key);
        if let Some(kept) = kept.filter(|kept| kept.role == socket.role()) {
            socket.socket = Some(kept.socket.clone());
            socket.senders = saved.senders.into();
            return Ok(socket);
        }
        let lasts = saved.datagram || !matches!(saved.phase, PhaseV1::Connected | PhaseV1::Reset);
        if !lasts {
            socket.phase = PhaseV1::Reset;
            return Ok(socket);
        }
        let failed = |source: rustix::io::Errno| Error::Io {
            what: "open a socket of the guest's again",
            source: source.into(),
        };
        let new = open(saved.v6, saved.datagram).map_err(failed)?;
        options::set_again(&new, &socket.options);
        socket.socket = Some(std::sync::Arc::new(new));
        self.place_again(&mut socket, saved.local, saved.peer)?;
        Ok(socket)
    }

    /// Whether the address is granted, or was granted as any port.
    fn may_bind_again(&self, local: SocketAddr, any_port: bool) -> bool {
        let any = SocketAddr::new(local.ip(), 0);
        let chosen = any_port && local.port() >= EPHEMERAL;
        self.grants.may_listen(local) || (chosen && self.grants.may_listen(any))
    }

    /// Binds a socket again, and does with it what the guest had done.
    fn place_again(
        &self,
        socket: &mut SocketFd,
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    ) -> Result<(), Error> {
        let Some(fd) = socket.fd() else {
            return Ok(());
        };
        // A client's address is one that the system had chosen; a file may say another one.
        let client = socket.datagram && !self.grants.connect.is_empty();
        let chosen = |local: &SocketAddr| socket.bound || (client && local.port() >= EPHEMERAL);
        if let Some(local) = local.filter(chosen) {
            if socket.bound && !self.may_bind_again(local, socket.any_port) {
                return Err(Error::MissingGrant {
                    what: "is bound to",
                    flag: "--allow-listen",
                    address: local,
                });
            }
            if !socket.datagram {
                // Connections of before may still hold the address.
                let _ = os::sockopt::set_socket_reuseaddr(fd, true);
            }
            let bound = os::bind(fd, &local).and_then(|()| match socket.phase {
                PhaseV1::Listening { backlog } => os::listen(fd, backlog),
                _ => Ok(()),
            });
            match bound {
                // An address that the system had chosen: it may choose another.
                Err(_) if !socket.bound => {}
                bound => bound.map_err(|source| Error::BindAgain {
                    address: local,
                    source: source.into(),
                })?,
            }
        }
        let connects = matches!(socket.phase, PhaseV1::Connected | PhaseV1::Connecting);
        let Some(peer) = peer.filter(|_| connects) else {
            return Ok(());
        };
        let Some(peer) = self.grants.may_connect(peer) else {
            return Err(Error::MissingGrant {
                what: "connects to",
                flag: "--allow-connect",
                address: peer,
            });
        };
        // On a stream nothing has been said yet, so that it can be tried once more.
        match os::connect(fd, &peer) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(_) => (socket.socket, socket.phase) = (None, PhaseV1::Reset),
        }
        Ok(())
    }
}
