//! Sending and receiving.

use std::net::SocketAddr;

use rustix::io::Errno as Os;
use rustix::net::{self as os, RecvFlags, SendAncillaryBuffer, SendFlags};

use super::SocketFd;
use super::address;
use super::grants::Refusal;
use crate::abi::{MAX_BUFFERS, Memory, Result, arg};
use crate::ctx::Ctx;
use crate::errno::Errno;
use crate::model::{Interest, Wait};
use crate::rights;

/// `riflags` of the specification.
const PEEK: u32 = 1 << 0;
const WAITALL: u32 = 1 << 1;
/// `roflags` of the specification.
const TRUNCATED: u16 = 1 << 0;

/// Several buffers are filled by way of one of so many bytes; no datagram is larger.
const SCRATCH: usize = 64 << 10;
/// How many buffers one receive fills, and one datagram is taken from. None of them is empty, so
/// that a datagram which does not fit them is too large anyway.
const MOST_BUFFERS: usize = SCRATCH;

/// What has been received.
struct Received {
    count: u32,
    truncated: bool,
    from: Option<SocketAddr>,
}

/// A list of buffers in guest memory.
type Buffers = [(u32, u32)];

impl Ctx {
    /// `sock_recv`; gives the wait where nothing has arrived yet.
    pub(crate) fn sock_recv(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        self.socket(number, rights::FD_READ)?;
        memory.check_result(arg(a, 4))?;
        memory.bytes(arg(a, 5), 2)?;
        let buffers = buffers(memory, a)?;
        let received = match self.receive(number, &buffers, arg(a, 3), memory, woken)? {
            Ok(received) => received,
            Err(wait) => return Ok(Some(wait)),
        };
        memory.write_u32(arg(a, 4), received.count)?;
        memory.write(arg(a, 5), &flags(&received))?;
        Ok(None)
    }

    /// `sock_recv_from`, of either form: the second one has a place for the sender's port.
    pub(crate) fn sock_recv_from(
        &mut self,
        a: &[u64],
        with_port: bool,
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        self.socket(number, rights::FD_READ)?;
        let port = with_port.then(|| arg(a, 5));
        let (count, oflags) = match with_port {
            true => (arg(a, 6), arg(a, 7)),
            false => (arg(a, 5), arg(a, 6)),
        };
        memory.check_result(count)?;
        memory.bytes(oflags, 2)?;
        address::check_sender(memory, arg(a, 3), port)?;
        let buffers = buffers(memory, a)?;
        let received = match self.receive(number, &buffers, arg(a, 4), memory, woken)? {
            Ok(received) => received,
            Err(wait) => return Ok(Some(wait)),
        };
        if let Some(sender) = received.from {
            address::write_sender(memory, arg(a, 3), port, sender)?;
        }
        memory.write_u32(count, received.count)?;
        memory.write(oflags, &flags(&received))?;
        Ok(None)
    }

    /// `fd_read` of a socket.
    pub(crate) fn read_socket(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let buffers = buffers(memory, a)?;
        memory.check_result(arg(a, 3))?;
        match self.receive(arg(a, 0), &buffers, 0, memory, woken)? {
            Ok(received) => memory.write_u32(arg(a, 3), received.count).map(|()| None),
            Err(wait) => Ok(Some(wait)),
        }
    }

