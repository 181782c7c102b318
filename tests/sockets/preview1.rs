//! Guests that listen: real connections over loopback, and suspends at every wait for one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dormouse_test_support::{TIMEOUT, engines, guest};

use crate::support::{free_address, suspend};

/// A guest that listens, in a folder of its own for snapshots.
struct Server {
    folder: tempfile::TempDir,
    address: String,
}

impl Server {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            address: free_address(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, engine: &str) -> Child {
        let wasm = guest("ex_greeter");
        let wasm = wasm.to_str().expect("UTF-8");
        let arguments = [
            "run",
            "--engine",
            engine,
            "--tcplisten",
            &self.address,
            wasm,
        ];
        self.command(&arguments).spawn().expect("it starts")
    }

    fn resume(&self, engine: &str) -> Child {
        let arguments = [
            "resume",
            "--engine",
            engine,
            "--tcplisten",
            &self.address,
            "snapshot",
        ];
        self.command(&arguments).spawn().expect("it starts")
    }

    /// Connects as soon as somebody listens.
    fn connect(&self) -> TcpStream {
        let started = Instant::now();
        loop {
            match TcpStream::connect(&self.address) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(TIMEOUT)).expect("a socket");
                    return stream;
                }
                Err(error) if started.elapsed() > TIMEOUT => panic!("nobody listens: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn ask(&self, line: &str) -> String {
        let mut stream = BufReader::new(self.connect());
        ask(&mut stream, line)
    }
}

fn ask(stream: &mut BufReader<TcpStream>, line: &str) -> String {
    writeln!(stream.get_mut(), "{line}").expect("it is sent");
    let mut answer = String::new();
    stream.read_line(&mut answer).expect("an answer");
    answer.trim_end().to_string()
}

#[test]
fn a_server_that_was_suspended_goes_on_counting_on_the_same_address() {
    for engine in engines() {
        let server = Server::new();
        let mut child = server.run(engine);
        let mut turns = engines().into_iter().cycle();
        for count in 1..=6 {
            assert_eq!(
                server.ask("dormouse"),
                format!("{count}: dormouse"),
                "{engine}"
            );
            if count % 2 == 0 {
                let said = suspend(child);
                let said = String::from_utf8_lossy(&said.stderr).into_owned();
                let hint = format!("dormouse resume --tcplisten {}", server.address);
                assert!(said.contains(&hint), "{said}");
                child = server.resume(turns.next().expect("it never ends"));
            }
        }
        let mut stream = server.connect();
        stream.write_all(b"end\n").expect("it is sent");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stdout).ends_with("greeted 6\n"),
            "{output:?}"
        );
    }
}

/// A connection does not survive: both ends are told, and nobody reads another's data.
#[test]
fn a_connection_is_reset_by_a_suspend() {
    for engine in engines() {
        let server = Server::new();
        let child = server.run(engine);
        let mut old = BufReader::new(server.connect());
        assert_eq!(ask(&mut old, "one"), "1: one");
        suspend(child);
        let mut rest = Vec::new();
        // The end, or a reset.
        let _ = old.read_to_end(&mut rest);
        assert!(rest.is_empty());
        let child = server.resume(engine);
        assert_eq!(server.ask("two"), "2: two");
        server.connect().write_all(b"end\n").expect("it is sent");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("Connection reset by peer\n"), "{said}");
    }
}

/// The guest waits for room to write.
#[test]
fn a_guest_is_suspended_while_nobody_reads() {
    let server = Server::new();
    let child = server.run("wasmtime");
    let mut stream = server.connect();
    stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .expect("a socket");
    let lines = "x".repeat(2000) + "\n";
    // Until both directions are full.
    while stream.write_all(lines.as_bytes()).is_ok() {}
    suspend(child);
    let child = server.resume("wasmtime");
    let answer = server.ask("still here");
    assert!(answer.ends_with(": still here"), "{answer}");
    server.connect().write_all(b"end\n").expect("it is sent");
    assert!(child.wait_with_output().expect("it ends").status.success());
}

#[test]
fn a_listener_must_be_given_again() {
    let server = Server::new();
    let child = server.run("wasmtime");
    server.ask("x");
    suspend(child);
    let output = server
        .command(&["resume", "snapshot"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&format!("listens on {}", server.address)),
        "{said}"
    );
    let output = server
        .command(&["inspect", "snapshot"])
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        shown.contains(&format!("listening socket {}", server.address)),
        "{shown}"
    );
}

#[test]
fn an_address_that_cannot_be_had_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().expect("it is bound").to_string();
    let wasm = guest("ex_greeter");
    let cases = [
        (
            address.as_str(),
            69,
            format!("--tcplisten {address}: cannot listen"),
        ),
        ("nonsense", 64, "\"nonsense\" is no address".into()),
        (
            "127.0.0.1:99999",
            64,
            "\"127.0.0.1:99999\" is no address".into(),
        ),
    ];
    for (address, code, expected) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(["run", "--tcplisten", address])
            .arg(&wasm)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&expected), "{said}");
    }
}

/// Without a grant there is no socket.
#[test]
fn nothing_is_listened_to_by_default() {
    let output = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .arg("run")
        .arg(guest("ex_greeter"))
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("accept: Bad file descriptor"), "{said}");
}
