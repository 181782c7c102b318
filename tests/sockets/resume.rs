//! Sockets of a guest's own, over a snapshot file: those that can be made anew are, a connection is reset.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Child;

use rustix::net::{AddressFamily, SocketType};

use dormouse_test_support::{engines, guest, stderr, stdout, until};

use crate::support::{ask, dormouse, free_address, suspend};

fn run(folder: &Path, flags: &[&str], arguments: &[&str]) -> Child {
    let mut command = dormouse(folder);
    command
        .arg("run")
        .args(flags)
        .arg(guest("net_probe"))
        .args(arguments);
    command.spawn().expect("it starts")
}

fn resume(folder: &Path, flags: &[&str]) -> Child {
    let mut command = dormouse(folder);
    command.arg("resume").args(flags).arg("snapshot");
    command.spawn().expect("it starts")
}

fn connect(address: &str) -> TcpStream {
    until("somebody listens", || TcpStream::connect(address).ok())
}

#[test]
fn datagram_sockets_are_bound_again() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let address = free_address();
    let grant = ["--allow-listen", address.as_str()];
    let child = run(folder.path(), &grant, &["udp-echo", &address, "2"]);
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    client.connect(&address).expect("an address");
    assert_eq!(ask(&client, "one"), "eno");
    let output = suspend(child);
    let hint = format!("dormouse resume --allow-listen {address} ./snapshot");
    assert!(stderr(&output).contains(&hint), "{}", stderr(&output));

    let output = resume(folder.path(), &[])
        .wait_with_output()
        .expect("it ends");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let text = stderr(&output);
    assert!(
        text.contains(&format!("allow it again with --allow-listen {address}")),
        "{text}"
    );

    // By another process: a socket of ours may live on for a moment in one that another test is starting.
    let mut taken = run(other.path(), &grant, &["udp-echo", &address, "2"]);
    assert_eq!(ask(&client, "mine"), "enim");
    let output = resume(folder.path(), &grant)
        .wait_with_output()
        .expect("it ends");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(
        stderr(&output).contains("cannot be bound to"),
        "{}",
        stderr(&output)
    );
    taken.kill().expect("it runs");
    taken.wait().expect("it ends");

    let child = resume(folder.path(), &grant);
    assert_eq!(ask(&client, "two"), "owt");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(stdout(&output), "3 from 127.0.0.1\n", "{output:?}");
}

/// The one who is connected is told, at both ends; who comes later is served.
#[test]
fn a_listener_is_bound_again_and_a_connection_is_reset() {
    let others: Vec<_> = engines().into_iter().rev().collect();
    for (engine, other) in engines().into_iter().zip(others) {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let grant = ["--allow-listen", address.as_str()];
        let flags = [&["--engine", engine][..], &grant].concat();
        let child = run(folder.path(), &flags, &["echo", &address, "2"]);
        let mut old = connect(&address);
        old.write_all(b"hello").expect("it is sent");
        let mut answer = [0; 5];
        old.read_exact(&mut answer).expect("an answer");
        let output = suspend(child);
        assert_eq!(stdout(&output), format!("listening on {address}\n"));
        let mut rest = Vec::new();
        // The end, or a reset.
        let _ = old.read_to_end(&mut rest);
        assert!(rest.is_empty());
        let output = dormouse(folder.path())
            .args(["inspect", "snapshot"])
            .output()
            .expect("it runs");
        let shown = stdout(&output);
        assert!(
            shown.contains(&format!("TCP socket, listening on {address}")),
            "{shown}"
        );
        assert!(
            shown.contains("a connection, which will read as reset"),
            "{shown}"
        );

        let child = resume(folder.path(), &[&["--engine", other][..], &grant].concat());
        let mut new = connect(&address);
        new.write_all(b"again").expect("it is sent");
        new.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"again");
        drop(new);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            stdout(&output),
            "error 15 after 5\nend after 5\n",
            "{output:?}"
        );
    }
}

/// All bytes are waited for when the connection is lost: the guest gets those that had come.
#[test]
fn what_had_come_is_not_lost_with_the_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound").to_string();
    let grant = ["--allow-connect", address.as_str()];
    let child = run(folder.path(), &grant, &["waitall", &address, "10"]);
    let (mut stream, _) = listener.accept().expect("it comes");
    stream.write_all(b"abcd").expect("it is sent");
    suspend(child);
    let child = resume(folder.path(), &grant);
    let output = child.wait_with_output().expect("it ends");
    let sum = b"abcd"
        .iter()
        .fold(0u32, |sum, byte| sum * 31 + u32::from(*byte));
    let expected = format!("4 bytes, flags 0, sum {sum}\nfailed: Some(15)\n");
    // What was looked at before the suspend was printed by the first process.
    assert_eq!(stdout(&output), expected, "{output:?}");
}

/// Nothing has been said on a connection that is being made: it is made anew.
#[test]
fn a_connection_that_is_being_made_is_made_by_the_resumed_guest() {
    let folder = tempfile::tempdir().expect("a folder");
    // One place in the queue, which we take ourselves: the next one has to wait.
    let socket =
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    rustix::net::bind(&socket, &any).expect("loopback");
    rustix::net::listen(&socket, 0).expect("it listens");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("it is bound").to_string();
    let held = TcpStream::connect(&address).expect("there is one place");
    let grant = ["--allow-connect", address.as_str()];
    let child = run(folder.path(), &grant, &["client", &address, "hello"]);
    suspend(child);
    drop((held, listener.accept().expect("our own")));
    let child = resume(folder.path(), &grant);
    // Those that had waited in the first process have gone.
    let served = std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 5];
            if stream.read_exact(&mut buffer).is_ok() {
                stream.write_all(&buffer).expect("it is sent");
                return;
            }
        }
    });
    let output = child.wait_with_output().expect("it ends");
    assert!(
        stdout(&output).ends_with("hello\nthen 0 bytes\n"),
        "{output:?}"
    );
    served.join().expect("it was served");
}
