//! WasmEdge's socket extension, by a guest that uses the crate `wasmedge_wasi_socket` as it is.
//!
//! What is expected is what WasmEdge 0.14.1 prints for the same module and the same peers; where its
//! program is installed, it is asked each time. Each case also runs with a suspend at every call that can
//! block, with its connections kept, and must print the same.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use dormouse_test_support::{engines, guest, stderr, stdout, until};

use crate::support::{ask, dormouse, free_address, free_address_of};

/// Serves every connection with a function, on a thread of its own; gives the address.
fn serve(address: &str, work: fn(std::net::TcpStream)) -> String {
    let listener = TcpListener::bind(address).expect("loopback");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || work(stream));
        }
    });
    address
}

fn echo(mut stream: std::net::TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 || stream.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
}

/// Sends 100,000 bytes in uneven pieces, with pauses.
fn pieces(mut stream: std::net::TcpStream) {
    let bytes: Vec<u8> = (0..100_000u32).map(|at| b'a' + (at % 23) as u8).collect();
    let mut rest = bytes.as_slice();
    // What is looked at is there at once.
    let mut size = 3;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        if stream.write_all(piece).is_err() {
            return;
        }
        rest = behind;
        size = size * 7 % 20_011 + 1;
        std::thread::sleep(Duration::from_millis(3));
    }
    // No answer is expected.
    let _ = stream.shutdown(Shutdown::Write);
}

/// Answers datagrams with their bytes in reverse.
fn reverse(ip: &str) -> String {
    let socket = UdpSocket::bind(format!("{ip}:0")).expect("loopback");
    let address = socket.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            buffer[..count].reverse();
            // The guest may have gone.
            let _ = socket.send_to(&buffer[..count], from);
        }
    });
    address
}

/// Runs a case on every engine, plainly and with all suspends; `theirs` says whether WasmEdge is right.
fn prints(arguments: &[&str], expected: &str, theirs: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines() {
        for flags in [&[][..], &["--rehearse"], &["--transform", "none"]] {
            let mut command = dormouse(folder.path());
            command
                .args(["run", "--engine", engine])
                .args([
                    "--allow-connect",
                    "127.0.0.1:*",
                    "--allow-connect",
                    "[::1]:*",
                ])
                .args(["--allow-listen", "127.0.0.1:*", "--allow-listen", "[::1]:*"])
                .args(flags)
                .arg(guest("net_probe"))
                .args(arguments);
            let output = command.output().expect("it runs");
            let flags = flags.join(" ");
            assert_eq!(stdout(&output), expected, "{engine} {flags}: {output:?}");
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        }
    }
    let wasmedge = Command::new("wasmedge")
        .arg(guest("net_probe"))
        .args(arguments)
        .output();
    if let Ok(output) = wasmedge
        && theirs
    {
        assert_eq!(stdout(&output), expected, "WasmEdge: {output:?}");
    }
}

#[test]
fn a_client_talks() {
    let address = serve("127.0.0.1:0", echo);
    let expected =
        format!("peer {address}\nown address 127.0.0.1\nhello\na longer line\nthen 0 bytes\n");
    prints(
        &["client", &address, "hello", "a longer line"],
        &expected,
        true,
    );
}

/// WasmEdge gives the sender's port with its bytes swapped.
#[test]
fn datagrams_go_and_come() {
    for ip in ["127.0.0.1", "[::1]"] {
        let address = reverse(ip);
        let expected = format!(
            "sent 5\npeeked \"olleh\" from {address}, flags 0\n\"olleh\" from {address}\n\
             sent 12\npeeked \"eno regn\" from {address}, flags 1\n\"eno regnol a\" from {address}\n"
        );
        prints(
            &["udp-client", &address, "hello", "a longer one"],
            &expected,
            false,
        );
    }
}

