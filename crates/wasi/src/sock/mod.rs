//! Sockets: those of preview1, and WasmEdge's extension, by which guests open their own.
//!
//! ```text
//!   open --> Open --bind--> Bound --listen--> Listening --accept--> Connected (another descriptor)
//!              `---connect---> Connecting --> Connected --suspend, and not held--> Reset
//! ```
//!
//! The host's sockets are non-blocking, so that only the guest waits. What a socket is for is data
//! ([`SocketV1`]), from which listeners and datagram sockets are made anew at a resume. A connection
//! cannot be made anew: whoever keeps the host's socket ([`HeldSocket`]) gives it back, else the guest
//! reads "connection reset", and never another's data.

mod address;
mod calls;
mod grants;
mod names;
mod options;
mod state;
mod transfer;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::abi::Result;
use super::ctx::Ctx;
use super::errno::Errno;
use super::fd::{self, Descriptor, Kind};
use super::{Error, rights};
use crate::model::{ClockId, Deadline, FdInterest, Interest, Wait};

pub use grants::{Grants, Rule};
pub use state::{PhaseV1, SocketV1};

/// How many of those who sent datagrams are remembered: a guest may answer them.
const MAX_SENDERS: usize = 256;

/// A listening socket of the host's that a guest may accept connections from.
#[derive(Debug)]
pub struct Listener {
    /// By this it is given again at a resume: the address as the user wrote it.
    pub address: String,
    /// The socket.
    pub socket: TcpListener,
}

/// A host's socket that outlives the instance of its guest.
///
/// The snapshot names it by its key. Each suspend makes new keys, at random: a socket fits the one
/// snapshot that was made with it, and no older one, which would lack the bytes read since.
#[derive(Clone, Debug)]
pub struct HeldSocket {
    /// By this the snapshot names it.
    pub key: u64,
    /// What it is.
    pub role: Role,
    /// The socket.
    pub socket: Arc<OwnedFd>,
}

/// What a held socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It accepts connections; it can be made anew.
    Listener,
    /// A connection, or one that is being made.
    Stream,
    /// It receives datagrams; it can be made anew, but for those that have arrived.
    Datagram,
}

/// A socket that a sleeping guest waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Which one.
    pub what: Watched,
    /// What it should become ready for.
    pub interest: Interest,
}

/// Which socket a sleeping guest waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watched {
    /// A listener that the host gave, by its address.
    Listener(String),
    /// A held socket, by its key.
    Socket(u64),
}

/// A guest's sockets at a suspend.
#[derive(Debug, Default)]
pub struct Asleep {
    /// All that the guest has opened or accepted; what the host gave is not among them.
    pub sockets: Vec<HeldSocket>,
    /// Those that end the wait. Empty where there is nothing to watch, or more than sockets.
    pub watches: Vec<Watch>,
}

/// A socket of a guest's.
#[derive(Clone)]
pub(super) struct SocketFd {
    /// `None` where it was lost in a suspend.
    socket: Option<Arc<OwnedFd>>,
    v6: bool,
    datagram: bool,
    /// The address by which the host gave it.
    granted: Option<String>,
    phase: PhaseV1,
    /// The guest chose the address that it is bound to.
    bound: bool,
    /// It asked for any port.
    any_port: bool,
    /// Whom it is being connected to.
    target: Option<SocketAddr>,
    /// What the last suspend called it.
    key: Cell<u64>,
    /// A reset has been told; from then on it is at its end.
    told: Cell<bool>,
    /// An error that ended a receive which had bytes already: it is told at the next one.
    late: Option<Errno>,
    receive_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    /// What the guest has set, to be set again on one that is made anew.
    options: BTreeMap<u8, Vec<u8>>,
    senders: VecDeque<SocketAddr>,
}

impl SocketFd {
    fn new(socket: OwnedFd, v6: bool, datagram: bool, phase: PhaseV1) -> Self {
        Self {
            socket: Some(Arc::new(socket)),
            v6,
            datagram,
            granted: None,
            phase,
            bound: false,
            any_port: false,
            target: None,
            key: Cell::new(0),
            told: Cell::new(false),
            late: None,
            receive_timeout: None,
            send_timeout: None,
            options: BTreeMap::new(),
            senders: VecDeque::new(),
        }
    }

    /// A connection that was lost in a suspend.
    pub(super) fn reset() -> Self {
        Self {
            socket: None,
            v6: false,
            datagram: false,
            granted: None,
            phase: PhaseV1::Reset,
            bound: false,
            any_port: false,
            target: None,
            key: Cell::new(0),
            told: Cell::new(false),
            late: None,
            receive_timeout: None,
            send_timeout: None,
            options: BTreeMap::new(),
            senders: VecDeque::new(),
        }
    }

    /// One that the host gives.
    pub(super) fn given(listener: Listener) -> std::result::Result<Self, Error> {
        let failed = |source| Error::Io {
            what: "make a listening socket non-blocking",
            source,
        };
        listener.socket.set_nonblocking(true).map_err(failed)?;
        let v6 = listener.socket.local_addr().is_ok_and(|a| a.is_ipv6());
        let phase = PhaseV1::Listening { backlog: 128 };
        let mut socket = Self::new(listener.socket.into(), v6, false, phase);
        socket.granted = Some(listener.address);
        Ok(socket)
    }

