//! What a guest may reach: nothing, but for what is granted.

use std::net::{TcpListener, UdpSocket};
use std::process::Output;

use dormouse_test_support::{guest, stderr, stdout};

use crate::support::{dormouse, free_address};

fn run(flags: &[&str], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = dormouse(folder.path());
    command
        .arg("run")
        .args(flags)
        .arg(guest("net_probe"))
        .args(arguments);
    command.output().expect("it runs")
}

/// `EACCES`.
const REFUSED: &str = "failed: Some(2)\n";

#[test]
fn nothing_is_granted_by_default() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let tcp = listener.local_addr().expect("it is bound").to_string();
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let udp = datagrams.local_addr().expect("it is bound").to_string();
    let free = free_address();
    for (arguments, hint) in [
        (["client", &tcp, "x"], format!("--allow-connect {tcp}")),
        (["udp-client", &udp, "x"], format!("--allow-connect {udp}")),
        (["echo", &free, "1"], format!("--allow-listen {free}")),
        (["udp-echo", &free, "1"], format!("--allow-listen {free}")),
        (
            ["lookup", "example.com", "80"],
            "--allow-connect example.com:PORT".into(),
        ),
    ] {
        let output = run(&["-v"], &arguments);
        assert_eq!(stdout(&output), REFUSED, "{output:?}");
        // The log says it once.
        assert_eq!(
            stderr(&output).matches(&hint).count(),
            1,
            "{}",
            stderr(&output)
        );
    }
    // Nobody has come.
    listener.set_nonblocking(true).expect("a socket");
    assert!(listener.accept().is_err());
    datagrams.set_nonblocking(true).expect("a socket");
    assert!(datagrams.recv(&mut [0; 10]).is_err());
}

#[test]
fn a_grant_is_for_its_address_and_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("it is bound").port();
    let address = format!("127.0.0.1:{port}");
    let before = port - 1;
    for (rule, granted) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("127.0.0.0/8:{before}-{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("*:{port}"), true),
        ("127.0.0.1:*".into(), true),
        (format!("127.0.0.1:{before}"), false),
        (format!("127.0.0.2:{port}"), false),
        (format!("[::1]:{port}"), false),
        (format!("128.0.0.0/8:{port}"), false),
    ] {
        let arguments = ["client", &address];
        let flags = ["--allow-connect", &rule];
        let folder = tempfile::tempdir().expect("a folder");
        let child = dormouse(folder.path())
            .arg("run")
            .args(flags)
            .arg(guest("net_probe"))
            .args(arguments)
            .spawn()
            .expect("it starts");
        if granted {
            // It says that it is done, and is told that we are.
            drop(listener.accept().expect("it connects"));
        }
        let output = child.wait_with_output().expect("it ends");
        match granted {
            true => assert!(stdout(&output).starts_with("peer "), "{rule}: {output:?}"),
            false => assert_eq!(stdout(&output), REFUSED, "{rule}"),
        }
    }
}

/// To listen is not to connect.
#[test]
fn one_grant_is_not_the_other() {
    let address = free_address();
    let output = run(&["--allow-connect", &address], &["echo", &address, "0"]);
    assert_eq!(stdout(&output), REFUSED);
    let output = run(&["--allow-listen", &address], &["client", &address]);
    assert_eq!(stdout(&output), REFUSED);
    let output = run(&["--allow-listen", &address], &["echo", &address, "0"]);
    assert_eq!(stdout(&output), format!("listening on {address}\n"));
}

#[test]
fn what_is_no_rule_is_told() {
    for wrong in ["127.0.0.1", "x:y", "1.2.3.4/40:1", "::1:80", ""] {
        let output = run(&["--allow-connect", wrong], &["lookup"]);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(
            stderr(&output).contains("HOST:PORTS"),
            "{}",
            stderr(&output)
        );
    }
}
