//! UDP, and looking names up.

use std::net::UdpSocket;
use std::time::Duration;

use super::*;

const UDP: &str = "wasi:sockets/udp";

impl Guest {
    fn udp(&mut self) -> u64 {
        let create = "wasi:sockets/udp-create-socket";
        self.done(create, "create-udp-socket", &[0, RESULT.into()]);
        assert_eq!(self.failure(4), Ok(()));
        self.u32_at(RESULT + 4).into()
    }

    /// A UDP socket that is bound, and its port.
    fn bound(&mut self) -> (u64, u16) {
        let socket = self.udp();
        let network = self.network();
        let mut arguments = vec![socket, network];
        arguments.extend(local(0));
        arguments.push(RESULT.into());
        self.done(UDP, "[method]udp-socket.start-bind", &arguments);
        assert_eq!(self.failure(1), Ok(()));
        self.done(
            UDP,
            "[method]udp-socket.finish-bind",
            &[socket, RESULT.into()],
        );
        assert_eq!(self.failure(1), Ok(()));
        let port = self.port(UDP, "[method]udp-socket.local-address", socket);
        (socket, port.expect("a port"))
    }

    /// The two streams of a socket with this peer, or with any.
    fn streams(&mut self, socket: u64, peer: Option<u16>) -> Result<(u64, u64), u8> {
        let mut arguments = vec![socket, peer.is_some().into()];
        arguments.extend(local(peer.unwrap_or(0)));
        arguments.push(RESULT.into());
        self.done(UDP, "[method]udp-socket.stream", &arguments);
        self.failure(4)?;
        Ok((
            self.u32_at(RESULT + 4).into(),
            self.u32_at(RESULT + 8).into(),
        ))
    }

    /// Lays datagrams out in memory, each with its peer if it has one.
    fn datagrams(&mut self, datagrams: &[(&[u8], Option<u16>)]) -> [u64; 2] {
        let mut text = DATA + 2048;
        for (index, (bytes, peer)) in (0..).zip(datagrams) {
            let at = DATA + index * 44;
            self.put(at, &[0; 44]);
            self.put(at, &text.to_le_bytes());
            self.put(at + 4, &(bytes.len() as u32).to_le_bytes());
            if let Some(port) = peer {
                self.put(at + 8, &[1]);
                self.put(at + 16, &port.to_le_bytes());
                self.put(at + 18, &[127, 0, 0, 1]);
            }
            self.put(text, bytes);
            text += bytes.len() as u32;
        }
        [DATA.into(), datagrams.len() as u64]
    }

    fn send(&mut self, stream: u64, datagrams: &[(&[u8], Option<u16>)]) -> Result<u64, u8> {
        let check = "[method]outgoing-datagram-stream.check-send";
        self.done(UDP, check, &[stream, RESULT.into()]);
        assert_eq!((self.failure(8), self.u64_at(RESULT + 8)), (Ok(()), 16));
        let [at, count] = self.datagrams(datagrams);
        let arguments = [stream, at, count, RESULT.into()];
        self.done(UDP, "[method]outgoing-datagram-stream.send", &arguments);
        self.failure(8)?;
        Ok(self.u64_at(RESULT + 8))
    }

    /// Datagrams that have arrived, with the ports that they came from.
    fn receive(&mut self, stream: u64, max: u64) -> Result<Vec<(Vec<u8>, u16)>, u8> {
        let arguments = [stream, max, RESULT.into()];
        self.done(UDP, "[method]incoming-datagram-stream.receive", &arguments);
        self.failure(4)?;
        let (at, count) = (self.u32_at(RESULT + 4), self.u32_at(RESULT + 8));
        let datagram = |index| {
            let at = at + index * 40;
            let port = self.bytes(at + 12, 2).try_into().expect("two bytes");
            (self.list_at(at), u16::from_le_bytes(port))
        };
        Ok((0..count).map(datagram).collect())
    }
}

fn peer() -> (UdpSocket, u16) {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    peer.set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    let port = peer.local_addr().expect("an address").port();
    (peer, port)
}

#[test]
fn datagrams_go_and_come() {
    let mut guest = guest();
    let (peer, port) = peer();
    let (socket, own) = guest.bound();
    let (incoming, outgoing) = guest.streams(socket, None).expect("streams");
    assert_eq!(
        guest.send(outgoing, &[(b"one", Some(port)), (b"two", Some(port))]),
        Ok(2)
    );
    let mut buffer = [0; 9];
    for text in [b"one", b"two"] {
        let (count, from) = peer.recv_from(&mut buffer).expect("a datagram");
        assert_eq!((&buffer[..count], from.port()), (&text[..], own));
    }
    assert_eq!(guest.receive(incoming, 9), Ok(Vec::new()));
    peer.send_to(b"three", ("127.0.0.1", own)).expect("room");
    let subscribe = "[method]incoming-datagram-stream.subscribe";
    guest.wait_for(UDP, subscribe, incoming);
    assert_eq!(guest.receive(incoming, 0), Ok(Vec::new()));
    assert_eq!(
        guest.receive(incoming, 9),
        Ok(vec![(b"three".to_vec(), port)])
    );
    // Without a peer a datagram needs an address.
    assert_eq!(guest.send(outgoing, &[(b"x", None)]), Err(INVALID_ARGUMENT));
    assert_eq!(
        guest.send(outgoing, &[(b"x", Some(0))]),
        Err(INVALID_ARGUMENT)
    );
    // A guest may answer whoever has sent to it, and nobody else without a grant.
    let arguments = [socket, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, RESULT.into()];
    let twice = guest.trap(UDP, "[method]udp-socket.stream", &arguments);
    assert_eq!(twice, "UDP streams not dropped yet");
    let send = [outgoing, DATA.into(), 1, RESULT.into()];
    let unpermitted = guest.trap(UDP, "[method]outgoing-datagram-stream.send", &send);
    assert_eq!(unpermitted, "unpermitted: argument exceeds permitted size");
}

