//! Sockets, with the host's own at the other end.

mod tcp;
mod tcp_sleep;
mod udp;

use std::net::{TcpListener, TcpStream};

use super::*;
use crate::Grants;

const TCP: &str = "wasi:sockets/tcp";
const STREAMS: &str = "wasi:io/streams";
const POLL: &str = "wasi:io/poll";

/// Error codes by their numbers in the interface.
const ACCESS_DENIED: u8 = 1;
const INVALID_ARGUMENT: u8 = 3;
const CONCURRENCY_CONFLICT: u8 = 6;
const NOT_IN_PROGRESS: u8 = 7;
const WOULD_BLOCK: u8 = 8;
const INVALID_STATE: u8 = 9;
const NEW_SOCKET_LIMIT: u8 = 10;
const ADDRESS_IN_USE: u8 = 12;
const CONNECTION_REFUSED: u8 = 14;
const NAME_UNRESOLVABLE: u8 = 18;
const PERMANENT_RESOLVER_FAILURE: u8 = 20;

/// What a guest of these tests may reach.
pub(super) fn grants() -> Grants {
    let rules = || ["127.0.0.1:*", "[::1]:*"].map(|rule| rule.parse().expect("a rule"));
    Grants::new(rules().into(), rules().into())
}

pub(super) fn guest() -> Guest {
    Guest::with(|_, bindings| bindings.grants = grants())
}

