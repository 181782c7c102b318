//! Requests, with a peer of the test's own at the other end.

mod exchange;
mod serve;
mod sleep;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::sockets::guest;
use super::*;

const TYPES: &str = "wasi:http/types";
const POLL: &str = "wasi:io/poll";

/// Error codes by their numbers in the interface.
const DNS_ERROR: u8 = 1;
const IP_PROHIBITED: u8 = 4;
const CONNECTION_REFUSED: u8 = 6;
const CONNECTION_TERMINATED: u8 = 7;
const CONNECTION_TIMEOUT: u8 = 8;
const READ_TIMEOUT: u8 = 9;
const CONNECTION_LIMIT: u8 = 11;
const REQUEST_DENIED: u8 = 15;
const RESPONSE_INCOMPLETE: u8 = 25;
const PROTOCOL_ERROR: u8 = 35;

/// The methods of requests by their numbers in the interface.
const GET: u64 = 0;
const POST: u64 = 2;
const PUT: u64 = 3;

/// A request under way: the future of its response, and a pollable of that.
#[derive(Clone, Copy)]
struct UnderWay {
    future: u64,
    pollable: u64,
}

/// A peer that listens.
struct Peer(TcpListener);

impl Peer {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a listener"))
    }

    fn authority(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    /// Takes the guest's connection.
    fn accept(&self) -> Connection {
        let (stream, _) = self.0.accept().expect("the guest");
        let timeout = Some(Duration::from_secs(60));
        stream.set_read_timeout(timeout).expect("a timeout");
        Connection(stream)
    }

    /// Whether the guest has made another connection.
    fn is_called(&self) -> bool {
        self.0.set_nonblocking(true).expect("a mode");
        let called = self.0.accept().is_ok();
        self.0.set_nonblocking(false).expect("a mode");
        called
    }
}

struct Connection(TcpStream);

impl Connection {
    /// Receives until what has come ends with these bytes.
    fn receive(&mut self, end: &[u8]) -> String {
        let mut all = Vec::new();
        let mut byte = [0];
        while !all.ends_with(end) {
            match self.0.read(&mut byte).expect("the guest sends") {
                0 => panic!("the guest has sent {:?}", String::from_utf8_lossy(&all)),
                _ => all.extend(byte),
            }
        }
        String::from_utf8(all).expect("a text")
    }

    /// Receives the head of a request.
    fn head(&mut self) -> String {
        self.receive(b"\r\n\r\n")
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("room");
    }

    /// Receives until the guest has ended the connection.
    fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A guest that has not read all of it resets the connection.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }
}

impl Guest {
    fn fields(&mut self, entries: &[(&str, &str)]) -> u64 {
        let fields = self.value(TYPES, "[constructor]fields", &[]);
        for (name, value) in entries {
            self.put(DATA, name.as_bytes());
            self.put(DATA + 256, value.as_bytes());
            let (name, value) = (name.len() as u64, value.len() as u64);
            let arguments = [
                fields,
                DATA.into(),
                name,
                u64::from(DATA) + 256,
                value,
                RESULT.into(),
            ];
            self.done(TYPES, "[method]fields.append", &arguments);
            assert_eq!(self.u8_at(RESULT), 0);
        }
        fields
    }

    /// A request to this authority.
    fn request(&mut self, method: u64, authority: &str, entries: &[(&str, &str)]) -> u64 {
        let fields = self.fields(entries);
        let request = self.value(TYPES, "[constructor]outgoing-request", &[fields]);
        self.put(DATA, authority.as_bytes());
        self.put(DATA + 256, b"/path");
        let (at, length) = (u64::from(DATA), authority.len() as u64);
        for (name, arguments) in [
            ("set-method", vec![request, method, 0, 0]),
            ("set-scheme", vec![request, 1, 0, 0, 0]),
            ("set-authority", vec![request, 1, at, length]),
            ("set-path-with-query", vec![request, 1, at + 256, 5]),
        ] {
            let name = format!("[method]outgoing-request.{name}");
            assert_eq!(self.value(TYPES, &name, &arguments), 0, "{name}");
        }
        request
    }

    /// The result of a call that gives a handle or an error without a value.
    fn handle(&mut self, name: &str, this: u64) -> u64 {
        self.done(TYPES, name, &[this, RESULT.into()]);
        assert_eq!(self.u8_at(RESULT), 0, "{name}");
        self.u32_at(RESULT + 4).into()
    }

    /// The body of a request that is not under way yet, and its stream.
    fn body(&mut self, request: u64) -> (u64, u64) {
        let body = self.handle("[method]outgoing-request.body", request);
        (body, self.handle("[method]outgoing-body.write", body))
    }

