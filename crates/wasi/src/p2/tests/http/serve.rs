//! A guest that answers requests, as its entry and its handler make the calls.

use super::*;
use crate::{HeldSocket, Listener};

/// The limit of descriptors that leaves one for a connection: three streams, a directory and the
/// listener are there.
const ONE_CONNECTION: u64 = 6;

/// A guest that is a server.
struct Server {
    guest: Guest,
    listener: TcpListener,
}

/// The handles of a request and of where its response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    request: u64,
    param: u64,
}

impl Server {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Bindings)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let guest = Guest::with(|_, bindings| {
            bindings.http = Some(given(&listener));
            change(bindings);
        });
        Self { guest, listener }
    }

    fn connect(&self) -> Connection {
        let address = self.listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).expect("the guest");
        let timeout = Some(Duration::from_secs(60));
        stream.set_read_timeout(timeout).expect("a timeout");
        Connection(stream)
    }

    /// Asks for a request, once.
    fn look(&mut self) -> Outcome {
        self.guest
            .builtin(Builtin::NextRequest { instance: 0 }, &[])
    }

    /// Waits for a request.
    fn next(&mut self) -> Asked {
        loop {
            match self.look() {
                Outcome::Block(wait) => self.guest.ctx.wait_briefly(&wait),
                Outcome::Done(Some(handles)) => {
                    return Asked {
                        request: handles >> 32,
                        param: handles & u64::from(u32::MAX),
                    };
                }
                outcome => panic!("{outcome:?}"),
            }
        }
    }

    /// The wait for a request, when all that has come was looked at.
    fn wait(&mut self) -> Wait {
        loop {
            match self.look() {
                Outcome::Block(wait) if self.guest.ctx.is_ready(&wait) => {}
                Outcome::Block(wait) => return wait,
                outcome => panic!("{outcome:?}"),
            }
        }
    }

    /// Answers with this status, and a body if there is one.
    fn answer(&mut self, asked: Asked, status: u64, body: Option<&str>) {
        let guest = &mut self.guest;
        let fields = guest.fields(&[]);
        let response = guest.value(TYPES, "[constructor]outgoing-response", &[fields]);
        let name = "[method]outgoing-response.set-status-code";
        assert_eq!(guest.value(TYPES, name, &[response, status]), 0);
        let body = body.map(|text| {
            let body = guest.handle("[method]outgoing-response.body", response);
            let stream = guest.handle("[method]outgoing-body.write", body);
            (body, stream, text)
        });
        guest.set(asked.param, response);
        if let Some((body, stream, text)) = body {
            let name = "blocking-write-and-flush";
            assert_eq!(guest.send_bytes(name, stream, text.as_bytes()), Ok(()));
            guest.finish(body, stream);
        }
    }

    /// Sleeps, while somebody keeps these sockets.
    fn sleep(&mut self, wait: &Wait, keeps: bool) {
        let state = self.guest.state().expect("a state");
        let asleep = self.guest.ctx.asleep(wait);
        assert!(!asleep.watches.is_empty(), "the wait is for sockets alone");
        let held: Vec<HeldSocket> = match keeps {
            true => asleep.sockets,
            false => Vec::new(),
        };
        let bindings = Bindings {
            http: Some(given(&self.listener)),
            held,
            ..bindings(&self.guest.host, &self.guest.output)
        };
        let clock = self.guest.clock.clone();
        let nothing = Ctx::new(Config::default(), Bindings::default(), clock.clone());
        self.guest.ctx = nothing.expect("a context");
        let options = RestoreOptions::default();
        self.guest.ctx = Ctx::restore(state, bindings, options, clock).expect("the same state");
    }

    /// The number of connections.
    fn connections(&self) -> usize {
        self.guest.ctx.component.server.connections().len()
    }
}

impl Guest {
    fn set(&mut self, param: u64, response: u64) {
        let mut arguments = vec![param, 0, response];
        arguments.resize(self.import(TYPES, SET).params().len(), 0);
        self.done(TYPES, SET, &arguments);
    }

    /// The body of a request, and its stream.
    fn requested(&mut self, asked: Asked) -> (u64, u64) {
        let body = self.handle("[method]incoming-request.consume", asked.request);
        (body, self.handle("[method]incoming-body.stream", body))
    }
}

const SET: &str = "[static]response-outparam.set";

