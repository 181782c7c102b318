//! A component that answers HTTP requests, and is in the store while none comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::side::pair;
use crate::support::{Daemon, folder, text};
use dormouse_test_support::ports::free_address;
use dormouse_test_support::{engines, guest, reactor, until};

pub fn serving() -> Vec<u8> {
    let module = std::fs::read(guest("p2_serve")).expect("a guest");
    reactor(&module).expect("a component")
}

/// Submits the guest, which answers at this address. `more` is what else it is given.
pub fn submit(daemon: &Daemon, address: &str, more: Value) -> u64 {
    let mut task = json!({
        "module": daemon.upload_bytes(&serving(), false),
        "network": {"http": address},
    });
    for (key, value) in more.as_object().expect("an object") {
        match (key.as_str(), value) {
            ("network", Value::Object(network)) => {
                for (key, value) in network {
                    task["network"][key] = value.clone();
                }
            }
            _ => task[key] = value.clone(),
        }
    }
    let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{task}");
    task["id"].as_u64().expect("a number")
}

pub fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = until("a server", || TcpStream::connect(address).ok());
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a socket");
    BufReader::new(stream)
}

pub fn send(stream: &mut BufReader<TcpStream>, text: &str) {
    let sent = stream.get_mut().write_all(text.as_bytes());
    sent.expect("it is sent");
}

/// Reads a response, and gives its status line and its body.
pub fn receive(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("an answer");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let length = head
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body = vec![0; length.parse().expect("a length")];
            stream.read_exact(&mut body).expect("a body");
        }
        None => loop {
            let mut size = String::new();
            stream.read_line(&mut size).expect("a chunk");
            let size = usize::from_str_radix(size.trim_end(), 16).expect("a size");
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).expect("a chunk");
            if size == 0 {
                break;
            }
            body.extend(&chunk[..size]);
        },
    }
    let status = head.first().cloned().unwrap_or_default();
    (status, String::from_utf8(body).expect("a text"))
}

