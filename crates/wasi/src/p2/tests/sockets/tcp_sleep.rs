//! What becomes of sockets while their guest sleeps.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::HeldSocket;

impl Guest {
    /// Sleeps, with the same grants and without its sockets.
    pub(in crate::p2::tests) fn sleep_with_grants(&mut self) {
        let state = self.state().expect("a state");
        self.wake(state, Vec::new());
    }

    /// Sleeps, while somebody keeps the sockets.
    pub(in crate::p2::tests) fn sleep_with_sockets(&mut self, wait: &Wait) {
        let state = self.state().expect("a state");
        let asleep = self.ctx.asleep(wait);
        assert!(!asleep.watches.is_empty(), "the wait is for sockets alone");
        self.wake(state, asleep.sockets);
    }

    fn wake(&mut self, state: StateV1, held: Vec<HeldSocket>) {
        let bindings = Bindings {
            grants: grants(),
            held,
            ..bindings(&self.host, &self.output)
        };
        // The guest of before has ended, and with it those of its sockets that nobody keeps.
        let nothing = Ctx::new(Config::default(), Bindings::default(), self.clock.clone());
        self.ctx = nothing.expect("a context");
        let options = RestoreOptions::default();
        self.ctx =
            Ctx::restore(state, bindings, options, self.clock.clone()).expect("the same state");
    }
}

#[test]
fn a_connection_that_was_kept_goes_on() {
    let mut guest = guest();
    let (listener, port) = guest.listener();
    let subscribe = "[method]tcp-socket.subscribe";
    let pollable = guest.value(TCP, subscribe, &[listener]);
    let wait = guest.wait(POLL, "[method]pollable.block", &[pollable]);
    guest.sleep_with_sockets(&wait);
    assert!(!guest.ctx.is_ready(&wait));
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("the guest");
    guest.block(pollable);
    let (_, input, output) = guest.accept(listener).expect("a connection");
    let arguments = [input, 99, RESULT.into()];
    let name = "[method]input-stream.blocking-read";
    let Outcome::Block(wait) = guest.call(STREAMS, name, &arguments) else {
        panic!("nothing was sent");
    };
    guest.sleep_with_sockets(&wait);
    peer.write_all(b"request").expect("room");
    while !guest.ctx.is_ready(&wait) {
        guest.ctx.wait_briefly(&wait);
    }
    let outcome = guest.again(STREAMS, name, &arguments, Some(&wait));
    assert_eq!(outcome, Outcome::Done(None));
    assert_eq!(guest.list_at(RESULT + 4), b"request");
    assert_eq!(
        guest.send_bytes("blocking-write-and-flush", output, b"response"),
        Ok(())
    );
    let mut got = [0; 8];
    peer.read_exact(&mut got).expect("an answer");
    assert_eq!(&got, b"response");
}

#[test]
fn a_connection_that_was_not_kept_reads_as_reset() {
    let mut guest = guest();
    let (listener, port) = guest.listener();
    let _peer = TcpStream::connect(("127.0.0.1", port)).expect("the guest");
    guest.wait_for(TCP, "[method]tcp-socket.subscribe", listener);
    let (_, input, output) = guest.accept(listener).expect("a connection");
    guest.sleep_with_grants();
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 9),
        Err(0),
        "failed"
    );
    let error = guest.u32_at(RESULT + 8);
    guest.done(
        "wasi:filesystem/types",
        "filesystem-error-code",
        &[error.into(), RESULT.into()],
    );
    assert_eq!(guest.u8_at(RESULT), 0, "it is no error of a file's");
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 9),
        Err(1),
        "closed"
    );
    assert_eq!(guest.permit(output), Ok(65536));
    assert_eq!(guest.send_bytes("write", output, b"x"), Err(1), "closed");
    // The listener is bound again.
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("the guest");
    guest.wait_for(TCP, "[method]tcp-socket.subscribe", listener);
    let (_, input, _) = guest.accept(listener).expect("a connection");
    peer.write_all(b"again").expect("room");
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 9),
        Ok(b"again".to_vec())
    );
}

#[test]
fn what_was_not_sent_is_in_the_snapshot() {
    let mut guest = guest();
    let (socket, input, output, mut peer) = connected(&mut guest);
    let written = guest.fill(socket, output);
    let count = written.len();
    let arguments = [input, 99, RESULT.into()];
    let name = "[method]input-stream.blocking-read";
    let Outcome::Block(wait) = guest.call(STREAMS, name, &arguments) else {
        panic!("nothing was sent");
    };
    guest.sleep_with_sockets(&wait);
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; count];
        peer.read_exact(&mut got).expect("all of it");
        peer.write_all(b"thanks").expect("room");
        got
    });
    assert_eq!(
        guest.receive_bytes("blocking-read", input, 99),
        Ok(b"thanks".to_vec())
    );
    assert!(reader.join().expect("no panic") == written);
}