#[test]
fn a_socket_with_a_peer_hears_no_other() {
    let mut guest = guest();
    let ((peer, port), (other, other_port)) = (peer(), peer());
    let (socket, own) = guest.bound();
    let remote = "[method]udp-socket.remote-address";
    assert_eq!(guest.port(UDP, remote, socket), Err(INVALID_STATE));
    // This one has come before.
    other.send_to(b"early", ("127.0.0.1", own)).expect("room");
    let (incoming, outgoing) = guest.streams(socket, Some(port)).expect("streams");
    assert_eq!(guest.port(UDP, remote, socket), Ok(port));
    peer.send_to(b"yes", ("127.0.0.1", own)).expect("room");
    let subscribe = "[method]incoming-datagram-stream.subscribe";
    guest.wait_for(UDP, subscribe, incoming);
    let mut found = Vec::new();
    while found.is_empty() {
        found = guest.receive(incoming, 9).expect("datagrams");
    }
    assert_eq!(found, [(b"yes".to_vec(), port)]);
    assert_eq!(
        guest.send(outgoing, &[(b"a", None), (b"b", Some(port))]),
        Ok(2)
    );
    assert_eq!(
        guest.send(outgoing, &[(b"c", Some(other_port))]),
        Err(INVALID_ARGUMENT)
    );
    // Then it has none again.
    let done = Outcome::Done(Some(u64::MAX));
    assert_eq!(guest.drop(UDP, "incoming-datagram-stream", incoming), done);
    assert_eq!(guest.drop(UDP, "outgoing-datagram-stream", outgoing), done);
    let (_, outgoing) = guest.streams(socket, None).expect("streams");
    assert_eq!(guest.port(UDP, remote, socket), Err(INVALID_STATE));
    assert_eq!(guest.send(outgoing, &[(b"d", Some(other_port))]), Ok(1));
    let mut buffer = [0; 9];
    assert_eq!(other.recv(&mut buffer).expect("a datagram"), 1);
    let unbound = guest.udp();
    assert_eq!(guest.streams(unbound, None), Err(INVALID_STATE));
    guest.sleep_with_grants();
    assert_eq!(guest.send(outgoing, &[(b"e", Some(other_port))]), Ok(1));
    assert_eq!(other.recv(&mut buffer).expect("a datagram"), 1);
}

#[test]
fn names_are_looked_up_where_that_is_granted() {
    let mut guest = guest();
    let network = guest.network();
    let mut lookup = |name: &str| {
        guest.put(DATA, name.as_bytes());
        let arguments = [network, DATA.into(), name.len() as u64, RESULT.into()];
        let interface = "wasi:sockets/ip-name-lookup";
        guest.done(interface, "resolve-addresses", &arguments);
        guest.failure(4)?;
        let stream = guest.u32_at(RESULT + 4).into();
        let mut found = Vec::new();
        loop {
            let next = "[method]resolve-address-stream.resolve-next-address";
            guest.done(interface, next, &[stream, RESULT.into()]);
            assert_eq!(guest.failure(2), Ok(()));
            if guest.u8_at(RESULT + 2) == 0 {
                return Ok(found);
            }
            found.push(guest.bytes(RESULT + 4, 6).to_vec());
        }
    };
    assert_eq!(lookup("10.1.2.3"), Ok(vec![vec![0, 0, 10, 1, 2, 3]]));
    assert_eq!(lookup("[::1]").map(|found| found[0][0]), Ok(1));
    assert_eq!(lookup("::1").map(|found| found[0][0]), Ok(1));
    assert!(lookup("localhost").is_ok_and(|found| !found.is_empty()));
    for name in ["", "a b", "a/b", "http://x"] {
        assert_eq!(lookup(name), Err(INVALID_ARGUMENT), "{name:?}");
    }
    assert_eq!(lookup("example.invalid"), Err(PERMANENT_RESOLVER_FAILURE));
    let any = Grants::new(vec!["*:1".parse().expect("a rule")], Vec::new());
    let mut guest = Guest::with(|_, bindings| bindings.grants = any);
    let network = guest.network();
    guest.put(DATA, b"example.invalid");
    let arguments = [network, DATA.into(), 15, RESULT.into()];
    guest.done(
        "wasi:sockets/ip-name-lookup",
        "resolve-addresses",
        &arguments,
    );
    assert_eq!(guest.failure(4), Err(NAME_UNRESOLVABLE));
}
