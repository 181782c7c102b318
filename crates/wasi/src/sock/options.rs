//! Options of sockets, by WasmEdge's numbers.
//!
//! What a guest sets is kept, so that a socket that is made anew has it too. The two timeouts are not
//! the host's affair: its sockets never wait.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt as os;
use socket2::SockRef;

use super::SocketFd;
use super::calls::{DATAGRAM, STREAM};
use crate::abi::{Memory, Result, arg};
use crate::ctx::Ctx;
use crate::errno::Errno;

const REUSEADDR: u8 = 0;
const TYPE: u8 = 1;
const ERROR: u8 = 2;
const DONTROUTE: u8 = 3;
const BROADCAST: u8 = 4;
const SNDBUF: u8 = 5;
const RCVBUF: u8 = 6;
const KEEPALIVE: u8 = 7;
const OOBINLINE: u8 = 8;
const LINGER: u8 = 9;
const RCVLOWAT: u8 = 10;
const RCVTIMEO: u8 = 11;
const SNDTIMEO: u8 = 12;
const ACCEPTCONN: u8 = 13;
const BINDTODEVICE: u8 = 14;

/// The longest name of an interface, with its zero byte (`IFNAMSIZ`).
const MAX_NAME: u32 = 16;

impl Ctx {
    /// `sock_getsockopt`.
    pub(crate) fn sock_getsockopt(&self, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
        let socket = self.socket(arg(a, 0), 0)?;
        let name = option(a)?;
        let (place, size) = (arg(a, 3), arg(a, 4));
        let room = memory.u32(size)?;
        memory.bytes(place, room)?;
        let value = socket.option(name)?;
        if value.len() > room as usize {
            return Err(Errno::Inval);
        }
        memory.write(place, &value)?;
        memory.write_u32(size, value.len() as u32)
    }

    /// `sock_setsockopt`.
    pub(crate) fn sock_setsockopt(&mut self, a: &[u64], memory: &Memory<'_>) -> Result<()> {
        let name = option(a)?;
        let length = arg(a, 4);
        let value = match length {
            0 if name == BINDTODEVICE => Vec::new(),
            _ => memory.bytes(arg(a, 3), length.min(64))?.to_vec(),
        };
        let socket = self.socket_mut(arg(a, 0))?;
        match name {
            RCVTIMEO => socket.receive_timeout = timeout(&value)?,
            SNDTIMEO => socket.send_timeout = timeout(&value)?,
            _ => {
                set(socket.host()?, name, &value)?;
                socket.options.insert(name, value);
            }
        }
        Ok(())
    }
}

/// The number of an option, all of which are of the one level that there is.
fn option(a: &[u64]) -> Result<u8> {
    match (arg(a, 1), u8::try_from(arg(a, 2))) {
        (0, Ok(name)) if name <= BINDTODEVICE => Ok(name),
        _ => Err(Errno::Inval),
    }
}

impl SocketFd {
    fn option(&self, name: u8) -> Result<Vec<u8>> {
        let number = |value: u32| Ok(value.to_le_bytes().to_vec());
        let flag = |value: rustix::io::Result<bool>| number(value?.into());
        match name {
            TYPE => return number(if self.datagram { DATAGRAM } else { STREAM }),
            RCVTIMEO => return Ok(timeval(self.receive_timeout)),
            SNDTIMEO => return Ok(timeval(self.send_timeout)),
            ERROR => return number(self.error()?.raw().into()),
            _ => {}
        }
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
            // What they are when nobody has set them, which no guest can.
            DONTROUTE => number(0),
            RCVLOWAT => number(1),
            BINDTODEVICE => {
                let name = SockRef::from(&fd).device()?;
                Ok(name.map_or_else(Vec::new, |mut name| {
                    name.push(0);
                    name
                }))
            }
            _ => Err(Errno::Noprotoopt),
        }
    }

    /// `SO_ERROR`, which is told once.
    fn error(&self) -> Result<Errno> {
        match self.fd() {
            None => Ok(self.lost(Errno::Success)),
            Some(fd) => Ok(os::socket_error(fd)?
                .err()
                .map_or(Errno::Success, Errno::from)),
        }
    }
}

fn set(fd: BorrowedFd<'_>, name: u8, value: &[u8]) -> Result<()> {
    let number = || -> Result<u32> {
        let bytes = value.get(..4).ok_or(Errno::Inval)?;
        bytes
            .try_into()
            .map(u32::from_le_bytes)
            .map_err(|_| Errno::Inval)
    };
    let flag = || number().map(|value| value != 0);
    match name {
        REUSEADDR => Ok(os::set_socket_reuseaddr(fd, flag()?)?),
        BROADCAST => Ok(os::set_socket_broadcast(fd, flag()?)?),
        SNDBUF => Ok(os::set_socket_send_buffer_size(fd, number()? as usize)?),
        RCVBUF => Ok(os::set_socket_recv_buffer_size(fd, number()? as usize)?),
        KEEPALIVE => Ok(os::set_socket_keepalive(fd, flag()?)?),
        OOBINLINE => Ok(os::set_socket_oobinline(fd, flag()?)?),
        LINGER => {
            let seconds = value.get(4..8).and_then(|bytes| bytes.try_into().ok());
            let seconds = seconds.map(u32::from_le_bytes).ok_or(Errno::Inval)?;
            let time = Duration::from_secs(seconds.into());
            Ok(os::set_socket_linger(fd, flag()?.then_some(time))?)
        }
        BINDTODEVICE => {
            let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
            if name.len() >= MAX_NAME as usize {
                return Err(Errno::Inval);
            }
            let name = (!name.is_empty()).then_some(name);
            Ok(SockRef::from(&fd).bind_device(name)?)
        }
        _ => Err(Errno::Noprotoopt),
    }
}

/// Sets what the guest had set, on a socket that is made anew. The values were taken before, so that
/// one that is refused here (an interface that this host has not) is left.
pub(super) fn set_again(socket: &OwnedFd, options: &BTreeMap<u8, Vec<u8>>) {
    for (name, value) in options {
        if let Err(errno) = set(socket.as_fd(), *name, value) {
            log::debug!("option {name} of a socket cannot be set again: {errno:?}");
        }
    }
}

fn size(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// C's `timeval` with 64-bit seconds and microseconds; zero is for ever.
fn timeout(value: &[u8]) -> Result<Option<Duration>> {
    let word = |at: usize| {
        let bytes = value
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(i64::from_le_bytes).ok_or(Errno::Inval)
    };
    let (seconds, micros) = (word(0)?, word(8)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::Dom);
    }
    // As on Linux: a time in the past does not wait at all.
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let time = Duration::from_secs(seconds) + Duration::from_micros(micros as u64);
    Ok((!time.is_zero()).then_some(time))
}

fn timeval(time: Option<Duration>) -> Vec<u8> {
    let time = time.unwrap_or_default();
    let mut value = time.as_secs().to_le_bytes().to_vec();
    value.extend(u64::from(time.subsec_micros()).to_le_bytes());
    value
}
