//! A connection that goes from one guest to the next.

use std::fmt;
use std::net::TcpStream;

use dormouse_model::MonotonicTime;

use super::connection::Connection;
use crate::sock::Socket;

/// A connection to a server of HTTP, on which one request after another comes: each can be answered
/// by a guest of its own.
pub struct HttpConnection {
    socket: Socket,
    /// What has been received of it, if something was answered on it.
    state: Option<Connection>,
    is_last: bool,
}

impl HttpConnection {
    /// A connection that has just been accepted.
    ///
    /// # Errors
    /// If the system does not let it be used without waiting.
    pub fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        let socket = Socket::accepted(stream);
        socket.send_at_once();
        Ok(Self {
            socket,
            state: None,
            is_last: false,
        })
    }

    /// A connection on which a request was answered.
    pub(crate) fn of(socket: Socket, state: Connection) -> Self {
        Self {
            socket,
            state: Some(state),
            is_last: false,
        }
    }

    /// Whether something of a next request has come, which would be lost if the connection was
    /// closed now.
    pub fn has_begun(&self) -> bool {
        self.state.as_ref().is_some_and(|state| !state.is_idle())
    }

    /// The answer to the next request ends the connection, and says so.
    #[must_use]
    pub fn with_last(self, is_last: bool) -> Self {
        Self { is_last, ..self }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> Socket {
        self.socket.clone()
    }

    /// The connection as the guest has it that gets this descriptor for it.
    pub(crate) fn given_as(self, fd: u32, now: MonotonicTime) -> Connection {
        let connection = match self.state {
            Some(state) => state.given_on(fd, now),
            None => Connection::new(fd, now),
        };
        connection.with_last(self.is_last)
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection").finish_non_exhaustive()
    }
}