fn given(listener: &TcpListener) -> Listener {
    Listener {
        address: "127.0.0.1:0".into(),
        socket: listener.try_clone().expect("a listener"),
    }
}

const GET_REQUEST: &str = "GET /a HTTP/1.1\r\nHost: b\r\n\r\n";

#[test]
fn a_guest_without_an_address_is_told() {
    let mut guest = guest();
    let outcome = guest.builtin(Builtin::NextRequest { instance: 0 }, &[]);
    assert!(matches!(outcome, Outcome::Trap(text) if text.contains("no address to listen on")));
    let is_serving = guest.builtin(Builtin::IsServing, &[]);
    assert_eq!(is_serving, Outcome::Done(Some(0)));
    let is_serving = Server::new().guest.builtin(Builtin::IsServing, &[]);
    assert_eq!(is_serving, Outcome::Done(Some(1)));
}

/// Asleep with its connections at each byte of a request and of the next one.
#[test]
fn a_connection_that_was_kept_goes_on_at_each_byte() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let text = "POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\nfour";
    for round in 0..2 {
        let (head, body) = text.split_at(text.len() - 4);
        for byte in head.split_inclusive(|_| true) {
            let wait = server.wait();
            server.sleep(&wait, true);
            peer.send(byte);
        }
        let asked = server.next();
        let (_, stream) = server.guest.requested(asked);
        let mut read = Vec::new();
        for byte in body.split_inclusive(|_| true) {
            let arguments = [stream, 99, RESULT.into()];
            let name = "[method]input-stream.blocking-read";
            match server.guest.call("wasi:io/streams", name, &arguments) {
                Outcome::Block(wait) => server.sleep(&wait, true),
                outcome => {
                    assert_eq!(outcome, Outcome::Done(None));
                    read.extend(server.guest.list_at(RESULT + 4));
                }
            }
            peer.send(byte);
        }
        let (rest, end) = server.guest.read_all(stream);
        read.extend(rest.bytes());
        assert_eq!((read.as_slice(), end), (&b"four"[..], CLOSED), "{round}");
        server.answer(asked, 200, Some("the answer"));
        assert!(peer.head().starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(peer.receive(b"0\r\n\r\n"), "A\r\nthe answer\r\n0\r\n\r\n");
    }
    assert_eq!(server.connections(), 1);
}

/// What had come of a request can be read, and what is written goes nowhere.
#[test]
fn a_connection_that_was_lost_ends_with_its_request() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.send("POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 9\r\n\r\nsome");
    let asked = server.next();
    let (_, stream) = server.guest.requested(asked);
    let read = server.guest.receive_bytes("blocking-read", stream, 4);
    assert_eq!(read, Ok(b"some".to_vec()));
    let arguments = [stream, 99, RESULT.into()];
    let name = "[method]input-stream.blocking-read";
    let Outcome::Block(wait) = server.guest.call("wasi:io/streams", name, &arguments) else {
        panic!("there is more");
    };
    server.sleep(&wait, false);
    assert_eq!(server.guest.read_all(stream), (String::new(), FAILED));
    assert_eq!(server.guest.last_error(), Some(CONNECTION_TERMINATED));
    server.answer(asked, 200, None);
    server.wait();
    assert_eq!(server.connections(), 0);
    // The next one is answered.
    let mut next = server.connect();
    next.send(GET_REQUEST);
    let asked = server.next();
    server.answer(asked, 204, None);
    assert!(next.head().starts_with("HTTP/1.1 204 No Content\r\n"));
}

/// Requests wait for their turn, in the order in which they have come.
#[test]
fn requests_are_answered_in_their_order() {
    let mut server = Server::new();
    let mut peers = [server.connect(), server.connect(), server.connect()];
    server.wait();
    for peer in [2, 0, 1] {
        peers[peer].send(GET_REQUEST);
        // It has been received before the next one is sent.
        std::thread::sleep(Duration::from_millis(20));
        if peer != 2 {
            continue;
        }
        let asked = server.next();
        peers[0].send("");
        server.answer(asked, 200, None);
        peers[2].head();
    }
    for peer in [0, 1] {
        let asked = server.next();
        server.answer(asked, 200, None);
        assert!(peers[peer].head().starts_with("HTTP/1.1 200"), "{peer}");
    }
}

