//! What becomes of exchanges while their guest sleeps.

use super::*;

/// What the guest has sent and received so far is in the snapshot, and somebody keeps the
/// connection.
#[test]
fn an_exchange_goes_on_over_a_connection_that_was_kept() {
    let peer = Peer::new();
    let mut guest = guest();
    let under_way = guest.get(&peer.authority());
    let wait = guest.wait_for_response(under_way);
    // It may be connecting still.
    guest.sleep_with_sockets(&wait);
    let mut connection = peer.accept();
    let wait = guest.wait_for_response(under_way);
    guest.sleep_with_sockets(&wait);
    assert!(connection.head().starts_with("GET /path"));
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n8;x=y\r\n, world!\r\n0\r\nx-sum: 7\r\n\r\n";
    let (head, body) = answer.split_at(answer.find("5\r\nhello").expect("a body"));
    for byte in head.split_inclusive(|_| true) {
        let wait = guest.wait_for_response(under_way);
        guest.sleep_with_sockets(&wait);
        connection.send(byte);
    }
    let response = guest.response(under_way).expect("a response");
    let (in_body, stream) = guest.incoming(response);
    let arguments = [stream, 99, RESULT.into()];
    let name = "[method]input-stream.blocking-read";
    let mut read = Vec::new();
    for byte in body.split_inclusive(|_| true) {
        match guest.call("wasi:io/streams", name, &arguments) {
            Outcome::Block(wait) => guest.sleep_with_sockets(&wait),
            outcome => {
                assert_eq!(outcome, Outcome::Done(None));
                read.extend(guest.list_at(RESULT + 4));
            }
        }
        connection.send(byte);
    }
    let (rest, end) = guest.read_all(stream);
    read.extend(rest.bytes());
    assert_eq!((read.as_slice(), end), (&b"hello, world!"[..], CLOSED));
    guest.sleep_with_grants();
    guest.drop("wasi:io/streams", "input-stream", stream);
    let trailers = guest.value(TYPES, "[static]incoming-body.finish", &[in_body]);
    let arguments = [trailers, RESULT.into()];
    guest.done(TYPES, "[method]future-trailers.get", &arguments);
    let found = [0, 8, 16, 24].map(|place| guest.u8_at(RESULT + place));
    assert_eq!(found, [1, 0, 0, 1], "there are trailers");
    assert!(!peer.is_called(), "the request was made once");
}

/// Nothing of the response was read, and the request may be made twice.
#[test]
fn a_request_is_made_again_after_its_connection_was_lost() {
    let peer = Peer::new();
    let mut guest = guest();
    let Sending {
        body,
        stream,
        under_way,
        connection: mut first,
    } = Sending::new(&peer, &mut guest, PUT);
    assert_eq!(guest.send_bytes("write", stream, b"one"), Ok(()));
    first.head();
    first.receive(b"one\r\n");
    // In the middle of the body.
    guest.sleep_with_grants();
    guest.go_on(under_way);
    let mut second = peer.accept();
    guest.go_on(under_way);
    let head = second.head();
    assert_eq!(second.receive(b"one\r\n"), "3\r\none\r\n");
    assert_eq!(guest.send_bytes("write", stream, b"two"), Ok(()));
    guest.finish(body, stream);
    assert_eq!(second.receive(b"0\r\n\r\n"), "3\r\ntwo\r\n0\r\n\r\n");
    // Behind it.
    guest.sleep_with_grants();
    guest.go_on(under_way);
    let mut third = peer.accept();
    guest.go_on(under_way);
    assert_eq!(third.head(), head);
    assert_eq!(
        third.receive(b"0\r\n\r\n"),
        "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    );
    third.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert!(guest.response(under_way).is_ok());
    assert_eq!((first.rest(), second.rest()), (Vec::new(), Vec::new()));
}

#[test]
fn a_request_that_may_not_be_made_twice_is_not() {
    let peer = Peer::new();
    let mut guest = guest();
    let request = guest.request(POST, &peer.authority(), &[]);
    let under_way = guest.hand_over(request, None);
    guest.go_on(under_way);
    let mut connection = peer.accept();
    guest.go_on(under_way);
    connection.head();
    guest.sleep_with_grants();
    assert_eq!(guest.response(under_way), Err(CONNECTION_TERMINATED));
    assert!(!peer.is_called());
}

/// A request of which nothing was sent is as good as one that was not made.
#[test]
fn a_request_that_was_not_sent_is_made() {
    // A listener whose queue is full answers nobody.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = listener.expect("a socket");
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).expect("an address");
    listener.listen(0).expect("a listener");
    let peer = Peer(listener.into());
    let address = peer.0.local_addr().expect("an address");
    let waiting = TcpStream::connect(address).expect("room for one");
    let mut guest = guest();
    let request = guest.request(POST, &peer.authority(), &[]);
    let under_way = guest.hand_over(request, None);
    assert!(!guest.go_on(under_way));
    guest.sleep_with_grants();
    assert!(!guest.go_on(under_way));
    drop((peer.accept(), waiting));
    let wait = guest.wait_for_response(under_way);
    while !guest.ctx.is_ready(&wait) {
        guest.ctx.wait_briefly(&wait);
    }
    guest.go_on(under_way);
    let mut connection = peer.accept();
    let head = connection.head();
    assert!(head.starts_with("POST"), "{head}");
    connection.send("HTTP/1.1 200 OK\r\n\r\n");
    assert!(guest.response(under_way).is_ok());
}