    fn finish(&mut self, body: u64, stream: u64) {
        self.drop("wasi:io/streams", "output-stream", stream);
        let arguments = [body, 0, 0, RESULT.into()];
        self.done(TYPES, "[static]outgoing-body.finish", &arguments);
        assert_eq!(self.u8_at(RESULT), 0);
    }

    /// Hands a request over, with a timeout for each of the steps in nanoseconds.
    fn hand_over(&mut self, request: u64, timeout: Option<u64>) -> UnderWay {
        let options = self.value(TYPES, "[constructor]request-options", &[]);
        for step in ["connect", "first-byte", "between-bytes"] {
            let name = format!("[method]request-options.set-{step}-timeout");
            let arguments = [options, timeout.is_some().into(), timeout.unwrap_or(0)];
            assert_eq!(self.value(TYPES, &name, &arguments), 0);
        }
        let arguments = [request, 1, options, RESULT.into()];
        self.done("wasi:http/outgoing-handler", "handle", &arguments);
        assert_eq!(self.u8_at(RESULT), 0);
        let future = self.u32_at(RESULT + 8).into();
        let name = "[method]future-incoming-response.subscribe";
        let pollable = self.value(TYPES, name, &[future]);
        UnderWay { future, pollable }
    }

    /// A request without fields and body, handed over.
    fn get(&mut self, authority: &str) -> UnderWay {
        let request = self.request(GET, authority, &[]);
        self.hand_over(request, None)
    }

    /// Lets what is under way go on.
    fn go_on(&mut self, under_way: UnderWay) -> bool {
        let arguments = [under_way.pollable];
        self.value(POLL, "[method]pollable.ready", &arguments) == 1
    }

    /// The wait for a response.
    fn wait_for_response(&mut self, under_way: UnderWay) -> Wait {
        let name = "[method]pollable.block";
        self.wait(POLL, name, &[under_way.pollable])
    }

    /// The response, waited for; or the number of an error.
    fn response(&mut self, under_way: UnderWay) -> Result<u64, u8> {
        self.block(under_way.pollable);
        let arguments = [under_way.future, RESULT.into()];
        self.done(TYPES, "[method]future-incoming-response.get", &arguments);
        let outer = [self.u8_at(RESULT), self.u8_at(RESULT + 8)];
        assert_eq!(outer, [1, 0], "it is there, and is taken once");
        match self.u8_at(RESULT + 16) {
            0 => Ok(self.u32_at(RESULT + 24).into()),
            _ => Err(self.u8_at(RESULT + 24)),
        }
    }

    fn status(&mut self, response: u64) -> u64 {
        self.value(TYPES, "[method]incoming-response.status", &[response])
    }

    /// The body of a response, and its stream.
    fn incoming(&mut self, response: u64) -> (u64, u64) {
        let body = self.handle("[method]incoming-response.consume", response);
        (body, self.handle("[method]incoming-body.stream", body))
    }

    /// All of a body, with the number of the error by which its stream ends.
    fn read_all(&mut self, stream: u64) -> (String, u8) {
        let mut all = Vec::new();
        loop {
            match self.receive_bytes("blocking-read", stream, 1 << 16) {
                Ok(bytes) => all.extend(bytes),
                Err(error) => return (String::from_utf8(all).expect("a text"), error),
            }
        }
    }

    /// The number of the error code of the error that the last read gave.
    fn last_error(&mut self) -> Option<u8> {
        let error = self.u32_at(RESULT + 8).into();
        self.done(TYPES, "http-error-code", &[error, RESULT.into()]);
        (self.u8_at(RESULT) == 1).then(|| self.u8_at(RESULT + 8))
    }
}

/// The end of a stream.
const CLOSED: u8 = 1;
/// A stream has failed.
const FAILED: u8 = 0;

/// Lets the guest make a GET request, as far as the peer has read its head.
fn asked(peer: &Peer, guest: &mut Guest) -> (UnderWay, Connection) {
    let under_way = guest.get(&peer.authority());
    guest.go_on(under_way);
    let mut connection = peer.accept();
    guest.go_on(under_way);
    connection.head();
    (under_way, connection)
}

/// A request whose body the guest is about to write.
struct Sending {
    body: u64,
    /// The body's stream.
    stream: u64,
    under_way: UnderWay,
    connection: Connection,
}

impl Sending {
    fn new(peer: &Peer, guest: &mut Guest, method: u64) -> Self {
        let request = guest.request(method, &peer.authority(), &[]);
        let (body, stream) = guest.body(request);
        let under_way = guest.hand_over(request, None);
        guest.go_on(under_way);
        Self {
            body,
            stream,
            under_way,
            connection: peer.accept(),
        }
    }
}
