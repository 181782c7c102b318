//! Options of the host's sockets.
//!
//! An option and its value are numbered and encoded as in WasmEdge's socket extension, and a
//! snapshot keeps them in this form. Those that only WASI 0.2 has are numbered from 128 on. What a
//! guest sets is kept, so that a socket that is made anew gets it, too.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, sockopt as os};
use socket2::SockRef;

use super::socket::Socket;
use crate::errno::{Errno, Result, errno};

pub(crate) const REUSEADDR: u8 = 0;
pub(crate) const TYPE: u8 = 1;
pub(crate) const ERROR: u8 = 2;
const DONTROUTE: u8 = 3;
const BROADCAST: u8 = 4;
pub(crate) const SNDBUF: u8 = 5;
pub(crate) const RCVBUF: u8 = 6;
pub(crate) const KEEPALIVE: u8 = 7;
const OOBINLINE: u8 = 8;
const LINGER: u8 = 9;
const RCVLOWAT: u8 = 10;
pub(crate) const RCVTIMEO: u8 = 11;
pub(crate) const SNDTIMEO: u8 = 12;
const ACCEPTCONN: u8 = 13;
pub(crate) const BINDTODEVICE: u8 = 14;
/// How many routers a packet may pass.
pub(crate) const HOP_LIMIT: u8 = 128;
/// After how many seconds of silence a connection is probed.
pub(crate) const KEEP_IDLE: u8 = 129;
/// How many seconds lie between two probes.
pub(crate) const KEEP_INTERVAL: u8 = 130;
/// After how many probes without an answer a connection is lost.
pub(crate) const KEEP_COUNT: u8 = 131;
/// An IPv6 socket is not for IPv4 as well.
pub(crate) const ONLY_V6: u8 = 132;

/// The longest name of an interface in bytes, its zero byte counted in (`IFNAMSIZ`).
const MAX_INTERFACE_NAME_BYTES: usize = 16;

impl Socket {
    /// The value of an option, as the host's socket has it.
    pub(crate) fn option(&self, name: u8) -> Result<Vec<u8>> {
        let number = |value: u32| Ok(value.to_le_bytes().to_vec());
        let flag = |value: Result<bool>| number(value?.into());
        let fd = self.host()?;
        match name {
            REUSEADDR => flag(os::socket_reuseaddr(fd)),
            BROADCAST => flag(os::socket_broadcast(fd)),
            SNDBUF => number(size(os::socket_send_buffer_size(fd)?)),
            RCVBUF => number(size(os::socket_recv_buffer_size(fd)?)),
            KEEPALIVE => flag(os::socket_keepalive(fd)),
            OOBINLINE => flag(os::socket_oobinline(fd)),
            ACCEPTCONN => flag(os::socket_acceptconn(fd)),
            LINGER => {
                let linger = os::socket_linger(fd)?;
                let seconds = linger.map_or(0, |time| time.as_secs() as u32);
                let mut value = u32::from(linger.is_some()).to_le_bytes().to_vec();
                value.extend(seconds.to_le_bytes());
                Ok(value)
            }
            // The defaults, which no guest can change.
            DONTROUTE => number(0),
            RCVLOWAT => number(1),
            BINDTODEVICE => {
                let name = SockRef::from(&fd).device().map_err(errno)?;
                Ok(name.map_or_else(Vec::new, |mut name| {
                    name.push(0);
                    name
                }))
            }
            HOP_LIMIT if self.v6 => number(os::ipv6_unicast_hops(fd)?.into()),
            HOP_LIMIT => number(os::ip_ttl(fd)?),
            KEEP_IDLE => number(seconds(os::tcp_keepidle(fd)?)),
            KEEP_INTERVAL => number(seconds(os::tcp_keepintvl(fd)?)),
            KEEP_COUNT => number(os::tcp_keepcnt(fd)?),
            ONLY_V6 => flag(os::ipv6_v6only(fd)),
            _ => Err(Errno::NOPROTOOPT),
        }
    }

    /// Sets an option of the host's socket.
    pub(crate) fn set_option(&mut self, name: u8, value: Vec<u8>) -> Result<()> {
        set(self.host()?, name, &value)?;
        self.options.insert(name, value);
        Ok(())
    }

    /// `SO_ERROR`: the error of the socket, which reading it clears.
    pub(crate) fn take_error(&self) -> Result<Option<Errno>> {
        match self.fd() {
            None => Ok(self.lost()),
            Some(fd) => Ok(os::socket_error(fd)?.err()),
        }
    }
}

fn set(fd: BorrowedFd<'_>, name: u8, value: &[u8]) -> Result<()> {
    let number = || -> Result<u32> {
        let bytes = value.get(..4).ok_or(Errno::INVAL)?;
        bytes
            .try_into()
            .map(u32::from_le_bytes)
            .map_err(|_| Errno::INVAL)
    };
    let flag = || number().map(|value| value != 0);
    match name {
        REUSEADDR => os::set_socket_reuseaddr(fd, flag()?),
        BROADCAST => os::set_socket_broadcast(fd, flag()?),
        SNDBUF => os::set_socket_send_buffer_size(fd, number()? as usize),
        RCVBUF => os::set_socket_recv_buffer_size(fd, number()? as usize),
        KEEPALIVE => os::set_socket_keepalive(fd, flag()?),
        OOBINLINE => os::set_socket_oobinline(fd, flag()?),
        LINGER => {
            let seconds = value.get(4..8).and_then(|bytes| bytes.try_into().ok());
            let seconds = seconds.map(u32::from_le_bytes).ok_or(Errno::INVAL)?;
            let time = Duration::from_secs(seconds.into());
            os::set_socket_linger(fd, flag()?.then_some(time))
        }
        BINDTODEVICE => {
            let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
            if name.len() >= MAX_INTERFACE_NAME_BYTES {
                return Err(Errno::INVAL);
            }
            let name = (!name.is_empty()).then_some(name);
            SockRef::from(&fd).bind_device(name).map_err(errno)
        }
        HOP_LIMIT => {
            let hops = u8::try_from(number()?).map_err(|_| Errno::INVAL)?;
            match os::socket_domain(fd)? {
                AddressFamily::INET6 => os::set_ipv6_unicast_hops(fd, Some(hops)),
                _ => os::set_ip_ttl(fd, hops.into()),
            }
        }
        KEEP_IDLE => os::set_tcp_keepidle(fd, Duration::from_secs(number()?.into())),
        KEEP_INTERVAL => os::set_tcp_keepintvl(fd, Duration::from_secs(number()?.into())),
        KEEP_COUNT => os::set_tcp_keepcnt(fd, number()?),
        ONLY_V6 => os::set_ipv6_v6only(fd, flag()?),
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// Sets what the guest had set, on a socket that is made anew. An option that this host refuses,
/// such as an interface that it does not have, is left out.
pub(super) fn set_again(socket: &OwnedFd, options: &BTreeMap<u8, Vec<u8>>) {
    for (name, value) in options {
        if let Err(errno) = set(socket.as_fd(), *name, value) {
            log::debug!("option {name} of a socket cannot be set again: {errno:?}");
        }
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn size(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