#[test]
fn what_was_read_of_a_response_cannot_be_read_again() {
    let peer = Peer::new();
    let mut guest = guest();
    // In the middle of the head.
    let (under_way, mut connection) = asked(&peer, &mut guest);
    connection.send("HTTP/1.1 200");
    loop {
        assert!(!guest.go_on(under_way));
        let component = guest.state().expect("a state").component;
        let bytes = rmp_serde::to_vec_named(&component).expect("plain data");
        if bytes.windows(12).any(|part| part == b"HTTP/1.1 200") {
            break;
        }
    }
    guest.sleep_with_grants();
    assert_eq!(guest.response(under_way), Err(CONNECTION_TERMINATED));

    // In the middle of the body. What had come is there.
    let (under_way, mut connection) = asked(&peer, &mut guest);
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome");
    let response = guest.response(under_way).expect("a response");
    let (body, stream) = guest.incoming(response);
    let read = guest.receive_bytes("blocking-read", stream, 2);
    assert_eq!(read, Ok(b"so".to_vec()));
    guest.sleep_with_grants();
    assert_eq!(guest.read_all(stream), ("me".into(), FAILED));
    assert_eq!(guest.last_error(), Some(RESPONSE_INCOMPLETE));
    let read = guest.receive_bytes("blocking-read", stream, 2);
    assert_eq!(read, Err(CLOSED));
    guest.drop("wasi:io/streams", "input-stream", stream);
    let trailers = guest.value(TYPES, "[static]incoming-body.finish", &[body]);
    let arguments = [trailers, RESULT.into()];
    guest.done(TYPES, "[method]future-trailers.get", &arguments);
    let found = [0, 8, 16, 24].map(|place| guest.u8_at(RESULT + place));
    assert_eq!(
        found,
        [1, 0, 0, 0],
        "the failure was told, and there are no trailers"
    );
    assert!(!peer.is_called());
}

/// A body that had come whole needs its connection no more.
#[test]
fn a_response_that_has_come_is_read_without_its_connection() {
    let peer = Peer::new();
    let mut guest = guest();
    let (under_way, mut connection) = asked(&peer, &mut guest);
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsome");
    let response = guest.response(under_way).expect("a response");
    guest.sleep_with_grants();
    assert_eq!(guest.status(response), 200);
    let (_, stream) = guest.incoming(response);
    let (read, end) = guest.read_all(stream);
    // All of it has come with the head, unless the system has cut it.
    assert!("some".starts_with(&read), "{read}");
    assert!(read.len() < 4 || end == CLOSED);
}

#[test]
fn a_deadline_counts_the_time_asleep() {
    let peer = Peer::new();
    let mut guest = guest();
    let request = guest.request(GET, &peer.authority(), &[]);
    let under_way = guest.hand_over(request, Some(5_000_000_000));
    guest.go_on(under_way);
    let _connection = peer.accept();
    let wait = guest.wait_for_response(under_way);
    guest.clock.advance(Duration::from_secs(2));
    guest.sleep_with_sockets(&wait);
    let left = guest.ctx.remaining(&wait).expect("a deadline");
    assert!(left <= Duration::from_secs(3), "{left:?}");
    guest.clock.advance(left);
    assert!(guest.ctx.is_ready(&wait));
    let ended = guest.response(under_way);
    assert!(
        matches!(ended, Err(READ_TIMEOUT | CONNECTION_TIMEOUT)),
        "{ended:?}"
    );
}

/// A snapshot has nothing of exchanges that are over, but the number of the next.
#[test]
fn an_exchange_that_is_over_leaves_nothing_behind() {
    let peer = Peer::new();
    let mut guest = guest();
    let (under_way, mut connection) = asked(&peer, &mut guest);
    connection.send("HTTP/1.1 200 OK\r\n\r\n");
    let response = guest.response(under_way).expect("a response");
    guest.drop(POLL, "pollable", under_way.pollable);
    guest.drop(TYPES, "future-incoming-response", under_way.future);
    guest.drop(TYPES, "incoming-response", response);
    let state = guest.state().expect("a state");
    assert_eq!(state.fds.len(), 4, "the standard streams and a directory");
    let component = state.component.expect("a component's state");
    assert_eq!(component.http.numbers(), Vec::<u64>::new());
    let bytes = rmp_serde::to_vec_named(&component.http).expect("plain data");
    assert!(bytes.len() < 40, "{} bytes", bytes.len());
}
