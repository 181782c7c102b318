//! Servers that hibernate between requests, and between the bytes of one, beside native ones: whoever
//! talks to them must not see a difference.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::ports::free_address;
use dormouse_test_support::{checkout, engines};

/// A native server; it is killed when this goes.
struct Native(Child);

impl Drop for Native {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(address: &str) -> TcpStream {
    for _ in 0..1000 {
        if let Ok(stream) = TcpStream::connect(address) {
            let time = Some(Duration::from_secs(30));
            stream.set_read_timeout(time).expect("a socket");
            return stream;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {address}");
}

/// What a client does, with a pause at each step in which the server may fall asleep; gives all that it
/// has read.
type Client = fn(&str, &dyn Fn()) -> String;

fn read(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("an answer");
    text(&bytes)
}

/// Talks, and closes.
fn closes(address: &str, pause: &dyn Fn()) -> String {
    let mut stream = connect(address);
    pause();
    stream.write_all(b"one").expect("it is sent");
    let first = read(&mut stream, 3);
    pause();
    stream.write_all(b"two").expect("it is sent");
    first + &read(&mut stream, 3)
}

/// Comes and goes without a word.
fn says_nothing(address: &str, pause: &dyn Fn()) -> String {
    let stream = connect(address);
    pause();
    drop(stream);
    String::new()
}

/// Says all it has to say, and listens to the end.
fn half_closes(address: &str, pause: &dyn Fn()) -> String {
    let mut stream = connect(address);
    stream.write_all(b"all of it").expect("it is sent");
    pause();
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the end");
    rest
}

/// Breaks the connection off.
fn resets(address: &str, pause: &dyn Fn()) -> String {
    let mut stream = connect(address);
    stream.write_all(b"hello").expect("it is sent");
    let answer = read(&mut stream, 5);
    pause();
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
    answer
}

/// Breaks it off before a word was said.
fn resets_at_once(address: &str, pause: &dyn Fn()) -> String {
    let stream = connect(address);
    pause();
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
    String::new()
}

/// Sends more than fits anywhere, in the end, and reads it all.
fn sends_much(address: &str, pause: &dyn Fn()) -> String {
    let stream = connect(address);
    let mut writer = stream.try_clone().expect("a socket");
    pause();
    let sender = std::thread::spawn(move || {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|at| b'a' + (at % 26) as u8).collect();
        writer.write_all(&bytes).expect("it is sent");
        writer.shutdown(Shutdown::Write).expect("it is open");
    });
    let mut all = String::new();
    let mut reader = stream;
    reader.read_to_string(&mut all).expect("the end");
    sender.join().expect("it was sent");
    all
}

const CLIENTS: [Client; 6] = [
    closes,
    says_nothing,
    half_closes,
    resets,
    resets_at_once,
    sends_much,
];

/// However a connection is cut while the server sleeps, the guest sees what a program sees that was awake.
#[test]
fn cut_connections_look_as_they_do_to_a_native_server() {
    let count = CLIENTS.len();
    let address = free_address();
    let port = address.rsplit(':').next().expect("a port");
    let script = checkout("tests/daemon/echo.py");
    let mut native = Native(
        Command::new("python3")
            .arg(script)
            .args([port, &count.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3"),
    );
    let awake = || std::thread::sleep(Duration::from_millis(30));
    let expected: Vec<String> = CLIENTS.map(|client| client(&address, &awake)).into();
    let stdout = native.0.stdout.take().expect("it is piped");
    let mut expected_log = String::new();
    BufReader::new(stdout)
        .read_to_string(&mut expected_log)
        .expect("it ends");
    drop(native);

    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
    let arguments = ["echo", &address, &count.to_string()];
    let id = daemon.submit(
        "net_probe",
        &arguments,
        json!({"network": {"allow_listen": [address]}}),
    );
    daemon.until(id, "hibernated");
    let asleep = || daemon.until_asleep(id, Duration::from_millis(30));
    for (client, expected) in CLIENTS.iter().zip(&expected) {
        let seen = client(&address, &asleep);
        assert!(
            seen == *expected,
            "{} bytes, not {}",
            seen.len(),
            expected.len()
        );
    }
    daemon.until(id, "exited");
    assert_eq!(daemon.output(id), expected_log);
    let sleeps = daemon.task(id)["sleeps"].as_u64();
    assert!(sleeps >= Some(count as u64), "{sleeps:?}");
}

/// Runs a client program; gives what it has printed.
fn client(program: &str, arguments: &[&str], stdin: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make setup` installs it"));
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(stdin.as_bytes()).expect("it is read");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    text(&output.stdout)
}

/// The requests of curl, nc and Python's client, with pauses between and within them.
fn requests(address: &str, pause: &dyn Fn()) -> String {
    let url = format!("http://{address}");
    let (host, port) = address.split_once(':').expect("host and port");
    let curl = |arguments: &[&str]| {
        let fixed = ["--silent", "--show-error", "--include", "--max-time", "30"];
        client("curl", &[&fixed[..], arguments].concat(), "")
    };
    let mut seen = curl(&[&format!("{url}/one")]);
    pause();
    // Two on one connection, with a body.
    seen += &curl(&[
        "--data",
        "hello",
        &format!("{url}/two"),
        &format!("{url}/three"),
    ]);
    pause();
    seen += &curl(&["--header", "Connection: close", &format!("{url}/four")]);
    pause();
    seen += &client(
        "nc",
        &["-N", host, port],
        "GET /five HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    pause();
    let python = "
import http.client, sys, time
connection = http.client.HTTPConnection(sys.argv[1], timeout=30)
for number in range(4):
    connection.request('POST', f'/python/{number}', body='x' * number * 1000)
    print(connection.getresponse().read().decode(), end='')
    time.sleep(0.1)
";
    seen += &client("python3", &["-c", python, address], "");
    pause();
    // A request in pieces.
    let mut stream = connect(address);
    for piece in [
        "GET /s",
        "ix HTTP/1.1\r\nContent-Le",
        "ngth: 4\r\n\r\nab",
        "cd",
    ] {
        pause();
        stream.write_all(piece.as_bytes()).expect("it is sent");
    }
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    while !line.ends_with("/six 4\n") {
        assert!(
            reader.read_line(&mut line).expect("an answer") > 0,
            "{line}"
        );
    }
    seen + &line
}

/// One C source, natively and as a guest.
#[test]
fn an_http_server_answers_as_its_native_build_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = folder();
    let binary = data.path().join("http");
    let built = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&binary)
        .arg(root.join("wasm/src/c/ex_http.c"))
        .status()
        .expect("cc");
    assert!(built.success());
    let address = free_address();
    let port = address.rsplit(':').next().expect("a port");
    let native = Native(Command::new(&binary).arg(port).spawn().expect("it starts"));
    drop(connect(&address));
    let expected = requests(&address, &|| {});
    drop(native);
    assert!(expected.ends_with("10 /six 4\n"), "{expected}");

    for engine in engines() {
        let data = folder();
        let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
        let address = free_address();
        let more = json!({"network": {"listen": [address]}, "engine": engine});
        let id = daemon.submit("ex_http", &[], more);
        daemon.until(id, "hibernated");
        let asleep = || daemon.until_asleep(id, Duration::from_millis(30));
        drop(connect(&address));
        assert_eq!(requests(&address, &asleep), expected, "{engine}");
        assert!(daemon.task(id)["sleeps"].as_u64() >= Some(9));
    }
}

/// Somebody in a chat room.
struct Member(BufReader<TcpStream>);

impl Member {
    fn join(address: &str, name: &str) -> Self {
        let mut member = Self(BufReader::new(connect(address)));
        member.say(name);
        assert_eq!(member.hear(), format!("welcome {name}"));
        member
    }

    fn say(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").expect("it is sent");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_string()
    }
}

/// Everybody stays connected while the room sleeps, hears everything once and in order, and is told when
/// somebody has gone.
#[test]
fn a_chat_room_sleeps_while_nobody_speaks() {
    let data = folder();
    let address = free_address();
    let options = ["--hibernate-after", "50ms"];
    let daemon = Daemon::start(data.path(), &options);
    let more = json!({"network": {"allow_listen": [address]}});
    let id = daemon.submit("ex_chat", &[&address], more);
    daemon.until(id, "hibernated");
    let asleep = || daemon.until_asleep(id, Duration::from_millis(60));
    let names = ["ann", "ben", "cleo", "dan"];
    let mut members: Vec<Member> = Vec::new();
    for name in names {
        for member in &members {
            assert!(member.0.buffer().is_empty());
        }
        members.push(Member::join(&address, name));
        let (_, others) = members.split_last_mut().expect("one at least");
        for other in others {
            assert_eq!(other.hear(), format!("{name} has come"));
        }
        asleep();
    }
    for round in 0..8 {
        let speaker = round % members.len();
        let lines = [format!("line {round}"), format!("and {round} again")];
        for line in &lines {
            members[speaker].say(line);
        }
        for (place, member) in members.iter_mut().enumerate() {
            for line in lines.iter().filter(|_| place != speaker) {
                assert_eq!(member.hear(), format!("{}: {line}", names[speaker]));
            }
        }
        asleep();
    }
    // One closes, one breaks off.
    drop(members.pop());
    for member in &mut members {
        assert_eq!(member.hear(), "dan has gone");
    }
    asleep();
    let cleo = members.pop().expect("she is there");
    rustix::net::sockopt::set_socket_linger(cleo.0.get_ref(), Some(Duration::ZERO))
        .expect("a socket");
    drop(cleo);
    for member in &mut members {
        assert_eq!(member.hear(), "cleo has gone");
    }
    asleep();
    // The daemon dies: everybody is told, at both ends, and the room opens again.
    daemon.kill();
    for member in &mut members {
        let mut rest = Vec::new();
        // The end, or a reset.
        let _ = member.0.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    let daemon = Daemon::start(data.path(), &options);
    daemon.until_that("it knows", || {
        let output = daemon.output(id);
        (output.matches("lost a client").count() == 2).then_some(())
    });
    let mut eve = Member::join(&address, "eve");
    let mut fay = Member::join(&address, "fay");
    assert_eq!(eve.hear(), "fay has come");
    fay.say("hello");
    assert_eq!(eve.hear(), "fay: hello");
}

/// A datagram wakes its server, and none is lost.
#[test]
fn a_datagram_wakes_a_server() {
    let data = folder();
    let address = free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
    let more = json!({"network": {"allow_listen": [address]}});
    let id = daemon.submit("net_probe", &["udp-echo", &address, "12"], more);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    client.connect(&address).expect("an address");
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    for round in 0..4 {
        daemon.until(id, "hibernated");
        let sent: Vec<String> = (0..3).map(|place| format!("{round}-{place}")).collect();
        for text in &sent {
            client.send(text.as_bytes()).expect("it is sent");
        }
        for text in sent {
            let mut buffer = [0; 100];
            let count = client.recv(&mut buffer).expect("an answer");
            let expected: Vec<u8> = text.bytes().rev().collect();
            assert_eq!(&buffer[..count], expected);
        }
    }
    daemon.until(id, "exited");
}

/// A server waits for a while only: its sleep ends by itself as well.
#[test]
fn a_sleep_with_sockets_ends_in_time() {
    let data = folder();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound").to_string();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
    let more = json!({"network": {"allow_connect": [address]}});
    let id = daemon.submit("net_probe", &["timeout", &address], more);
    let (mut stream, _) = listener.accept().expect("it connects");
    // It waits for 300 ms in vain, then says something and wants eight bytes.
    assert_eq!(read(&mut stream, 4), "half");
    stream.write_all(b"half").expect("it is sent");
    daemon.until(id, "exited");
    let expected = "Err(Some(6))\nwaited true\n\"half\"\n";
    assert_eq!(daemon.output(id), expected);
    assert!(daemon.task(id)["sleeps"].as_u64() >= Some(2));
}

/// What a task may reach is checked where it is submitted, and shown.
#[test]
fn rules_are_checked_and_shown() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let mut task =
        json!({"module": daemon.upload("net_probe"), "network": {"allow_connect": ["nonsense"]}});
    let (status, answer) = daemon.json(ureq::http::Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .is_some_and(|e| e.contains("HOST:PORTS"))
    );
    task["network"]["allow_connect"] = json!(["10.0.0.0/8:80-90", "example.com:443"]);
    let (status, answer) = daemon.json(ureq::http::Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["spec"]["network"], task["network"]);
    // Without a grant it cannot do what it wants to.
    let address = free_address();
    let id = daemon.submit("net_probe", &["echo", &address, "1"], json!({}));
    daemon.until(id, "exited");
    assert_eq!(daemon.output(id), "failed: Some(2)\n");
}

/// In the store a server that sleeps is due, for a daemon that does not watch its sockets. The one that
/// does once woke it every ten seconds.
#[test]
fn a_server_that_nobody_talks_to_is_left_alone() {
    let data = folder();
    let address = free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
    let id = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    daemon.until(id, "hibernated");
    let sleeps = daemon.task(id)["sleeps"].as_u64();
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(daemon.task(id)["sleeps"].as_u64(), sleeps);
    drop(connect(&address));
    daemon.until_that("it was woken", || {
        (daemon.task(id)["sleeps"].as_u64() > sleeps).then_some(())
    });
}
