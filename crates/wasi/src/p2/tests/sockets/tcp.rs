//! TCP: the steps of each operation, both directions of a connection, options.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use dormouse_model::{Limit, Limits};

#[test]
fn a_guest_dials_out() {
    let mut guest = guest();
    let (socket, input, output, mut peer) = connected(&mut guest);
    assert_eq!(guest.permit(output), Ok(65536));
    assert_eq!(guest.send_bytes("write", output, b"hello"), Ok(()));
    assert_eq!(
        guest.send_bytes("blocking-write-and-flush", output, b" world"),
        Ok(())
    );
    let mut got = [0; 11];
    peer.read_exact(&mut got).expect("what was written");
    assert_eq!(&got, b"hello world");
    assert_eq!(guest.receive_bytes("read", input, 9), Ok(Vec::new()));
    peer.write_all(b"answer").expect("room");
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 3),
        Ok(b"ans".to_vec())
    );
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 9),
        Ok(b"wer".to_vec())
    );
    let remote = guest.port(TCP, "[method]tcp-socket.remote-address", socket);
    assert_eq!(remote, Ok(peer.local_addr().expect("an address").port()));
    let local = guest.port(TCP, "[method]tcp-socket.local-address", socket);
    assert_eq!(local, Ok(peer.peer_addr().expect("an address").port()));
    // One direction ends, and then the other.
    assert_eq!(guest.socket("shutdown", &[socket, 1]), Ok(()));
    assert_eq!(guest.permit(output), Err(1), "closed");
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).expect("the end");
    assert_eq!(rest, b"");
    drop(peer);
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 9),
        Err(1),
        "closed"
    );
    // The socket lives as long as its streams.
    let early = guest.drop(TCP, "tcp-socket", socket);
    assert_eq!(early, Outcome::Trap("resource has children".into()));
}

#[test]
fn a_guest_listens() {
    let mut guest = guest();
    let (listener, port) = guest.listener();
    let is_listening = "[method]tcp-socket.is-listening";
    assert_eq!(guest.value(TCP, is_listening, &[listener]), 1);
    assert_eq!(guest.accept(listener), Err(WOULD_BLOCK));
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("the guest");
    guest.wait_for(TCP, "[method]tcp-socket.subscribe", listener);
    let (socket, input, output) = guest.accept(listener).expect("a connection");
    peer.write_all(b"request").expect("room");
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 99),
        Ok(b"request".to_vec())
    );
    assert_eq!(
        guest.send_bytes("blocking-write-and-flush", output, b"response"),
        Ok(())
    );
    let done = Outcome::Done(Some(u64::MAX));
    assert_eq!(guest.drop(STREAMS, "input-stream", input), done);
    assert_eq!(guest.drop(STREAMS, "output-stream", output), done);
    assert_eq!(guest.drop(TCP, "tcp-socket", socket), done);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).expect("all of it");
    assert_eq!(got, b"response");
}

