//! Opening sockets and connecting them.

use std::net::SocketAddr;

use rustix::io::Errno as Os;
use rustix::net::{self as os, Shutdown, SocketFlags};

use super::address;
use super::grants::Refusal;
use super::state::open;
use super::{PhaseV1, SocketFd};
use crate::abi::{Memory, Result, arg};
use crate::ctx::Ctx;
use crate::errno::Errno;
use crate::model::{Interest, Wait};
use crate::{fd, rights};

/// `sdflags` of the specification.
const RECEIVE: u32 = 1 << 0;
const SEND: u32 = 1 << 1;

/// `sock_type` of WasmEdge.
pub(super) const DATAGRAM: u32 = 1;
pub(super) const STREAM: u32 = 2;

impl Ctx {
    /// `sock_open`.
    pub(crate) fn sock_open(&mut self, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
        memory.check_result(arg(a, 2))?;
        let v6 = match u8::try_from(arg(a, 0)) {
            Ok(address::INET4) => false,
            Ok(address::INET6) => true,
            // Sockets of the file system, which WasmEdge offers only to those that name them.
            Ok(3) => return Err(Errno::Afnosupport),
            _ => return Err(Errno::Inval),
        };
        let datagram = match arg(a, 1) {
            DATAGRAM => true,
            STREAM => false,
            _ => return Err(Errno::Inval),
        };
        self.table.check_room()?;
        let socket = SocketFd::new(open(v6, datagram)?, v6, datagram, PhaseV1::Open);
        let number = self.table.insert(socket.descriptor(0))?;
        memory.write_u32(arg(a, 2), number)
    }

    /// `sock_bind`.
    pub(crate) fn sock_bind(&mut self, a: &[u64], memory: &Memory<'_>) -> Result<()> {
        let number = arg(a, 0);
        let address = address::read(memory, arg(a, 1), arg(a, 2))?;
        let socket = self.socket(number, 0)?;
        self.grants.check(Refusal::Listen, address)?;
        os::bind(socket.host()?, &address)?;
        let socket = self.socket_mut(number)?;
        socket.bound = true;
        socket.any_port = address.port() == 0;
        if socket.phase == PhaseV1::Open {
            socket.phase = PhaseV1::Bound;
        }
        Ok(())
    }

    /// `sock_listen`.
    pub(crate) fn sock_listen(&mut self, a: &[u64]) -> Result<()> {
        let (number, backlog) = (arg(a, 0), arg(a, 1) as i32);
        let socket = self.socket(number, 0)?;
        if socket.granted.is_some() {
            return Ok(());
        }
        if !socket.bound && !socket.is_listening() {
            // The system would choose an address, on every interface.
            let any: SocketAddr = match socket.v6 {
                true => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
                false => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            };
            self.grants.check(Refusal::Listen, any)?;
        }
        os::listen(socket.host()?, backlog)?;
        let socket = self.socket_mut(number)?;
        socket.phase = PhaseV1::Listening { backlog };
        socket.any_port |= !socket.bound;
        socket.bound = true;
        Ok(())
    }

    /// `sock_accept`, with flags for the new descriptor or, in WasmEdge's first form, without; gives
    /// the wait where nobody has come yet.
    pub(crate) fn sock_accept(
        &mut self,
        a: &[u64],
        flagged: bool,
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        let (flags, place) = match flagged {
            true => (arg(a, 1), arg(a, 2)),
            false => (0, arg(a, 1)),
        };
        memory.check_result(place)?;
        let socket = self.socket(number, rights::SOCK_ACCEPT)?;
        let flags = u16::try_from(flags).map_err(|_| Errno::Inval)?;
        if flags & !fd::NONBLOCK != 0 {
            return Err(Errno::Inval);
        }
        self.table.check_room()?;
        let inheriting = self.table.get(number)?.inheriting;
        let v6 = socket.v6;
        let new = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let stream = match os::accept_with(socket.host()?, new) {
            Ok(stream) => stream,
            // Whoever came has gone again.
            Err(Os::AGAIN | Os::CONNABORTED | Os::INTR) => {
                let wait = self.wait_for(number, Interest::Read, woken, Errno::Again);
                return wait.map(Some);
            }
            Err(errno) => return Err(errno.into()),
        };
        let accepted = SocketFd::new(stream, v6, false, PhaseV1::Connected);
        let mut descriptor = accepted.descriptor(flags);
        descriptor.given_up = rights::CONNECTION & !inheriting;
        descriptor.rights &= inheriting;
        let connection = self.table.insert(descriptor)?;
        memory.write_u32(place, connection)?;
        Ok(None)
    }

