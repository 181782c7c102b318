//! Runs the binary with guests that have sockets.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub use crate::ports::{free_address, free_address_of};

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
