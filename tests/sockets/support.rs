//! Runs the binary with guests that have sockets.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

/// Whatever is waited for has come by then, or never does.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("wasm/bin/{name}.wasm"))
}

pub fn engines() -> Vec<&'static str> {
    match cfg!(feature = "wasmedge") {
        true => vec!["wasmtime", "wasmedge"],
        false => vec!["wasmtime"],
    }
}

/// A TCP port that nobody uses.
pub fn free_address() -> String {
    free_address_of("127.0.0.1")
}

/// A TCP port of this address that nobody uses.
pub fn free_address_of(ip: &str) -> String {
    let any = SocketAddr::new(ip.parse().expect("an address"), 0);
    let socket = Socket::new(Domain::for_address(any), Type::STREAM, None).expect("a socket");
    // It does not listen: a process that another test starts just now has a copy of the socket until its `execve`,
    // and would take connections.
    socket.bind(&any.into()).expect("loopback");
    let address = socket.local_addr().expect("it is bound");
    address
        .as_socket()
        .expect("an internet address")
        .to_string()
}

/// A UDP port that nobody uses.
pub fn free_datagram_address(ip: &str) -> String {
    let socket = UdpSocket::bind(format!("{ip}:0")).expect("loopback");
    let address = socket.local_addr().expect("it is bound");
    // A process that another test starts just now has a copy of the socket until its `execve`. Connected, that
    // copy takes no datagram from anybody else, which would be lost with it.
    socket.connect(address).expect("an address");
    address.to_string()
}

/// Sends a datagram as soon as somebody is there for it, once, and gives the answer.
pub fn ask(client: &UdpSocket, text: &str) -> String {
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    until("an answer", || {
        // An error: the last one came back, because nobody had the address yet.
        client.send(text.as_bytes()).ok()?;
        let mut buffer = [0; 100];
        let count = client.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
    })
}

/// The binary, in a folder for snapshots.
pub fn dormouse(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a program has printed.
pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it has said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until there is a value.
pub fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks to suspend; gives what the process said.
pub fn suspend(child: Child) -> Output {
    // Until it waits again.
    std::thread::sleep(Duration::from_millis(300));
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    output
}
