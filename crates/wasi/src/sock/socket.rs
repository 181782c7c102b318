//! A socket of a guest's: opening, binding, listening, accepting and connecting.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use dormouse_model::Interest;
use rustix::net::{self as os, AddressFamily, Shutdown, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::grants::{Grants, Purpose};
use super::held::{HeldSocket, Role, Watched};
use crate::errno::{Errno, Result};
use crate::error::Error;

/// How many senders of datagrams are remembered. A guest may answer them without a grant.
pub(super) const MAX_SENDERS: usize = 256;

/// How many pending connections a listener of the host's may have. It only matters if the guest
/// listens on it again.
const HOST_BACKLOG: i32 = 128;

/// A listening socket of the host's that a guest may accept connections from.
#[derive(Debug)]
pub struct Listener {
    /// The address as the user wrote it. A resume asks for the listener by it.
    pub address: String,
    /// The socket.
    pub socket: TcpListener,
}

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseV1 {
    /// It was opened.
    Open,
    /// It has an address that the guest chose.
    Bound,
    /// It accepts connections.
    Listening {
        /// How many pending connections it may have.
        backlog: i32,
    },
    /// It is being connected.
    Connecting,
    /// It has a peer.
    Connected,
    /// Its connection was lost in a suspend.
    Reset,
}

/// A socket of a guest's.
#[derive(Clone)]
pub(crate) struct Socket {
    /// The host's socket; `None` if it was lost in a suspend.
    pub(super) socket: Option<Arc<OwnedFd>>,
    pub(super) v6: bool,
    pub(super) datagram: bool,
    /// The address under which the host gave it, if it did.
    given: Option<String>,
    pub(super) phase: PhaseV1,
    /// The guest chose the address that it is bound to.
    pub(super) bound: bool,
    /// The guest asked for any port.
    pub(super) any_port: bool,
    /// The peer of the connection that is being made.
    pub(super) target: Option<SocketAddr>,
    /// The key by which the last suspend named it.
    pub(super) key: Cell<u64>,
    /// The guest has been told that the connection was reset. From then on it is at its end.
    reset_told: Cell<bool>,
    /// An error that ended a receive which had bytes already. The next receive reports it.
    pub(crate) pending_error: Option<Errno>,
    pub(crate) receive_timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
    /// The options that the guest has set, to be set again on a socket that is made anew.
    pub(super) options: BTreeMap<u8, Vec<u8>>,
    /// The addresses that the last datagrams came from.
    pub(super) senders: VecDeque<SocketAddr>,
}

impl Socket {
    /// A socket without the host's.
    pub(super) fn without_host(v6: bool, datagram: bool, phase: PhaseV1) -> Self {
        Self {
            socket: None,
            v6,
            datagram,
            given: None,
            phase,
            bound: false,
            any_port: false,
            target: None,
            key: Cell::new(0),
            reset_told: Cell::new(false),
            pending_error: None,
            receive_timeout: None,
            send_timeout: None,
            options: BTreeMap::new(),
            senders: VecDeque::new(),
        }
    }

    fn new(socket: OwnedFd, v6: bool, datagram: bool, phase: PhaseV1) -> Self {
        Self {
            socket: Some(Arc::new(socket)),
            ..Self::without_host(v6, datagram, phase)
        }
    }

    /// A listener that the host gives.
    pub(crate) fn given(listener: Listener) -> std::result::Result<Self, Error> {
        let failed = |source| Error::Io {
            what: "make a listening socket non-blocking",
            source,
        };
        listener.socket.set_nonblocking(true).map_err(failed)?;
        let v6 = listener.socket.local_addr().is_ok_and(|a| a.is_ipv6());
        let phase = PhaseV1::Listening {
            backlog: HOST_BACKLOG,
        };
        Ok(Self {
            given: Some(listener.address),
            ..Self::new(listener.socket.into(), v6, false, phase)
        })
    }

    /// A connection that the host has accepted.
    pub(crate) fn accepted(stream: TcpStream) -> Self {
        let v6 = stream.local_addr().is_ok_and(|address| address.is_ipv6());
        Self::new(stream.into(), v6, false, PhaseV1::Connected)
    }

    /// The address under which the host gave it, if it did.
    pub(crate) fn given_address(&self) -> Option<&str> {
        self.given.as_deref()
    }

    pub(crate) fn is_datagram(&self) -> bool {
        self.datagram
    }

    pub(crate) fn is_listening(&self) -> bool {
        matches!(self.phase, PhaseV1::Listening { .. })
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.phase == PhaseV1::Connecting
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.v6
    }

    /// Whether it can still become anything: it neither listens nor has a peer.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.phase, PhaseV1::Open | PhaseV1::Bound)
    }

    /// Whether it has an address, which the guest or the system has chosen.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound || self.local().is_some()
    }

    /// Whether it is a connection or was one, and so can never accept any.
    pub(crate) fn is_connection(&self) -> bool {
        !self.datagram && matches!(self.phase, PhaseV1::Connected | PhaseV1::Reset)
    }

    /// How long the guest wants to wait, at most, for it to become ready.
    pub(crate) fn timeout(&self, interest: Interest) -> Option<Duration> {
        match interest {
            Interest::Read => self.receive_timeout,
            Interest::Write => self.send_timeout,
        }
    }

    /// The host's socket, unless it was lost.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(|socket| socket.as_fd())
    }

    /// The host's socket, or the error of a call on a socket that was lost.
    pub(super) fn host(&self) -> Result<BorrowedFd<'_>> {
        self.fd()
            .ok_or_else(|| self.lost().unwrap_or(Errno::NOTCONN))
    }

    /// Reports that the connection was lost: a reset at first, and then nothing more, as on Linux.
    pub(super) fn lost(&self) -> Option<Errno> {
        match self.reset_told.replace(true) {
            false => Some(Errno::CONNRESET),
            true => None,
        }
    }

    /// A new socket.
    pub(crate) fn open(v6: bool, datagram: bool) -> Result<Self> {
        let socket = open_host(v6, datagram)?;
        Ok(Self::new(socket, v6, datagram, PhaseV1::Open))
    }

    /// Binds the socket to an address.
    pub(crate) fn bind(&mut self, address: SocketAddr, grants: &Grants) -> Result<()> {
        grants.check(Purpose::Listen, address)?;
        os::bind(self.host()?, &address)?;
        self.bound = true;
        self.any_port = address.port() == 0;
        if self.phase == PhaseV1::Open {
            self.phase = PhaseV1::Bound;
        }
        Ok(())
    }

    /// Lets the socket accept connections.
    pub(crate) fn listen(&mut self, backlog: i32, grants: &Grants) -> Result<()> {
        if self.given.is_some() {
            return Ok(());
        }
        if !self.bound && !self.is_listening() {
            // The system would choose an address on every interface.
            let any: SocketAddr = match self.v6 {
                true => (Ipv6Addr::UNSPECIFIED, 0).into(),
                false => (Ipv4Addr::UNSPECIFIED, 0).into(),
            };
            grants.check(Purpose::Listen, any)?;
        }
        os::listen(self.host()?, backlog)?;
        self.phase = PhaseV1::Listening { backlog };
        self.any_port |= !self.bound;
        self.bound = true;
        Ok(())
    }

    /// Accepts a connection; `EAGAIN` if none is pending.
    pub(crate) fn accept(&self) -> Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match os::accept_with(self.host()?, flags) {
            Ok(stream) => Ok(Self::new(stream, self.v6, false, PhaseV1::Connected)),
            // With `ECONNABORTED` the peer has gone again before it was accepted.
            Err(Errno::CONNABORTED | Errno::INTR) => Err(Errno::AGAIN),
            Err(errno) => Err(errno),
        }
    }

    /// Lets the system send at once whatever is given to it.
    pub(crate) fn send_at_once(&self) {
        if let Some(fd) = self.fd() {
            // Without it everything is sent a little later.
            let _ = os::sockopt::set_tcp_nodelay(fd, true);
        }
    }

    /// Begins to connect the socket; `EINPROGRESS` as long as the peer has not answered.
    pub(crate) fn connect(&mut self, address: SocketAddr, grants: &Grants) -> Result<()> {
        let address = grants.check(Purpose::Connect, address)?;
        let result = os::connect(self.host()?, &address);
        match result {
            Ok(()) => self.phase = PhaseV1::Connected,
            Err(Errno::INPROGRESS) => {
                self.phase = PhaseV1::Connecting;
                self.target = Some(address);
            }
            Err(Errno::ISCONN) if self.is_connecting() => self.phase = PhaseV1::Connected,
            Err(_) => {}
        }
        result
    }

    /// Learns whether the peer has answered; `EINPROGRESS` as long as it has not.
    pub(crate) fn finish_connect(&mut self) -> Result<()> {
        if let Err(errno) = os::sockopt::socket_error(self.host()?)? {
            self.phase = match self.bound {
                true => PhaseV1::Bound,
                false => PhaseV1::Open,
            };
            return Err(errno);
        }
        match self.peer() {
            Some(_) => {
                self.phase = PhaseV1::Connected;
                Ok(())
            }
            None => Err(Errno::INPROGRESS),
        }
    }

    /// Lets a datagram socket have no peer again.
    pub(crate) fn disconnect(&mut self) -> Result<()> {
        os::connect_unspec(self.host()?)?;
        self.target = None;
        self.phase = match self.bound {
            true => PhaseV1::Bound,
            false => PhaseV1::Open,
        };
        Ok(())
    }

    /// Ends one direction of a connection, or both.
    pub(crate) fn shutdown(&self, how: Shutdown) -> Result<()> {
        if self.given.is_some() {
            // It is the host's, and a later instance is given it again.
            return Err(Errno::NOTCONN);
        }
        os::shutdown(self.host()?, how)
    }

    /// The address that it is bound to.
    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        let address = os::getsockname(self.host()?)?;
        SocketAddr::try_from(address).map_err(|_| Errno::AFNOSUPPORT)
    }

    /// The address of its peer.
    pub(crate) fn peer_address(&self) -> Result<SocketAddr> {
        let address = os::getpeername(self.host()?)?.ok_or(Errno::NOTCONN)?;
        SocketAddr::try_from(address).map_err(|_| Errno::AFNOSUPPORT)
    }

    /// The address that it is bound to, if it has one.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        let address = os::getsockname(self.fd()?).ok()?;
        let address = SocketAddr::try_from(address).ok()?;
        (address.port() != 0).then_some(address)
    }

    /// The address of its peer, if it has one.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        let address = os::getpeername(self.fd()?).ok()??;
        SocketAddr::try_from(address).ok()
    }

    /// Remembers who has sent a datagram, so that the guest may answer.
    pub(super) fn remember_sender(&mut self, sender: SocketAddr) {
        if self.senders.back() == Some(&sender) {
            return;
        }
        self.senders.retain(|known| *known != sender);
        self.senders.push_back(sender);
        if self.senders.len() > MAX_SENDERS {
            self.senders.pop_front();
        }
    }

    /// What the socket is for while the guest sleeps.
    pub(super) fn role(&self) -> Role {
        match (self.datagram, self.is_listening()) {
            (true, _) => Role::Datagram,
            (false, true) => Role::Listener,
            (false, false) => Role::Stream,
        }
    }

    /// The socket to be kept while the guest sleeps, under the key of the last suspend. There is
    /// none for a listener that the host gave, and none for a connection that was lost.
    pub(crate) fn hold(&self) -> Option<HeldSocket> {
        let socket = self.socket.clone().filter(|_| self.given.is_none())?;
        Some(HeldSocket {
            key: self.key.get(),
            role: self.role(),
            socket,
        })
    }

    /// How a sleeping guest's wait names the socket. `None` if it was lost.
    pub(crate) fn watched(&self) -> Option<Watched> {
        self.fd()?;
        Some(match &self.given {
            Some(address) => Watched::Listener(address.clone()),
            None => Watched::Socket(self.key.get()),
        })
    }
}

/// A new socket of the host's.
pub(super) fn open_host(v6: bool, datagram: bool) -> Result<OwnedFd> {
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

/// Fails if the host does not give a listener that the guest needs. The error names all of these.
pub(crate) fn check_listeners<'a>(
    needed: impl Iterator<Item = &'a String>,
    given: &[Listener],
) -> std::result::Result<(), Error> {
    let is_missing = |address: &&String| given.iter().all(|given| given.address != **address);
    let mut addresses: Vec<String> = needed.filter(is_missing).cloned().collect();
    addresses.sort();
    addresses.dedup();
    match addresses.is_empty() {
        true => Ok(()),
        false => Err(Error::MissingListener { addresses }),
    }
}

/// The listener that the host gave under this address.
pub(crate) fn find_listener(
    listeners: &[Socket],
    address: String,
) -> std::result::Result<Socket, Error> {
    let is_it = |socket: &&Socket| socket.given_address() == Some(&address);
    match listeners.iter().find(is_it) {
        Some(listener) => Ok(listener.clone()),
        None => Err(Error::MissingListener {
            addresses: vec![address],
        }),
    }
}