#[test]
fn options_are_what_was_set() {
    let expected = "device None\ntimeouts None None\ntimeouts Some(1.5s) Some(2s)\nreuse false\nreuse true\n\
        keepalive false\nkeepalive true\nbroadcast false\nbuffer 40000\nlistens false\nstream true\n\
        nonblocking false\nnonblocking true\nerror Ok(())\ntype Err(Some(50))\nlistens true\n\
        peer Err(Some(53))\naccept Err(Some(6))\n";
    prints(&["options", &free_address()], expected, true);
}

/// Nobody answers, and then half of what was asked for comes.
#[test]
fn a_receive_ends_in_time() {
    let address = serve("127.0.0.1:0", echo);
    prints(
        &["timeout", &address],
        "Err(Some(6))\nwaited true\n\"half\"\n",
        true,
    );
}

#[test]
fn all_bytes_are_waited_for() {
    let address = serve("127.0.0.1:0", pieces);
    let bytes = (0..100_000u32).map(|at| u32::from(b'a') + at % 23);
    let sum = bytes.fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let expected = format!("peeked \"abc\"\n100000 bytes, flags 0, sum {sum}\nthen 0\n");
    prints(&["waitall", &address, "100000"], &expected, true);
}

#[test]
fn a_connection_is_made_without_waiting() {
    let address = serve("127.0.0.1:0", echo);
    let expected = "connect Some(26)\n7 write\nthen Ok(())\nsend Ok(5)\n7 read\nrecv Ok(5)\nrecv Err(Some(6))\n";
    prints(&["nonblocking", &address], expected, true);
}

#[test]
fn a_connection_that_nobody_takes_says_so() {
    let expected = "connect Some(26)\n7 error NotConnected\nthen Err(Some(14))\nsend Err(Some(64))\n7 read\n\
        recv Ok(0)\nrecv Ok(0)\n";
    prints(&["nonblocking", &free_address()], expected, true);
    prints(&["client", &free_address()], "failed: Some(14)\n", true);
}

#[test]
fn names_and_services_are_looked_up() {
    prints(&["lookup", "localhost", "http"], "127.0.0.1:80\n", true);
    prints(&["lookup", "127.0.0.1", "8080"], "127.0.0.1:8080\n", true);
}

/// A server of the guest's own, on both kinds of addresses.
#[test]
fn a_guest_serves_on_a_socket_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines() {
        for ip in ["127.0.0.1", "::1"] {
            let address = free_address_of(ip);
            let child = dormouse(folder.path())
                .args([
                    "run",
                    "--rehearse",
                    "--engine",
                    engine,
                    "--allow-listen",
                    &address,
                ])
                .arg(guest("net_probe"))
                .args(["echo", &address, "2"])
                .spawn()
                .expect("it starts");
            for text in ["one", "another"] {
                let mut stream = until("somebody listens", || {
                    std::net::TcpStream::connect(&address).ok()
                });
                stream.write_all(text.as_bytes()).expect("it is sent");
                stream.shutdown(Shutdown::Write).expect("it is open");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("an answer");
                assert_eq!(answer, text);
            }
            let output = child.wait_with_output().expect("it ends");
            let expected = format!("listening on {address}\nend after 3\nend after 7\n");
            assert_eq!(stdout(&output), expected, "{output:?}");
        }
    }
}

/// A guest that is granted its own address may answer whoever has asked.
#[test]
fn a_datagram_server_answers_those_who_have_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    for ip in ["127.0.0.1", "::1"] {
        let address = free_address_of(ip);
        let child = dormouse(folder.path())
            .args(["run", "--rehearse", "--allow-listen", &address])
            .arg(guest("net_probe"))
            .args(["udp-echo", &address, "2"])
            .spawn()
            .expect("it starts");
        let client = UdpSocket::bind((ip, 0)).expect("loopback");
        client.connect(&address).expect("an address");
        for text in ["hello", "world!"] {
            let answer = ask(&client, text);
            assert_eq!(answer, text.chars().rev().collect::<String>());
        }
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            stdout(&output),
            format!("5 from {ip}\n6 from {ip}\n"),
            "{output:?}"
        );
    }
}