    /// The address by which the host gave it.
    pub(super) fn granted(&self) -> Option<&str> {
        self.granted.as_deref()
    }

    pub(super) fn is_datagram(&self) -> bool {
        self.datagram
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.phase, PhaseV1::Listening { .. })
    }

    /// The host's socket, unless it was lost.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(|socket| socket.as_fd())
    }

    /// The host's socket, or why there is none.
    fn host(&self) -> Result<BorrowedFd<'_>> {
        self.fd().ok_or_else(|| self.lost(Errno::Notconn))
    }

    /// What a lost connection answers: a reset, and after that `later`, as on Linux.
    fn lost(&self, later: Errno) -> Errno {
        match self.told.replace(true) {
            false => Errno::Connreset,
            true => later,
        }
    }

    pub(super) fn descriptor(self, flags: u16) -> Descriptor {
        let (rights, inheriting) = self.rights();
        Descriptor {
            kind: Kind::Socket(Box::new(self)),
            rights,
            inheriting,
            given_up: 0,
            flags,
        }
    }

    /// What it can be asked for, and what can be asked of connections that it accepts.
    pub(super) fn rights(&self) -> (u64, u64) {
        match (&self.granted, self.phase, self.datagram) {
            (Some(_), ..) => (rights::LISTENER, rights::CONNECTION),
            (None, PhaseV1::Connected | PhaseV1::Reset, false) => (rights::CONNECTION, 0),
            _ => (rights::SOCKET, rights::CONNECTION),
        }
    }

    fn remember_sender(&mut self, sender: SocketAddr) {
        if self.senders.back() == Some(&sender) {
            return;
        }
        self.senders.retain(|known| *known != sender);
        self.senders.push_back(sender);
        if self.senders.len() > MAX_SENDERS {
            self.senders.pop_front();
        }
    }
}

impl Ctx {
    /// The socket behind a descriptor that has the right.
    fn socket(&self, number: u32, right: u64) -> Result<&SocketFd> {
        match &self.table.get(number)?.kind {
            Kind::Socket(socket) => self.table.with(number, right).map(|_| &**socket),
            _ => Err(Errno::Notsock),
        }
    }

    fn socket_mut(&mut self, number: u32) -> Result<&mut SocketFd> {
        match &mut self.table.get_mut(number)?.kind {
            Kind::Socket(socket) => Ok(&mut **socket),
            _ => Err(Errno::Notsock),
        }
    }

    /// The wait for a socket; `late` where the guest does not want to wait, or not any longer. `woken`
    /// is the wait that this very call gave before.
    fn wait_for(
        &self,
        number: u32,
        interest: Interest,
        woken: Option<&Wait>,
        late: Errno,
    ) -> Result<Wait> {
        let descriptor = self.table.get(number)?;
        if descriptor.flags & fd::NONBLOCK != 0 {
            return Err(late);
        }
        let timeout = match (&descriptor.kind, interest) {
            (Kind::Socket(socket), Interest::Read) => socket.receive_timeout,
            (Kind::Socket(socket), Interest::Write) => socket.send_timeout,
            _ => None,
        };
        let deadline = match woken {
            // Counted from the first call.
            Some(Wait::Poll { deadline, .. }) => *deadline,
            _ => timeout.map(|timeout| Deadline {
                clock: ClockId::Monotonic,
                at: u64::try_from(timeout.as_nanos())
                    .unwrap_or(u64::MAX)
                    .saturating_add(self.clock.now(ClockId::Monotonic)),
            }),
        };
        if deadline.is_some_and(|deadline| self.clock.until(deadline) == 0) {
            return Err(late);
        }
        Ok(Wait::Poll {
            deadline,
            fds: vec![FdInterest {
                fd: number,
                interest,
            }],
        })
    }

    /// The sockets that the wait is for, where it is for nothing else and they can be watched from
    /// outside.
    pub fn watches(&self, wait: &Wait) -> Option<Vec<Watch>> {
        let Wait::Poll { fds, .. } = wait else {
            return None;
        };
        let watches: Option<Vec<Watch>> = fds
            .iter()
            .map(|wanted| {
                let Kind::Socket(socket) = &self.table.get(wanted.fd).ok()?.kind else {
                    return None;
                };
                socket.fd()?;
                Some(Watch {
                    what: match &socket.granted {
                        Some(address) => Watched::Listener(address.clone()),
                        None => Watched::Socket(socket.key.get()),
                    },
                    interest: wanted.interest,
                })
            })
            .collect();
        watches.filter(|watches| !watches.is_empty())
    }

    /// The sockets under the keys that [`Ctx::save`] has just written, and which of them end the wait.
    pub fn asleep(&self, wait: &Wait) -> Asleep {
        let sockets = self.table.iter().filter_map(|(_, open)| {
            let Kind::Socket(socket) = &open.kind else {
                return None;
            };
            let held = socket.socket.clone().filter(|_| socket.granted.is_none())?;
            Some(HeldSocket {
                key: socket.key.get(),
                role: socket.role(),
                socket: held,
            })
        });
        Asleep {
            sockets: sockets.collect(),
            watches: self.watches(wait).unwrap_or_default(),
        }
    }
}
