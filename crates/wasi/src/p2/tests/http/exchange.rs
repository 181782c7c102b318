//! Exchanges without a suspend.

use super::*;
use crate::Grants;
use dormouse_model::Limits;

#[test]
fn a_request_gets_its_response() {
    let peer = Peer::new();
    let mut guest = guest();
    let authority = peer.authority();
    let request = guest.request(GET, &authority, &[("X-Own", "1")]);
    let under_way = guest.hand_over(request, None);
    assert!(!guest.go_on(under_way));
    let mut connection = peer.accept();
    assert!(!guest.go_on(under_way), "there is no response yet");
    let expected = format!("GET /path HTTP/1.1\r\nhost: {authority}\r\nx-own: 1\r\n\r\n");
    assert_eq!(connection.head(), expected);
    connection.send("HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-Back: 2\r\n\r\nhe");
    let response = guest.response(under_way).expect("a response");
    assert_eq!(guest.status(response), 201);
    let (body, stream) = guest.incoming(response);
    let read = guest.receive_bytes("blocking-read", stream, 99);
    assert_eq!(read, Ok(b"he".to_vec()));
    let read = guest.receive_bytes("read", stream, 99);
    assert_eq!(read, Ok(Vec::new()), "nothing has come yet");
    connection.send("llo");
    assert_eq!(guest.read_all(stream), ("llo".into(), CLOSED));
    // The connection is not used again.
    assert_eq!(connection.rest(), b"");
    let children = Outcome::Trap("resource has children".into());
    assert_eq!(guest.drop(TYPES, "incoming-body", body), children);
}

#[test]
fn a_body_is_sent_as_it_is_written() {
    let peer = Peer::new();
    let mut guest = guest();
    let request = guest.request(POST, &peer.authority(), &[]);
    let (body, stream) = guest.body(request);
    assert_eq!(guest.permit(stream), Ok(1 << 20));
    assert_eq!(guest.send_bytes("write", stream, b"early"), Ok(()));
    let under_way = guest.hand_over(request, None);
    guest.go_on(under_way);
    let mut connection = peer.accept();
    guest.go_on(under_way);
    assert!(
        connection
            .head()
            .ends_with("\r\ntransfer-encoding: chunked\r\n\r\n")
    );
    assert_eq!(
        connection.receive(b"\n5\r\nearly\r\n".split_at(1).1),
        "5\r\nearly\r\n"
    );
    let late = guest.send_bytes("blocking-write-and-flush", stream, b"late");
    assert_eq!(late, Ok(()));
    assert_eq!(connection.receive(b"late\r\n"), "4\r\nlate\r\n");
    guest.finish(body, stream);
    assert_eq!(connection.receive(b"\r\n\r\n"), "0\r\n\r\n");
    connection.send("HTTP/1.1 204 No Content\r\n\r\n");
    let response = guest.response(under_way).expect("a response");
    let (_, stream) = guest.incoming(response);
    assert_eq!(guest.read_all(stream), (String::new(), CLOSED));
}

/// The peer takes nothing until the guest waits for it.
#[test]
fn a_large_body_waits_for_room() {
    let peer = Peer::new();
    let mut guest = guest();
    let Sending {
        body,
        stream,
        under_way,
        mut connection,
    } = Sending::new(&peer, &mut guest, POST);
    let mut count = 0;
    while let Ok(permit @ 1..) = guest.permit(stream) {
        let length = permit.min(100_000) as usize;
        let bytes = vec![b'x'; length];
        assert_eq!(guest.send_bytes("write", stream, &bytes), Ok(()));
        count += length;
    }
    let subscribe = "[method]output-stream.subscribe";
    let room = guest.value("wasi:io/streams", subscribe, &[stream]);
    let wait = guest.wait(POLL, "[method]pollable.block", &[room]);
    assert!(!guest.ctx.is_ready(&wait));
    let reader = std::thread::spawn(move || {
        connection.head();
        let mut body = 0;
        loop {
            let size = connection.receive(b"\r\n");
            let size = usize::from_str_radix(size.trim(), 16).expect("a size");
            let mut chunk = vec![0; size + 2];
            connection.0.read_exact(&mut chunk).expect("a chunk");
            body += size;
            if size == 0 {
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                return body;
            }
        }
    });
    guest.block(room);
    assert!(guest.permit(stream) > Ok(0));
    guest.drop(POLL, "pollable", room);
    guest.finish(body, stream);
    assert!(guest.response(under_way).is_ok());
    assert_eq!(reader.join().expect("no panic"), count);
}

