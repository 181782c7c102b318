//! Runs the binary with guests that have sockets.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub use dormouse_test_support::ports::{free_address, free_address_of};
use dormouse_test_support::{TIMEOUT, program, until};

/// Sends a datagram as soon as somebody is there for it, once, and gives the answer.
pub fn ask(client: &UdpSocket, text: &str) -> String {
    client.set_read_timeout(Some(TIMEOUT)).expect("a socket");
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
    let mut command = Command::new(program());
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
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