/// A guest that has not answered, or not to the end.
#[test]
fn a_request_that_was_not_answered_is() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.send(GET_REQUEST);
    let asked = server.next();
    server.wait();
    let head = peer.head();
    assert!(
        head.starts_with("HTTP/1.1 500 Internal Server Error\r\n"),
        "{head}"
    );
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert_eq!(peer.rest(), b"");
    // It comes too late.
    server.answer(asked, 200, None);
    assert_eq!(server.connections(), 0);
    // A body without its end.
    let mut peer = server.connect();
    peer.send(GET_REQUEST);
    let asked = server.next();
    let fields = server.guest.fields(&[]);
    let name = "[constructor]outgoing-response";
    let response = server.guest.value(TYPES, name, &[fields]);
    let body = server
        .guest
        .handle("[method]outgoing-response.body", response);
    let stream = server.guest.handle("[method]outgoing-body.write", body);
    server.guest.set(asked.param, response);
    assert_eq!(server.guest.send_bytes("write", stream, b"half"), Ok(()));
    server.wait();
    peer.head();
    assert_eq!(peer.rest(), b"4\r\nhalf\r\n");
    assert_eq!(
        server.guest.send_bytes("write", stream, b"more"),
        Err(CLOSED)
    );
}

/// A guest that ends in the middle of a request.
#[test]
fn a_peer_is_told_that_the_guest_has_ended() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.send("POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 9\r\n\r\nsome");
    server.next();
    server.guest.ctx.end();
    assert!(peer.head().starts_with("HTTP/1.1 500 "));
}

#[test]
fn connections_that_are_idle_or_slow_are_closed() {
    let mut server = Server::new();
    let mut idle = server.connect();
    idle.send(GET_REQUEST);
    let asked = server.next();
    server.answer(asked, 200, None);
    let mut slow = server.connect();
    slow.send("GET /");
    let wait = server.wait();
    assert_eq!(server.connections(), 2);
    let left = server.guest.ctx.remaining(&wait);
    assert_eq!(left, Some(Duration::from_secs(60)));
    // It is a timeout, and says nothing of how long the guest has nothing to do.
    assert_eq!(server.guest.ctx.known_length(&wait), None);
    server.sleep(&wait, true);
    server.guest.clock.advance(Duration::from_secs(60));
    let wait = server.wait();
    assert_eq!(server.connections(), 1);
    assert_eq!(slow.rest(), b"");
    let left = server.guest.ctx.remaining(&wait);
    assert_eq!(left, Some(Duration::from_secs(15)));
    server.guest.clock.advance(Duration::from_secs(15));
    let wait = server.wait();
    assert_eq!(server.connections(), 0);
    assert_eq!(server.guest.ctx.remaining(&wait), None);
    idle.head();
    assert_eq!(idle.rest(), b"");
}

/// With one descriptor for all connections, a new one takes the place of an idle one.
#[test]
fn an_idle_connection_makes_room_for_a_new_one() {
    let mut limits = dormouse_model::Limits::default();
    limits.set(dormouse_model::Limit::Files, Some(ONE_CONNECTION));
    let mut server = Server::with(|bindings| bindings.limits = limits);
    let mut first = server.connect();
    first.send(GET_REQUEST);
    let asked = server.next();
    server.answer(asked, 200, None);
    first.head();
    let mut second = server.connect();
    second.send(GET_REQUEST);
    let asked = server.next();
    server.answer(asked, 200, None);
    second.head();
    assert_eq!(first.rest(), b"");
    assert_eq!(server.connections(), 1);
}

/// A snapshot of a server that waits has its listener, and nothing else that a guest without one
/// has not.
#[test]
fn a_server_that_waits_is_small() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.send(GET_REQUEST);
    let asked = server.next();
    server.answer(asked, 200, Some("the answer"));
    peer.head();
    drop(peer);
    while server.connections() > 0 {
        server.wait();
    }
    server.guest.drop(TYPES, "incoming-request", asked.request);
    let state = server.guest.state().expect("a state");
    let component = state.component.expect("a component's state");
    let bytes = rmp_serde::to_vec_named(&component.server).expect("plain data");
    assert!(bytes.len() < 40, "{} bytes", bytes.len());
    assert_eq!(
        state.fds.len(),
        5,
        "three streams, a directory, the listener"
    );
}