/// A guest that waits for something else lets its requests go on.
#[test]
fn a_request_goes_on_whatever_the_guest_waits_for() {
    let peer = Peer::new();
    let mut guest = guest();
    let under_way = guest.get(&peer.authority());
    let clock = "wasi:clocks/monotonic-clock";
    let timer = guest.value(clock, "subscribe-duration", &[1_000_000_000]);
    let wait = guest.wait(POLL, "[method]pollable.block", &[timer]);
    let mut connection = peer.accept();
    guest.ctx.wait_briefly(&wait);
    let block = "[method]pollable.block";
    let outcome = guest.again(POLL, block, &[timer], Some(&wait));
    assert!(matches!(outcome, Outcome::Block(_)), "{outcome:?}");
    connection.head();
    connection.send("HTTP/1.1 200 OK\r\n\r\n");
    assert!(guest.response(under_way).is_ok());
}

#[test]
fn what_fails_says_why() {
    let peer = Peer::new();
    let mut guest = guest();
    for (answer, code) in [
        ("", PROTOCOL_ERROR),
        ("HTTP/1.1 200 OK\r\n", PROTOCOL_ERROR),
        ("nonsense\r\n\r\n", PROTOCOL_ERROR),
    ] {
        let under_way = guest.get(&peer.authority());
        guest.go_on(under_way);
        let mut connection = peer.accept();
        guest.go_on(under_way);
        connection.head();
        connection.send(answer);
        drop(connection);
        assert_eq!(guest.response(under_way), Err(code), "{answer}");
    }
    let authority = peer.authority();
    drop(peer);
    let under_way = guest.get(&authority);
    assert_eq!(guest.response(under_way), Err(CONNECTION_REFUSED));
    let under_way = guest.get("user@127.0.0.1:1");
    assert_eq!(guest.response(under_way), Err(DNS_ERROR));
    let under_way = guest.get("192.0.2.1:80");
    assert_eq!(guest.response(under_way), Err(IP_PROHIBITED));
    let under_way = guest.get("not-granted.example.com");
    assert_eq!(guest.response(under_way), Err(REQUEST_DENIED));
}

#[test]
fn only_what_is_granted_is_connected_to() {
    let peer = Peer::new();
    let rule = peer.authority().parse().expect("a rule");
    let mut guest = Guest::with(|_, bindings| bindings.grants = Grants::new(vec![rule], vec![]));
    let under_way = guest.get(&Peer::new().authority());
    assert_eq!(guest.response(under_way), Err(IP_PROHIBITED));
    let under_way = guest.get(&peer.authority());
    guest.go_on(under_way);
    peer.accept();
}

#[test]
fn a_connection_counts_as_an_open_file() {
    let peer = Peer::new();
    let limits = Limits::default().with(["files=5".parse().expect("a limit")]);
    let mut guest = Guest::with(|_, bindings| {
        bindings.grants = super::super::sockets::grants();
        bindings.limits = limits;
    });
    let first = guest.get(&peer.authority());
    let second = guest.get(&peer.authority());
    assert_eq!(guest.response(second), Err(CONNECTION_LIMIT));
    guest.drop(POLL, "pollable", first.pollable);
    guest.drop(TYPES, "future-incoming-response", first.future);
    let third = guest.get(&peer.authority());
    assert!(!guest.go_on(third));
}

