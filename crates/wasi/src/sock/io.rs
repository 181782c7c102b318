//! Sending and receiving.

use std::io::IoSlice;
use std::net::SocketAddr;

use rustix::net::{self as os, RecvFlags, SendAncillaryBuffer, SendFlags};

use super::grants::{Grants, Purpose};
use super::socket::Socket;
use crate::errno::{Errno, Result};
use crate::io::retry;

/// What has been received.
pub(crate) struct Received {
    /// How many bytes. None are the end of a connection.
    pub(crate) count: usize,
    /// It was a datagram that did not fit the buffer.
    pub(crate) truncated: bool,
    /// Who sent it, if it was a datagram.
    pub(crate) from: Option<SocketAddr>,
}

impl Socket {
    /// Receives once; `EAGAIN` if nothing has arrived. With `peek` the bytes stay to be received
    /// again.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], peek: bool) -> Result<Received> {
        let Some(fd) = self.fd() else {
            // Behind the reset is the end.
            return match self.lost() {
                Some(reset) => Err(reset),
                None => Ok(Received {
                    count: 0,
                    truncated: false,
                    from: None,
                }),
            };
        };
        if self.is_listening() {
            return Err(Errno::NOTCONN);
        }
        let mut flags = RecvFlags::empty();
        flags.set(RecvFlags::PEEK, peek);
        // On a stream this flag would throw bytes away.
        flags.set(RecvFlags::TRUNC, self.datagram);
        let (count, length, from) = retry(|| os::recvfrom(fd, &mut *buffer, flags))?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        if let Some(from) = from.filter(|_| self.datagram) {
            self.remember_sender(from);
        }
        Ok(Received {
            count,
            truncated: length > count,
            from,
        })
    }

    /// Sends once, and gives how many bytes; `EAGAIN` if there is no room. Only a datagram takes an
    /// address, since a connection has its peer.
    pub(crate) fn send(&self, buffers: &[IoSlice<'_>], to: Option<SocketAddr>) -> Result<usize> {
        let Some(fd) = self.fd() else {
            return Err(self.lost().unwrap_or(Errno::PIPE));
        };
        let flags = SendFlags::NOSIGNAL;
        let mut control = SendAncillaryBuffer::default();
        retry(|| match to {
            Some(to) if self.datagram => os::sendmsg_addr(fd, &to, buffers, &mut control, flags),
            _ => os::sendmsg(fd, buffers, &mut control, flags),
        })
    }

    /// The address to send a datagram to, if the guest may: one that has sent to it, or a granted
    /// one.
    pub(crate) fn destination(&self, to: SocketAddr, grants: &Grants) -> Result<SocketAddr> {
        match self.senders.contains(&to) {
            true => Ok(to),
            false => grants.check(Purpose::Connect, to),
        }
    }
}