    /// Receives, or gives the wait. `WAITALL` receives in pieces: how much is there already is kept
    /// while the guest waits.
    fn receive(
        &mut self,
        number: u32,
        buffers: &Buffers,
        flags: u32,
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<std::result::Result<Received, Wait>> {
        if flags & !(PEEK | WAITALL) != 0 {
            return Err(Errno::Inval);
        }
        // It was checked to fit.
        let total: u32 = buffers.iter().map(|(_, length)| length).sum();
        let before = std::mem::take(&mut self.received);
        let socket = self.socket_mut(number)?;
        if let Some(errno) = socket.late.take() {
            return Err(errno);
        }
        let peek = flags & PEEK != 0;
        // To look at more than there is would be to look again and again.
        let all = flags & WAITALL != 0 && !peek && !socket.datagram;
        let mut done = match all && woken.is_some() {
            true => before.min(total),
            false => 0,
        };
        let got = |count, truncated, from| {
            Ok(Ok(Received {
                count,
                truncated,
                from,
            }))
        };
        if total == done && !socket.datagram {
            return got(done, false, None);
        }
        loop {
            match socket.receive(&rest(buffers, done), peek, memory) {
                Ok((count, truncated, from)) => {
                    done += count;
                    if let Some(from) = from.filter(|_| socket.datagram) {
                        socket.remember_sender(from);
                    }
                    if !all || count == 0 || done == total {
                        return got(done, truncated, from);
                    }
                }
                Err(Errno::Again) => break,
                Err(errno) if done > 0 => {
                    socket.late = Some(errno);
                    return got(done, false, None);
                }
                Err(errno) => return Err(errno),
            }
        }
        match self.wait_for(number, Interest::Read, woken, Errno::Again) {
            Ok(wait) => {
                self.received = done;
                Ok(Err(wait))
            }
            Err(_) if done > 0 => got(done, false, None),
            Err(errno) => Err(errno),
        }
    }

    /// `sock_send`; gives the wait where there is no room yet. Sends what there is room for.
    pub(crate) fn sock_send(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        if arg(a, 3) != 0 {
            return Err(Errno::Inval);
        }
        self.send(a, None, arg(a, 4), memory, woken)
    }

    /// `sock_send_to`.
    pub(crate) fn sock_send_to(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let socket = self.socket(arg(a, 0), rights::FD_WRITE)?;
        if arg(a, 5) != 0 {
            return Err(Errno::Inval);
        }
        let mut to = address::read(memory, arg(a, 3), arg(a, 4))?;
        if !socket.senders.contains(&to) {
            to = self.grants.check(Refusal::Connect, to)?;
        }
        self.send(a, Some(to), arg(a, 6), memory, woken)
    }

    /// `fd_write` to a socket.
    pub(crate) fn write_socket(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        self.send(a, None, arg(a, 3), memory, woken)
    }

    fn send(
        &mut self,
        a: &[u64],
        to: Option<SocketAddr>,
        result: u32,
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        let socket = self.socket(number, rights::FD_WRITE)?;
        memory.check_result(result)?;
        let count = match socket.datagram {
            true => socket.send_datagram(a, memory, to),
            false => socket.send(&memory.slices(arg(a, 1), arg(a, 2))?, to),
        };
        match count {
            Err(Errno::Again) => {
                let wait = self.wait_for(number, Interest::Write, woken, Errno::Again);
                wait.map(Some)
            }
            // The sum of the buffers was checked to fit.
            count => memory.write_u32(result, count? as u32).map(|()| None),
        }
    }
}

impl SocketFd {
    /// Receives once: how many bytes, whether a datagram was longer, and who sent it.
    fn receive(
        &self,
        buffers: &Buffers,
        peek: bool,
        memory: &mut Memory<'_>,
    ) -> Result<(u32, bool, Option<SocketAddr>)> {
        let Some(fd) = self.fd() else {
            // Behind the reset is the end.
            return match self.lost(Errno::Success) {
                Errno::Success => Ok((0, false, None)),
                reset => Err(reset),
            };
        };
        if self.is_listening() {
            return Err(Errno::Notconn);
        }
        let mut flags = RecvFlags::empty();
        flags.set(RecvFlags::PEEK, peek);
        // On a stream it would throw bytes away.
        flags.set(RecvFlags::TRUNC, self.datagram);
        let receive = |bytes: &mut [u8]| {
            loop {
                match os::recvfrom(fd, &mut *bytes, flags) {
                    Err(Os::INTR) => {}
                    Err(errno) => return Err(Errno::from(errno)),
                    Ok((count, length, from)) => {
                        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                        // It fits into guest memory.
                        return Ok((count as u32, length > count, from));
                    }
                }
            }
        };
        if let [(address, length)] = buffers {
            return receive(memory.bytes_mut(*address, *length)?);
        }
        let total: usize = buffers.iter().map(|(_, length)| *length as usize).sum();
        let mut scratch = vec![0; total.min(SCRATCH)];
        let (count, truncated, from) = receive(&mut scratch)?;
        let mut left = &scratch[..count as usize];
        for (address, length) in buffers {
            let (piece, behind) = left.split_at(left.len().min(*length as usize));
            memory.write(*address, piece)?;
            left = behind;
        }
        Ok((count, truncated, from))
    }

    /// A datagram goes out whole, whatever number of buffers it lies in.
    fn send_datagram(
        &self,
        a: &[u64],
        memory: &Memory<'_>,
        to: Option<SocketAddr>,
    ) -> Result<usize> {
        let (buffers, all) = memory.first_buffers(arg(a, 1), arg(a, 2), MOST_BUFFERS)?;
        let slices = memory.each(&buffers)?;
        if all && slices.len() <= MAX_BUFFERS {
            return self.send(&slices, to);
        }
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if !all || length > SCRATCH {
            return Err(Errno::Msgsize);
        }
        let whole: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        self.send(&[std::io::IoSlice::new(&whole)], to)
    }

    fn send(&self, buffers: &[std::io::IoSlice<'_>], to: Option<SocketAddr>) -> Result<usize> {
        let Some(fd) = self.fd() else {
            return Err(self.lost(Errno::Pipe));
        };
        let flags = SendFlags::NOSIGNAL;
        let mut nothing = SendAncillaryBuffer::default();
        loop {
            let sent = match to {
                Some(to) if self.datagram => {
                    os::sendmsg_addr(fd, &to, buffers, &mut nothing, flags)
                }
                // A stream has its peer.
                _ => os::sendmsg(fd, buffers, &mut nothing, flags),
            };
            match sent {
                Err(Os::INTR) => {}
                sent => return Ok(sent?),
            }
        }
    }
}

/// The buffers to receive into. With more than that a receive is a short one.
fn buffers(memory: &Memory<'_>, a: &[u64]) -> Result<Vec<(u32, u32)>> {
    let (buffers, _) = memory.first_buffers(arg(a, 1), arg(a, 2), MOST_BUFFERS)?;
    Ok(buffers)
}

/// What is left of buffers behind the bytes that are done.
fn rest(buffers: &Buffers, done: u32) -> Vec<(u32, u32)> {
    let mut skip = done;
    let rest = buffers.iter().filter_map(|(address, length)| {
        let skipped = skip.min(*length);
        skip -= skipped;
        // Inside the buffer, which lies in memory.
        (*length > skipped).then_some((address + skipped, length - skipped))
    });
    rest.collect()
}

fn flags(received: &Received) -> [u8; 2] {
    match received.truncated {
        true => TRUNCATED.to_le_bytes(),
        false => [0, 0],
    }
}
