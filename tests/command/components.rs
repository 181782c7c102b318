//! The lines of `examples/components` about a server, as they stand there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use dormouse_test_support::ports::free_address;
use dormouse_test_support::{TIMEOUT, cache, checkout, until};

use crate::user::{run, shell};

/// The line of the page that begins so, with another address.
fn line(begins: &str, address: &str) -> String {
    let page = fs::read_to_string(checkout("examples/components/README.md")).expect("the page");
    let line = page.lines().find(|line| line.starts_with(begins));
    let line = line.unwrap_or_else(|| panic!("the page has no line {begins}"));
    line.replace("127.0.0.1:8080", address)
}

/// A process of the user's, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a line, and waits until it says something.
    fn start(home: &Path, line: &str, said: &str) -> Self {
        let mut child = shell(home, &format!("exec {line} 2>&1"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash runs");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let running = Self(child);
        let mut text = String::new();
        while !text.contains(said) {
            let read = output.read_line(&mut text).expect("it can be read");
            assert!(read > 0, "{line}: {text}");
        }
        // Nobody reads on, and nobody has to: it is little.
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = output.read_to_string(&mut rest);
        });
        running
    }
}

fn ask(address: &str) -> String {
    let mut stream = until("a server", || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(TIMEOUT)).expect("a socket");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.to_owned()
}

#[test]
fn the_server_of_the_examples_does_what_the_page_says() {
    let component = cache().join("programs/example-http.component.wasm");
    assert!(
        component.exists(),
        "{} is not there; run `make setup`",
        component.display()
    );
    let home = tempfile::tempdir().expect("a directory");
    fs::copy(&component, home.path().join("sheep.wasm")).expect("the component");
    let address = free_address();
    let serving = line("dormouse serve-http", &address);
    let server = Running::start(home.path(), &serving, "answering requests at");
    for count in 1..=3 {
        assert!(ask(&address).contains(&format!("{count} sheep\n")));
    }
    drop(server);

    let serve = "dormouse serve --json --listen 127.0.0.1:0";
    let _daemon = Running::start(home.path(), serve, "\"url\"");
    let address = free_address();
    run(
        home.path(),
        &line("dormouse submit --name sheep", &address),
        &[0],
    );
    for count in 1..=3 {
        assert!(ask(&address).contains(&format!("{count} sheep\n")));
    }
    let logs = run(home.path(), &line("dormouse logs", &address), &[0]);
    assert_eq!(logs.matches("Some(\"/\")").count(), 3, "{logs}");

    let address = free_address();
    run(
        home.path(),
        &line("dormouse submit --name herd", &address),
        &[0],
    );
    for _ in 0..3 {
        assert!(ask(&address).contains("1 sheep\n"));
    }
}