#[test]
fn a_peer_that_is_silent_is_given_up() {
    let peer = Peer::new();
    let mut guest = guest();
    let nanoseconds = 5_000_000_000;
    let request = guest.request(GET, &peer.authority(), &[]);
    let under_way = guest.hand_over(request, Some(nanoseconds));
    guest.go_on(under_way);
    let mut connection = peer.accept();
    let wait = guest.wait_for_response(under_way);
    let left = guest.ctx.remaining(&wait).expect("a deadline");
    assert_eq!(left, Duration::from_nanos(nanoseconds));
    // The peer may answer before.
    assert_eq!(guest.ctx.known_length(&wait), None);
    guest.clock.advance(Duration::from_secs(5));
    assert!(guest.ctx.is_ready(&wait));
    assert_eq!(guest.response(under_way), Err(READ_TIMEOUT));
    connection.head();
    assert_eq!(connection.rest(), b"");

    let request = guest.request(GET, &peer.authority(), &[]);
    let under_way = guest.hand_over(request, Some(nanoseconds));
    guest.go_on(under_way);
    let mut connection = peer.accept();
    guest.go_on(under_way);
    connection.head();
    connection.send("HTTP/1.1 200 OK\r\n\r\na");
    let response = guest.response(under_way).expect("a response");
    let (_, stream) = guest.incoming(response);
    guest.clock.advance(Duration::from_secs(4));
    let read = guest.receive_bytes("blocking-read", stream, 9);
    assert_eq!(read, Ok(b"a".to_vec()));
    let arguments = [stream, 9, RESULT.into()];
    let name = "[method]input-stream.blocking-read";
    let wait = guest.wait("wasi:io/streams", name, &arguments);
    let left = guest.ctx.remaining(&wait).expect("a deadline");
    assert!(left <= Duration::from_secs(5), "{left:?}");
    guest.clock.advance(left);
    let read = guest.receive_bytes("blocking-read", stream, 9);
    assert_eq!(read, Err(FAILED));
    assert_eq!(guest.last_error(), Some(READ_TIMEOUT));
    let read = guest.receive_bytes("blocking-read", stream, 9);
    assert_eq!(read, Err(CLOSED));
}

#[test]
fn a_response_that_nobody_wants_ends_its_connection() {
    let peer = Peer::new();
    let mut guest = guest();
    for step in [
        "future-incoming-response",
        "incoming-response",
        "incoming-body",
    ] {
        let under_way = guest.get(&peer.authority());
        guest.go_on(under_way);
        let mut connection = peer.accept();
        guest.go_on(under_way);
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\n\r\nsome");
        let mut dropped = under_way.future;
        if step != "future-incoming-response" {
            dropped = guest.response(under_way).expect("a response");
        }
        if step == "incoming-body" {
            let (body, stream) = guest.incoming(dropped);
            guest.drop("wasi:io/streams", "input-stream", stream);
            dropped = body;
        }
        guest.drop(POLL, "pollable", under_way.pollable);
        assert_eq!(
            guest.drop(TYPES, step, dropped),
            Outcome::Done(Some(u64::MAX))
        );
        assert_eq!(connection.rest(), b"", "{step}");
    }
}

/// A guest that drops its body has not sent a whole request.
#[test]
fn a_body_that_is_dropped_ends_the_connection() {
    let peer = Peer::new();
    let mut guest = guest();
    let Sending {
        body,
        stream,
        under_way,
        mut connection,
    } = Sending::new(&peer, &mut guest, POST);
    assert_eq!(guest.send_bytes("write", stream, b"part"), Ok(()));
    guest.go_on(under_way);
    connection.head();
    connection.receive(b"part\r\n");
    guest.drop("wasi:io/streams", "output-stream", stream);
    guest.drop(TYPES, "outgoing-body", body);
    assert_eq!(guest.response(under_way), Err(PROTOCOL_ERROR));
    assert_eq!(connection.rest(), b"");
}

/// Nothing can end this wait, and so it ends the guest.
#[test]
fn a_body_that_nobody_takes_does_not_wait_for_ever() {
    let mut guest = guest();
    let request = guest.request(POST, "127.0.0.1:1", &[]);
    let (_, stream) = guest.body(request);
    while let Ok(permit @ 1..) = guest.permit(stream) {
        let bytes = vec![0; permit.min(500_000) as usize];
        assert_eq!(guest.send_bytes("write", stream, &bytes), Ok(()));
    }
    let name = "[method]output-stream.blocking-flush";
    let message = guest.trap("wasi:io/streams", name, &[stream, RESULT.into()]);
    assert_eq!(message, "a wait that nothing can end");
}
