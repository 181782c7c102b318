//! A proxy before a server's socket, which loses what passes it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is lost next; with it the connection is cut.
#[derive(Default)]
pub struct Losses {
    /// The next request does not reach the server.
    pub request: AtomicBool,
    /// The next answer does not reach the client.
    pub answer: AtomicBool,
    /// Of the answers, only one to a commit is lost. A commit is told by its size: no other request of
    /// a store's that is prepared has so many parameters.
    pub commits_only: AtomicBool,
    /// From then on, nobody is reached.
    pub and_all: AtomicBool,
    /// Nobody gets a connection, and what there is breaks at the next use.
    pub all: AtomicBool,
    /// Nothing passes, and nothing is cut.
    pub silent: AtomicBool,
}

impl Losses {
    fn loses(&self, what: &AtomicBool) -> bool {
        let lost = what.swap(false, Ordering::SeqCst);
        if lost && self.and_all.swap(false, Ordering::SeqCst) {
            self.all.store(true, Ordering::SeqCst);
        }
        lost
    }
}

/// Starts a proxy before a socket; returns its port.
pub fn proxy(socket: PathBuf) -> (u16, Arc<Losses>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = listener.local_addr().expect("it has a port").port();
    let losses = Arc::new(Losses::default());
    let shared = losses.clone();
    // It ends with the process.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if shared.all.load(Ordering::SeqCst) {
                continue;
            }
            let Ok(server) = UnixStream::connect(&socket) else {
                continue;
            };
            relay(client, server, &shared);
        }
    });
    (port, losses)
}

fn relay(client: TcpStream, server: UnixStream, losses: &Arc<Losses>) {
    let from_client = client.try_clone().expect("it is open");
    let to_server = server.try_clone().expect("it is open");
    let ends = (
        client.try_clone().expect("it is open"),
        server.try_clone().expect("it is open"),
    );
    let cut = Arc::new(move || {
        let _ = ends.0.shutdown(Shutdown::Both);
        let _ = ends.1.shutdown(Shutdown::Both);
    });
    let (shared, other) = (losses.clone(), cut.clone());
    let asked = Arc::new(AtomicBool::new(false));
    let commit = asked.clone();
    std::thread::spawn(move || {
        let lost = |request: &[u8]| {
            asked.store(is_commit(request), Ordering::SeqCst);
            shared.loses(&shared.request)
        };
        pass(from_client, to_server, &shared, lost);
        other();
    });
    let shared = losses.clone();
    std::thread::spawn(move || {
        let lost = |_: &[u8]| {
            let is_meant =
                !shared.commits_only.load(Ordering::SeqCst) || commit.load(Ordering::SeqCst);
            is_meant && shared.loses(&shared.answer)
        };
        pass(server, client, &shared, lost);
        cut();
    });
}

/// Whether a request is a call of a prepared statement, PostgreSQL's `Bind`, with as much as a commit
/// has at least.
fn is_commit(request: &[u8]) -> bool {
    request.first() == Some(&b'B') && request.len() >= 500
}

/// Passes on what comes, until something is lost.
fn pass(mut from: impl Read, mut to: impl Write, losses: &Losses, lost: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    let is_cut = || losses.all.load(Ordering::SeqCst);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let passed = &buffer[..count];
        while losses.silent.load(Ordering::SeqCst) && !is_cut() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if is_cut() || lost(passed) || to.write_all(passed).is_err() {
            return;
        }
    }
}