    /// `sock_connect`; gives the wait until somebody has answered.
    pub(crate) fn sock_connect(
        &mut self,
        a: &[u64],
        memory: &Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        let socket = self.socket(number, 0)?;
        if woken.is_some() && socket.phase == PhaseV1::Connecting {
            return self.connected(number, woken);
        }
        let address = address::read(memory, arg(a, 1), arg(a, 2))?;
        let address = self.grants.check(Refusal::Connect, address)?;
        let result = os::connect(socket.host()?, &address);
        let socket = self.socket_mut(number)?;
        match result {
            Ok(()) => {
                socket.phase = PhaseV1::Connected;
                Ok(None)
            }
            Err(Os::INPROGRESS) => {
                socket.phase = PhaseV1::Connecting;
                socket.target = Some(address);
                let wait = self.wait_for(number, Interest::Write, None, Errno::Inprogress);
                wait.map(Some)
            }
            Err(Os::ISCONN) if socket.phase == PhaseV1::Connecting => {
                socket.phase = PhaseV1::Connected;
                Err(Errno::Isconn)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether a connection that was begun is there.
    fn connected(&mut self, number: u32, woken: Option<&Wait>) -> Result<Option<Wait>> {
        let socket = self.socket_mut(number)?;
        match os::sockopt::socket_error(socket.host()?)? {
            Ok(()) => {}
            Err(errno) => {
                socket.phase = if socket.bound {
                    PhaseV1::Bound
                } else {
                    PhaseV1::Open
                };
                return Err(errno.into());
            }
        }
        if socket.peer().is_some() {
            socket.phase = PhaseV1::Connected;
            return Ok(None);
        }
        let wait = self.wait_for(number, Interest::Write, woken, Errno::Inprogress);
        wait.map(Some)
    }

    /// `sock_shutdown`.
    pub(crate) fn sock_shutdown(&self, a: &[u64]) -> Result<()> {
        let socket = self.socket(arg(a, 0), rights::SOCK_SHUTDOWN)?;
        let how = match arg(a, 1) {
            RECEIVE => Shutdown::Read,
            SEND => Shutdown::Write,
            both if both == RECEIVE | SEND => Shutdown::Both,
            _ => return Err(Errno::Inval),
        };
        if socket.granted.is_some() {
            // It is the host's, and a later instance is given it again.
            return Err(Errno::Notconn);
        }
        Ok(os::shutdown(socket.host()?, how)?)
    }

    /// `sock_getlocaladdr`, of either form.
    pub(crate) fn sock_getlocaladdr(
        &self,
        a: &[u64],
        plain: bool,
        memory: &mut Memory<'_>,
    ) -> Result<()> {
        let socket = self.socket(arg(a, 0), 0)?;
        let address = os::getsockname(socket.host()?)?;
        let address = SocketAddr::try_from(address).map_err(|_| Errno::Afnosupport)?;
        write_address(a, plain, memory, address)
    }

    /// `sock_getpeeraddr`, of either form.
    pub(crate) fn sock_getpeeraddr(
        &self,
        a: &[u64],
        plain: bool,
        memory: &mut Memory<'_>,
    ) -> Result<()> {
        let socket = self.socket(arg(a, 0), 0)?;
        let address = os::getpeername(socket.host()?)?.ok_or(Errno::Notconn)?;
        let address = SocketAddr::try_from(address).map_err(|_| Errno::Afnosupport)?;
        write_address(a, plain, memory, address)
    }
}

fn write_address(
    a: &[u64],
    plain: bool,
    memory: &mut Memory<'_>,
    address: SocketAddr,
) -> Result<()> {
    match plain {
        true => address::write_plain(memory, arg(a, 1), arg(a, 2), arg(a, 3), address),
        false => address::write_storage(memory, arg(a, 1), arg(a, 2), address),
    }
}
