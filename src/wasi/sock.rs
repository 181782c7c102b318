//! Sockets of preview1: listeners that the host gives, and the connections that arrive at them.
//!
//! The host's sockets are non-blocking, so that only the guest waits. A listener is found again at a
//! resume by its address, which must be given again. A connection cannot be written down: a guest that
//! was suspended reads "connection reset", never another's data.

use std::io::{IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::abi::{Memory, Result, arg};
use super::ctx::Ctx;
use super::errno::Errno;
use super::fd::{self, Descriptor, Kind};
use super::{Error, rights};
use crate::model::{FdInterest, Interest, Wait};

/// `riflags` and `sdflags` of the specification.
const PEEK: u32 = 1 << 0;
const WAITALL: u32 = 1 << 1;
const RECEIVE: u32 = 1 << 0;
const SEND: u32 = 1 << 1;

/// A listening socket of the host's that a guest may accept connections from.
#[derive(Debug)]
pub struct Listener {
    /// By this it is given again at a resume: the address as the user wrote it.
    pub address: String,
    /// The socket.
    pub socket: TcpListener,
}

/// A listener that the guest has.
pub(super) struct ListenerFd {
    pub(super) socket: Arc<TcpListener>,
    pub(super) address: String,
}

/// A connection.
pub(super) struct ConnectionFd {
    /// `None` where it was lost in a suspend.
    stream: Option<TcpStream>,
}

impl ListenerFd {
    pub(super) fn new(listener: Listener) -> std::result::Result<Self, Error> {
        let failed = |source| Error::Io {
            what: "make a listening socket non-blocking",
            source,
        };
        listener.socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            socket: Arc::new(listener.socket),
            address: listener.address,
        })
    }

    pub(super) fn again(&self) -> Self {
        Self {
            socket: self.socket.clone(),
            address: self.address.clone(),
        }
    }

    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor {
            kind: Kind::Listener(self.again()),
            rights: rights::LISTENER,
            inheriting: rights::CONNECTION,
            flags: 0,
        }
    }
}

impl ConnectionFd {
    /// One that was lost in a suspend.
    pub(super) fn reset() -> Self {
        Self { stream: None }
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    fn stream(&self) -> Result<&TcpStream> {
        self.stream.as_ref().ok_or(Errno::Connreset)
    }

    /// Reads what has arrived; zero bytes are the end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.stream()?.read(buffer)?)
    }

    pub(super) fn write(&self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        Ok(self.stream()?.write_vectored(buffers)?)
    }
}

impl Ctx {
    /// Waits for a socket, unless the guest wants to be told instead.
    pub(super) fn wait_for(&self, number: u32, interest: Interest) -> Result<Wait> {
        match self.table.get(number)?.flags & fd::NONBLOCK {
            0 => Ok(Wait::Poll {
                deadline: None,
                fds: vec![FdInterest {
                    fd: number,
                    interest,
                }],
            }),
            _ => Err(Errno::Again),
        }
    }

    /// `sock_accept`; gives the wait where nobody has come yet.
    pub(super) fn sock_accept(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
    ) -> Result<Option<Wait>> {
        let (number, flags) = (arg(a, 0), arg(a, 1));
        memory.check_result(arg(a, 2))?;
        let descriptor = self.table.get(number)?;
        let Kind::Listener(listener) = &descriptor.kind else {
            return Err(Errno::Notsock);
        };
        self.table.with(number, rights::SOCK_ACCEPT)?;
        let flags = u16::try_from(flags).map_err(|_| Errno::Inval)?;
        if flags & !fd::NONBLOCK != 0 {
            return Err(Errno::Inval);
        }
        self.table.check_room()?;
        let inheriting = descriptor.inheriting;
        let stream = match listener.socket.accept().map_err(Errno::from) {
            Ok((stream, _)) => stream,
            // Whoever came has gone again.
            Err(Errno::Again | Errno::Connaborted | Errno::Intr) => {
                return self.wait_for(number, Interest::Read).map(Some);
            }
            Err(errno) => return Err(errno),
        };
        stream.set_nonblocking(true)?;
        let connection = self.table.insert(Descriptor {
            kind: Kind::Connection(ConnectionFd {
                stream: Some(stream),
            }),
            rights: rights::CONNECTION & inheriting,
            inheriting: 0,
            flags,
        })?;
        memory.write_u32(arg(a, 2), connection)?;
        Ok(None)
    }

    /// `sock_recv`; gives the wait where nothing has arrived yet.
    pub(super) fn sock_recv(&mut self, a: &[u64], memory: &mut Memory<'_>) -> Result<Option<Wait>> {
        let (number, flags) = (arg(a, 0), arg(a, 3));
        let connection = self.connection(number, rights::FD_READ)?;
        if flags & !(PEEK | WAITALL) != 0 {
            return Err(Errno::Inval);
        }
        if flags & WAITALL != 0 {
            return Err(Errno::Notsup);
        }
        memory.check_result(arg(a, 4))?;
        memory.bytes(arg(a, 5), 2)?;
        let buffers = memory.buffers(arg(a, 1), arg(a, 2))?;
        // A second buffer might have to wait, so that such a call fills only one.
        let buffer = buffers.iter().find(|(_, length)| *length > 0);
        let count = match buffer {
            None => Ok(0),
            Some((address, length)) => {
                let bytes = memory.bytes_mut(*address, *length)?;
                match flags & PEEK {
                    0 => connection.read(bytes),
                    _ => connection.stream()?.peek(bytes).map_err(Errno::from),
                }
            }
        };
        match count {
            Err(Errno::Again) => self.wait_for(number, Interest::Read).map(Some),
            count => {
                // A buffer in a guest's memory is smaller than 4 GiB.
                memory.write_u32(arg(a, 4), count? as u32)?;
                memory.write(arg(a, 5), &[0, 0])?;
                Ok(None)
            }
        }
    }

    /// `sock_send`; gives the wait where there is no room yet. Sends what there is room for.
    pub(super) fn sock_send(&mut self, a: &[u64], memory: &mut Memory<'_>) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        let connection = self.connection(number, rights::FD_WRITE)?;
        if arg(a, 3) != 0 {
            return Err(Errno::Inval);
        }
        memory.check_result(arg(a, 4))?;
        let count = {
            let buffers = memory.slices(arg(a, 1), arg(a, 2))?;
            connection.write(&buffers)
        };
        match count {
            Err(Errno::Again) => self.wait_for(number, Interest::Write).map(Some),
            count => {
                // The sum of the buffers was checked to fit.
                memory.write_u32(arg(a, 4), count? as u32)?;
                Ok(None)
            }
        }
    }

    pub(super) fn sock_shutdown(&self, a: &[u64]) -> Result<()> {
        let connection = self.connection(arg(a, 0), rights::SOCK_SHUTDOWN)?;
        let how = match arg(a, 1) {
            RECEIVE => Shutdown::Read,
            SEND => Shutdown::Write,
            both if both == RECEIVE | SEND => Shutdown::Both,
            _ => return Err(Errno::Inval),
        };
        Ok(connection.stream()?.shutdown(how)?)
    }

    fn connection(&self, number: u32, right: u64) -> Result<&ConnectionFd> {
        match &self.table.get(number)?.kind {
            Kind::Connection(connection) => self.table.with(number, right).map(|_| connection),
            Kind::Listener(_) => Err(Errno::Notconn),
            Kind::Dir(_) | Kind::File(_) | Kind::Stream(_) => Err(Errno::Notsock),
        }
    }
}