pub fn get(stream: &mut BufReader<TcpStream>, path: &str) -> String {
    send(stream, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let (status, body) = receive(stream);
    assert!(status.ends_with(" 200 OK"), "{status}: {body}");
    body
}

/// Between requests it is in the store with its count, and each first byte wakes it: of a new
/// connection, of one that was kept, and in the middle of a request and of an answer.
#[test]
fn a_component_sleeps_between_requests_and_in_the_middle_of_one() {
    for engine in engines() {
        let data = folder();
        let mut options = vec!["--hibernate-after", "20ms"];
        let mut daemon = Daemon::start(data.path(), &options);
        let address = free_address();
        let id = submit(&daemon, &address, json!({"engine": engine}));
        let asleep = |daemon: &Daemon| daemon.until_asleep(id, Duration::from_millis(40));
        asleep(&daemon);
        assert_eq!(get(&mut connect(&address), "/count"), "request 1\n");
        asleep(&daemon);
        let mut kept = connect(&address);
        assert_eq!(get(&mut kept, "/count"), "request 2\n");
        asleep(&daemon);
        assert_eq!(get(&mut kept, "/count"), "request 3\n");
        // A head in parts.
        for part in ["GET /cou", "nt HTTP/1.1\r\nHo", "st: a\r\n\r"] {
            asleep(&daemon);
            send(&mut kept, part);
        }
        asleep(&daemon);
        send(&mut kept, "\n");
        assert_eq!(receive(&mut kept).1, "request 4\n");
        // A body in parts, which is sent back as it comes.
        send(
            &mut kept,
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for part in ["5\r\nhe", "llo\r\n", "7\r\n, wo", "rld\r\n0\r", "\n\r"] {
            asleep(&daemon);
            send(&mut kept, part);
        }
        asleep(&daemon);
        // Another daemon takes its place, in the middle of the request.
        let listen = ["--listen".to_owned(), daemon.address.clone()];
        options.extend(["--takeover", &listen[0], &listen[1]]);
        let new = Daemon::start(data.path(), &options);
        assert_eq!(std::mem::replace(&mut daemon, new).ended(), Some(0));
        send(&mut kept, "\n");
        assert_eq!(receive(&mut kept).1, "hello, world");
        // It sleeps by itself in the middle of an answer.
        assert_eq!(get(&mut kept, "/slow/300"), "one\ntwo\nthree\n");
        asleep(&daemon);
        assert_eq!(get(&mut kept, "/count"), "request 7\n");
        let task = daemon.task(id);
        assert!(task["sleeps"].as_u64() >= Some(14), "{task}");
        assert!(daemon.output(id).contains("7 Method::Get /count\n"));
    }
}

/// What a component answers is not lost when its daemon ends: the count is, at the latest, that of
/// the last time it was stored. The address is its own again.
#[test]
fn a_component_goes_on_with_its_count_in_the_next_daemon() {
    let data = folder();
    let options = ["--hibernate-after", "20ms"];
    let daemon = Daemon::start(data.path(), &options);
    let address = free_address();
    let id = submit(&daemon, &address, json!({}));
    assert_eq!(get(&mut connect(&address), "/count"), "request 1\n");
    daemon.until_asleep(id, Duration::from_millis(40));
    let mut kept = connect(&address);
    assert_eq!(get(&mut kept, "/count"), "request 2\n");
    daemon.until_asleep(id, Duration::from_millis(40));
    daemon.kill();
    let daemon = Daemon::start(data.path(), &options);
    assert_eq!(get(&mut connect(&address), "/count"), "request 3\n");
    let other = submit(&daemon, &free_address(), json!({"restart": "on-failure"}));
    let address = daemon.task(other)["spec"]["network"]["http"].clone();
    let address = address.as_str().expect("an address").to_owned();
    // One that traps is started anew, and whoever has asked is told.
    assert_eq!(get(&mut connect(&address), "/count"), "request 1\n");
    let mut stream = connect(&address);
    send(&mut stream, "GET /trap HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(receive(&mut stream).0, "HTTP/1.1 500 Internal Server Error");
    assert_eq!(get(&mut connect(&address), "/count"), "request 1\n");
}

/// A component that is a server moves as one of sockets does: with its connections.
#[test]
fn a_request_under_way_survives_moves() {
    let [a, b] = pair(&["--hibernate-after", "100ms"]);
    let grants = json!({"listen": ["127.0.0.1:*"]});
    a.trusts("other", &b, grants.clone());
    b.trusts("other", &a, grants);
    let address = free_address();
    let more = json!({"network": {"proxy_streams": true}});
    let mut id = submit(a.daemon(), &address, more);
    let mut kept = connect(&address);
    assert_eq!(get(&mut kept, "/count"), "request 1\n");
    let (mut here, mut there) = (&a, &b);
    for number in 0..3 {
        send(
            &mut kept,
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhere ",
        );
        // Its wait has a deadline too, and the bytes must end it all the same.
        if number == 0 {
            here.daemon().until(id, "hibernated");
        }
        let (status, gone) = here.migrate(id, "other");
        assert_eq!(status, 200, "{gone}");
        id = gone["to"]["task"].as_u64().expect("a number");
        (here, there) = (there, here);
        send(&mut kept, "there");
        assert_eq!(receive(&mut kept).1, "here there", "{number}");
    }
    assert_eq!(get(&mut kept, "/count"), "request 5\n");
}

/// What cannot answer requests says so.
#[test]
fn what_is_no_server_is_told() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let network = json!({"http": free_address()});
    let program = json!({"module": daemon.upload("ex_nap"), "network": network});
    let server = json!({"module": daemon.upload_bytes(&serving(), false)});
    for (task, said) in [
        (&program, "wasi:http/incoming-handler"),
        (&server, "submit --http"),
    ] {
        let (status, answer) = daemon.json(Method::POST, "/v1/tasks", task);
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(
            (status, answer["kind"].as_str()),
            (400, Some("module")),
            "{answer}"
        );
        assert!(error.contains(said), "{answer}");
    }
    // In a batch each is judged by itself.
    let served = json!({"module": server["module"], "network": network});
    let batch = json!([program, served, server]);
    let (status, answers) = daemon.json(Method::POST, "/v1/batch", &batch);
    assert_eq!(status, 200, "{answers}");
    let taken = answers.as_array().expect("a list").iter();
    let taken: Vec<bool> = taken.map(|answer| answer["id"].is_u64()).collect();
    assert_eq!(taken, [false, true, false], "{answers}");
    let output = daemon.command(&["submit", "--http", &free_address(), &command_path()]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
}

fn command_path() -> String {
    guest("ex_nap").display().to_string()
}