/// The core values of `127.0.0.1` with a port, as an `ip-socket-address`.
fn local(port: u16) -> [u64; 12] {
    [0, port.into(), 127, 0, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// A connection from the guest to the host: the socket, its two streams, and the host's end.
fn connected(guest: &mut Guest) -> (u64, u64, u64, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let socket = guest.tcp();
    assert_eq!(guest.start("start-connect", socket, port), Ok(()));
    guest.wait_for(TCP, "[method]tcp-socket.subscribe", socket);
    let (input, output) = guest.finish_connect(socket).expect("a connection");
    let (peer, _) = listener.accept().expect("the guest");
    (socket, input, output, peer)
}

impl Guest {
    fn network(&mut self) -> u64 {
        self.value("wasi:sockets/instance-network", "instance-network", &[])
    }

    fn tcp(&mut self) -> u64 {
        self.done(
            "wasi:sockets/tcp-create-socket",
            "create-tcp-socket",
            &[0, RESULT.into()],
        );
        assert_eq!(self.failure(4), Ok(()));
        self.u32_at(RESULT + 4).into()
    }

    /// Whether a call whose result has a payload of this alignment has failed, and how.
    fn failure(&self, align: u32) -> Result<(), u8> {
        match self.u8_at(RESULT) {
            0 => Ok(()),
            _ => Err(self.u8_at(RESULT + align)),
        }
    }

    /// A method of a TCP socket's that gives nothing.
    fn socket(&mut self, name: &str, arguments: &[u64]) -> Result<(), u8> {
        let mut arguments = arguments.to_vec();
        arguments.push(RESULT.into());
        self.done(TCP, &format!("[method]tcp-socket.{name}"), &arguments);
        self.failure(1)
    }

    /// A method of a TCP socket's that starts something at `127.0.0.1`.
    fn start(&mut self, name: &str, socket: u64, port: u16) -> Result<(), u8> {
        let network = self.network();
        let mut arguments = vec![socket, network];
        arguments.extend(local(port));
        self.socket(name, &arguments)
    }

    /// The port of the address that a method gives.
    fn port(&mut self, interface: &str, method: &str, socket: u64) -> Result<u16, u8> {
        self.done(interface, method, &[socket, RESULT.into()]);
        self.failure(4)?;
        let port = self.bytes(RESULT + 8, 2).try_into().expect("two bytes");
        Ok(u16::from_le_bytes(port))
    }

    /// A socket that listens, and its port.
    fn listener(&mut self) -> (u64, u16) {
        let socket = self.tcp();
        assert_eq!(self.start("start-bind", socket, 0), Ok(()));
        assert_eq!(self.socket("finish-bind", &[socket]), Ok(()));
        assert_eq!(self.socket("start-listen", &[socket]), Ok(()));
        assert_eq!(self.socket("finish-listen", &[socket]), Ok(()));
        let port = self.port(TCP, "[method]tcp-socket.local-address", socket);
        (socket, port.expect("a port"))
    }

    /// The two streams of a connection.
    fn finish_connect(&mut self, socket: u64) -> Result<(u64, u64), u8> {
        let arguments = [socket, RESULT.into()];
        self.done(TCP, "[method]tcp-socket.finish-connect", &arguments);
        self.failure(4)?;
        Ok((
            self.u32_at(RESULT + 4).into(),
            self.u32_at(RESULT + 8).into(),
        ))
    }

    /// A socket that has been accepted, with its two streams.
    fn accept(&mut self, listener: u64) -> Result<(u64, u64, u64), u8> {
        self.done(TCP, "[method]tcp-socket.accept", &[listener, RESULT.into()]);
        self.failure(4)?;
        let handle = |index: u32| self.u32_at(RESULT + 4 + index * 4).into();
        Ok((handle(0), handle(1), handle(2)))
    }

    /// Waits for a pollable of this resource's until it is ready.
    fn wait_for(&mut self, interface: &str, subscribe: &str, resource: u64) {
        let pollable = self.value(interface, subscribe, &[resource]);
        self.block(pollable);
        let dropped = self.drop(POLL, "pollable", pollable);
        assert_eq!(dropped, Outcome::Done(Some(u64::MAX)));
    }

    /// Makes a call again until it is done.
    pub(super) fn until_done(&mut self, interface: &str, name: &str, arguments: &[u64]) {
        let mut outcome = self.call(interface, name, arguments);
        while let Outcome::Block(wait) = outcome {
            self.ctx.wait_briefly(&wait);
            outcome = self.again(interface, name, arguments, Some(&wait));
        }
        assert_eq!(outcome, Outcome::Done(None), "{interface}#{name}");
    }

    pub(super) fn block(&mut self, pollable: u64) {
        self.until_done(POLL, "[method]pollable.block", &[pollable]);
    }

    /// What a read from a stream gives: bytes, or the number of a stream's error.
    pub(super) fn receive_bytes(
        &mut self,
        name: &str,
        stream: u64,
        length: u64,
    ) -> Result<Vec<u8>, u8> {
        let arguments = [stream, length, RESULT.into()];
        self.until_done(STREAMS, &format!("[method]input-stream.{name}"), &arguments);
        self.failure(4)?;
        Ok(self.list_at(RESULT + 4))
    }

    /// What a stream may write now.
    pub(super) fn permit(&mut self, stream: u64) -> Result<u64, u8> {
        let arguments = [stream, RESULT.into()];
        self.done(STREAMS, "[method]output-stream.check-write", &arguments);
        self.failure(8)?;
        Ok(self.u64_at(RESULT + 8))
    }

    pub(super) fn send_bytes(&mut self, name: &str, stream: u64, bytes: &[u8]) -> Result<(), u8> {
        self.put(DATA, bytes);
        let arguments = [stream, DATA.into(), bytes.len() as u64, RESULT.into()];
        self.until_done(
            STREAMS,
            &format!("[method]output-stream.{name}"),
            &arguments,
        );
        self.failure(4)
    }

    /// Writes to a connection until it takes no more, because nobody reads. Gives what was written.
    fn fill(&mut self, socket: u64, output: u64) -> Vec<u8> {
        assert_eq!(self.socket("set-send-buffer-size", &[socket, 4096]), Ok(()));
        let mut written: Vec<u8> = Vec::new();
        while let Ok(permit @ 1..) = self.permit(output) {
            let bytes = vec![written.len() as u8; permit as usize];
            assert_eq!(self.send_bytes("write", output, &bytes), Ok(()));
            written.extend(bytes);
        }
        written
    }
}