#[test]
fn each_step_has_its_time() {
    let mut guest = guest();
    let socket = guest.tcp();
    assert_eq!(guest.socket("finish-bind", &[socket]), Err(NOT_IN_PROGRESS));
    assert_eq!(guest.finish_connect(socket), Err(NOT_IN_PROGRESS));
    assert_eq!(guest.socket("start-listen", &[socket]), Err(INVALID_STATE));
    assert_eq!(guest.accept(socket), Err(INVALID_STATE));
    assert_eq!(guest.socket("shutdown", &[socket, 2]), Err(INVALID_STATE));
    let local_address = "[method]tcp-socket.local-address";
    assert_eq!(guest.port(TCP, local_address, socket), Err(INVALID_STATE));
    let remote_address = "[method]tcp-socket.remote-address";
    assert_eq!(guest.port(TCP, remote_address, socket), Err(INVALID_STATE));
    assert_eq!(
        guest.start("start-connect", socket, 0),
        Err(INVALID_ARGUMENT)
    );
    assert_eq!(guest.start("start-bind", socket, 0), Ok(()));
    assert_eq!(
        guest.start("start-bind", socket, 0),
        Err(CONCURRENCY_CONFLICT)
    );
    assert_eq!(
        guest.socket("start-listen", &[socket]),
        Err(CONCURRENCY_CONFLICT)
    );
    assert_eq!(
        guest.socket("finish-listen", &[socket]),
        Err(NOT_IN_PROGRESS)
    );
    guest.sleep_with_grants();
    assert_eq!(guest.socket("finish-bind", &[socket]), Ok(()));
    assert_eq!(guest.start("start-bind", socket, 0), Err(INVALID_STATE));
    let port = guest.port(TCP, local_address, socket).expect("a port");
    let other = guest.tcp();
    assert_eq!(guest.socket("start-listen", &[socket]), Ok(()));
    assert_eq!(guest.start("start-bind", other, port), Err(ADDRESS_IN_USE));
    // An IPv6 address is none of an IPv4 socket's.
    let network = guest.network();
    let mut arguments = vec![other, network, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    arguments.push(0);
    assert_eq!(
        guest.socket("start-bind", &arguments),
        Err(INVALID_ARGUMENT)
    );
    let family = "[method]tcp-socket.address-family";
    assert_eq!(guest.value(TCP, family, &[other]), 0);
}

#[test]
fn what_is_not_granted_or_not_there_is_told_when_it_is_finished() {
    let mut guest = guest();
    // Nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let socket = guest.tcp();
    assert_eq!(guest.start("start-connect", socket, port), Ok(()));
    assert_eq!(
        guest.start("start-connect", socket, port),
        Err(CONCURRENCY_CONFLICT)
    );
    guest.wait_for(TCP, "[method]tcp-socket.subscribe", socket);
    assert_eq!(guest.finish_connect(socket), Err(CONNECTION_REFUSED));
    assert_eq!(guest.finish_connect(socket), Err(NOT_IN_PROGRESS));
    assert_eq!(
        guest.start("start-connect", socket, port),
        Err(INVALID_STATE)
    );

    let mut guest = Guest::new();
    let socket = guest.tcp();
    assert_eq!(guest.start("start-bind", socket, 0), Err(ACCESS_DENIED));
    assert_eq!(guest.start("start-connect", socket, port), Ok(()));
    assert_eq!(guest.finish_connect(socket), Err(ACCESS_DENIED));
}

/// A slow reader at the other end makes the guest wait, and loses nothing.
#[test]
fn what_is_written_is_sent_while_the_guest_waits_for_something_else() {
    let mut guest = guest();
    let (socket, input, output, mut peer) = connected(&mut guest);
    let expected = guest.fill(socket, output);
    let arguments = [output, DATA.into(), 1, RESULT.into()];
    let early = guest.trap(STREAMS, "[method]output-stream.write", &arguments);
    assert_eq!(early, "not permitted to write 1 bytes");
    // The write side ends when all is sent.
    assert_eq!(guest.socket("shutdown", &[socket, 1]), Ok(()));
    let count = expected.len();
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; count];
        peer.read_exact(&mut got).expect("all of it");
        peer.write_all(b"thanks").expect("room");
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("the end");
        (got, rest)
    });
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 99),
        Ok(b"thanks".to_vec())
    );
    while guest.permit(output) == Ok(0) {}
    assert_eq!(guest.permit(output), Err(1), "closed");
    assert_eq!(reader.join().expect("no panic"), (expected, Vec::new()));
}

#[test]
fn a_blocking_write_waits_until_all_is_sent() {
    let mut guest = guest();
    let (socket, _, output, mut peer) = connected(&mut guest);
    assert_eq!(guest.socket("set-send-buffer-size", &[socket, 1]), Ok(()));
    let reader = std::thread::spawn(move || {
        let mut got: Vec<u8> = Vec::new();
        let mut buffer = [0; 1000];
        while got.len() < 400 * 4096 {
            let count = peer.read(&mut buffer).expect("bytes");
            got.extend(&buffer[..count]);
        }
        got
    });
    let mut blocked = 0;
    for number in 0..400u32 {
        guest.put(DATA, &[number as u8; 4096]);
        let arguments = [output, DATA.into(), 4096, RESULT.into()];
        let name = "[method]output-stream.blocking-write-and-flush";
        let mut outcome = guest.call(STREAMS, name, &arguments);
        while let Outcome::Block(wait) = outcome {
            blocked += 1;
            guest.ctx.wait_briefly(&wait);
            outcome = guest.again(STREAMS, name, &arguments, Some(&wait));
        }
        assert_eq!((outcome, guest.failure(4)), (Outcome::Done(None), Ok(())));
    }
    assert!(blocked > 0, "the buffers were never full");
    let expected: Vec<u8> = (0..400u32)
        .flat_map(|number| [number as u8; 4096])
        .collect();
    assert!(reader.join().expect("no panic") == expected);
}

/// The socket itself was dropped, and its bytes go on.
#[test]
fn a_dropped_socket_sends_what_was_written() {
    let mut guest = guest();
    let (socket, input, output, mut peer) = connected(&mut guest);
    let count = guest.fill(socket, output).len();
    let open = guest.ctx.save().expect("a state").fds.len();
    let done = Outcome::Done(Some(u64::MAX));
    assert_eq!(guest.drop(STREAMS, "input-stream", input), done);
    assert_eq!(guest.drop(STREAMS, "output-stream", output), done);
    assert_eq!(guest.drop(TCP, "tcp-socket", socket), done);
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("all of it");
        got.len()
    });
    let sleep = guest.value("wasi:clocks/monotonic-clock", "subscribe-duration", &[1]);
    let block = "[method]pollable.block";
    let mut outcome = guest.call(POLL, block, &[sleep]);
    while let Outcome::Block(wait) = outcome {
        guest.ctx.wait_briefly(&wait);
        if guest.ctx.save().expect("a state").fds.len() < open {
            guest.clock.advance(std::time::Duration::from_secs(1));
        }
        outcome = guest.again(POLL, block, &[sleep], Some(&wait));
    }
    assert_eq!(reader.join().expect("no panic"), count);
}

#[test]
fn options_are_set_and_told() {
    let mut guest = guest();
    let socket = guest.tcp();
    let told = |guest: &mut Guest, name: &str, align: u32| {
        let name = format!("[method]tcp-socket.{name}");
        guest.done(TCP, &name, &[socket, RESULT.into()]);
        assert_eq!(guest.failure(align), Ok(()), "{name}");
        match align {
            1 => guest.u8_at(RESULT + 1).into(),
            4 => guest.u32_at(RESULT + 4).into(),
            _ => guest.u64_at(RESULT + 8),
        }
    };
    const SECOND: u64 = 1_000_000_000;
    for (name, align, set, expected) in [
        ("keep-alive-enabled", 1, 1, 1),
        ("keep-alive-idle-time", 8, 42 * SECOND, 42 * SECOND),
        ("keep-alive-idle-time", 8, 1, SECOND),
        ("keep-alive-interval", 8, u64::MAX, 32767 * SECOND),
        ("keep-alive-count", 4, 1000, 127),
        ("hop-limit", 1, 42, 42),
        ("receive-buffer-size", 8, 8192, 8192),
        ("send-buffer-size", 8, 16384, 16384),
    ] {
        assert_eq!(
            guest.socket(&format!("set-{name}"), &[socket, set]),
            Ok(()),
            "{name}"
        );
        assert_eq!(told(&mut guest, name, align), expected, "{name} {set}");
        if name != "keep-alive-enabled" {
            let zero = guest.socket(&format!("set-{name}"), &[socket, 0]);
            assert_eq!(zero, Err(INVALID_ARGUMENT), "{name}");
        }
    }
    let backlog = "set-listen-backlog-size";
    assert_eq!(guest.socket(backlog, &[socket, 0]), Err(INVALID_ARGUMENT));
    assert_eq!(guest.socket(backlog, &[socket, u64::MAX]), Ok(()));
    // They are there again when the socket is made anew.
    guest.sleep_with_grants();
    assert_eq!(told(&mut guest, "hop-limit", 1), 42);
    assert_eq!(told(&mut guest, "keep-alive-count", 4), 127);
}

#[test]
fn sockets_are_counted_as_descriptors() {
    let limits = Limits::default().with(["files=5".parse().expect("a limit")]);
    let mut guest = Guest::with(|_, bindings| {
        bindings.limits = limits;
        bindings.grants = grants();
    });
    guest.tcp();
    let create = "wasi:sockets/tcp-create-socket";
    guest.done(create, "create-tcp-socket", &[0, RESULT.into()]);
    assert_eq!(guest.failure(4), Err(NEW_SOCKET_LIMIT));
    let refused = guest.ctx.last_refusal().expect("a refusal");
    assert_eq!(refused.setting.limit, Limit::Files);
}
