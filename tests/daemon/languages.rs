//! Components of ordinary languages dial out with their standard libraries, and wait for slow answers
//! while they are in the store: Rust's `std::net`, and Python's `urllib`, `http.client` and `socket`.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::serving::{connect, get};
use crate::side::Side;
use crate::support::{Daemon, folder, text};
use dormouse_test_support::ports::free_address;
use dormouse_test_support::{
    TIMEOUT, cache, checkout, component, dormouse, ended, engines, guest, test_modules,
};

/// The parts of the answer to each request, with a pause before each part.
const ANSWERS: [(&str, &[&str]); 3] = [
    (
        "/first",
        &[
            "HTTP/1.1 200 OK\r\nX-Sheep: Dolly\r\nConte",
            "nt-Length: 22\r\nConnection: close\r\n\r\none sheep\n",
            "two sheep",
            "s\n.",
        ],
    ),
    (
        "/second",
        &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5",
            "\r\nthree\r\n6\r\n sh",
            "eep\r\n0\r\n\r\n",
        ],
    ),
    ("/third", &["HTTP/1.0 200 OK\r\n\r\nfour sh", "eep"]),
];

/// The next connection. A large component is rewritten and compiled before it asks.
fn accept(listener: &TcpListener) -> TcpStream {
    let began = Instant::now();
    listener.set_nonblocking(true).expect("a socket");
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a socket");
                stream.set_read_timeout(Some(TIMEOUT)).expect("a socket");
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(began.elapsed() < 3 * TIMEOUT, "nobody has connected");
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Answers three requests, each on a connection of its own, and calls `pause` before each part of an
/// answer; gives what was asked.
fn serve(listener: &TcpListener, mut pause: impl FnMut(usize)) -> Vec<String> {
    let mut asked = Vec::new();
    let mut parts = 0;
    for (path, answer) in ANSWERS {
        let mut stream = BufReader::new(accept(listener));
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).expect("a line");
            if line.trim().is_empty() {
                break;
            }
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("a body");
        assert!(head[0].contains(path), "{head:?}");
        asked.push(format!("{} {}", head[0].trim(), text(&body)));
        for part in answer {
            pause(parts);
            parts += 1;
            stream
                .get_mut()
                .write_all(part.as_bytes())
                .expect("it is sent");
        }
    }
    asked
}

/// A daemon's task, which is moved now and then.
struct Walker<'a> {
    sides: [&'a Side; 2],
    id: u64,
}

impl Walker<'_> {
    fn daemon(&self) -> &Daemon {
        self.sides[0].daemon()
    }

    /// Waits until it sleeps, and moves it at each third part.
    fn pause(&mut self, part: usize) {
        self.daemon()
            .until_asleep(self.id, Duration::from_millis(100));
        if part % 3 == 1 {
            let (status, gone) = self.sides[0].migrate(self.id, "other");
            assert_eq!(status, 200, "{gone}");
            self.id = gone["to"]["task"].as_u64().expect("a number");
            self.sides.swap(0, 1);
        }
    }
}

fn submit(daemon: &Daemon, module: &[u8], more: Value) -> u64 {
    let (status, answer) = daemon.ask(Method::PUT, "/v1/modules", module);
    assert_eq!(status, 200, "{}", text(&answer));
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    let mut task = json!({"module": answer["module"], "program": "fetch"});
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{task}");
    task["id"].as_u64().expect("a number")
}

/// Two daemons that may hand connections to this address to each other, and read a directory. They
/// have a cache of modules in common: a large one takes minutes on a machine that is loaded.
fn sides(address: &str, dir: &Path) -> [Side; 2] {
    let modules = test_modules();
    let cache = [("DORMOUSE_CACHE", modules.to_str().expect("UTF-8"))];
    let [a, b] = [(); 2].map(|()| Side::new_in(&cache, &["--hibernate-after", "50ms"]));
    let grants = json!({"connect": [address], "dirs": [dir]});
    a.trusts("other", &b, grants.clone());
    b.trusts("other", &a, grants);
    [a, b]
}

/// Has a module made ready, however long that takes.
fn prepare(module: &[u8], dir: &Path, engine: &str) {
    let path = dir.join("app.wasm");
    std::fs::write(&path, module).expect("a file");
    let mut command = dormouse();
    command.args(["compile", "--engine", engine]).arg(&path);
    ended(&command.output().expect("it starts"), 0).expect("it is made ready");
}

/// Runs a component to its end, asleep before each part of each answer, and on both daemons. Gives what
/// it has printed, and what the server was asked.
fn walk(module: &[u8], listener: &TcpListener, dir: &Path, more: Value) -> (String, Vec<String>) {
    let address = listener.local_addr().expect("an address").to_string();
    prepare(module, dir, "wasmtime");
    let [a, b] = sides(&address, dir);
    let mut task = json!({"network": {"allow_connect": [address], "proxy_streams": true}});
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    let id = submit(a.daemon(), module, task);
    let mut walker = Walker {
        sides: [&a, &b],
        id,
    };
    let asked = serve(listener, |part| walker.pause(part));
    walker.daemon().until(walker.id, "exited");
    let moves = walker.daemon().task(walker.id);
    assert!(moves["came_from"].is_string(), "{moves}");
    (walker.daemon().output(walker.id), asked)
}

/// A native program; it is killed when this goes.
struct Native(Child);

impl Drop for Native {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port is free")
}

#[test]
fn a_rust_component_waits_for_slow_answers_in_the_store() {
    let module = std::fs::read(guest("net_fetch")).expect("a guest");
    let module = component(&module).expect("it becomes a component");
    let dir = folder();
    let listener = listener();
    let address = listener.local_addr().expect("an address").to_string();
    let more = json!({"args": [address]});
    let (output, asked) = walk(&module, &listener, dir.path(), more);
    // What the server has sent is what was seen.
    let sent = ANSWERS.map(|(path, parts)| {
        let all = parts.concat();
        let (head, body) = all.split_once("\r\n\r\n").expect("a head and a body");
        let head: String = head
            .lines()
            .map(|line| format!("{path}: {line}\r\n"))
            .collect();
        format!("{head}{path}: {body:?}\n")
    });
    assert_eq!(output, sent.concat());
    assert_eq!(asked.len(), ANSWERS.len());
}

#[test]
fn a_python_component_waits_for_slow_answers_in_the_store() {
    let python = cache().join("programs/python.component.wasm");
    let module = std::fs::read(&python);
    let module =
        module.unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", python.display()));
    let dir = folder();
    let script = std::fs::read_to_string(checkout("tests/daemon/fetch.py")).expect("a script");
    let listener = listener();
    let address = listener.local_addr().expect("an address").to_string();
    std::fs::write(dir.path().join("job.py"), &script).expect("a script");
    std::fs::write(dir.path().join("address"), &address).expect("a file");
    // The oracle is this machine's Python, which runs the same script.
    let native = script.replace("/script", dir.path().to_str().expect("UTF-8"));
    let mut native = Native(
        Command::new("python3")
            .args(["-c", &native])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3"),
    );
    let expected_asked = serve(&listener, |_| ());
    let mut expected = String::new();
    let stdout = native.0.stdout.take().expect("it is piped");
    BufReader::new(stdout)
        .read_to_string(&mut expected)
        .expect("it ends");
    assert!(expected.contains("three sheep"), "{expected}");

    let mounts = json!([{"host": dir.path(), "guest": "/script", "read_only": true}]);
    let more = json!({"mounts": mounts.clone()});
    let (output, asked) = walk(&module, &listener, dir.path(), more);
    assert_eq!(output, expected);
    assert_eq!(asked, expected_asked);
}

/// A server in Python sleeps between requests with what it knows, and goes on after its daemon was
/// killed. WasmEdge's compiler needs many minutes for it.
#[test]
fn a_python_server_outlives_its_daemon() {
    let path = cache().join("programs/server.component.wasm");
    let module = std::fs::read(&path);
    let module =
        module.unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", path.display()));
    let all = std::env::var_os("DORMOUSE_TEST_ALL").is_some();
    let modules = test_modules();
    let cache = [("DORMOUSE_CACHE", modules.to_str().expect("UTF-8"))];
    for engine in engines()
        .into_iter()
        .filter(|name| all || *name != "wasmedge")
    {
        let data = folder();
        prepare(&module, data.path(), engine);
        let options = ["--hibernate-after", "50ms"];
        let start = || Daemon::try_start_in(&cache, data.path(), &options).expect("it starts");
        let daemon = start();
        let address = free_address();
        let more = json!({"engine": engine, "network": {"http": address}});
        let id = submit(&daemon, &module, more);
        for count in 1..=2 {
            let said = get(&mut connect(&address), "/visits");
            assert_eq!(said, format!("{{\"/visits\": {count}}}\n"));
            daemon.until_asleep(id, Duration::from_millis(100));
        }
        daemon.kill();
        let daemon = start();
        let mut kept = connect(&address);
        assert_eq!(get(&mut kept, "/visits"), "{\"/visits\": 3}\n");
        daemon.until_asleep(id, Duration::from_millis(100));
        assert_eq!(get(&mut kept, "/slow/200"), "one\ntwo\nthree\n");
        let known = get(&mut kept, "/visits");
        assert_eq!(known, "{\"/visits\": 4, \"/slow/200\": 1}\n");
        assert!(daemon.output(id).contains("5 /visits\n"));
    }
}

/// What no grant allows is an error that the languages have.
#[test]
fn without_a_grant_nothing_is_reached() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let listener = listener();
    let address = listener.local_addr().expect("an address").to_string();
    let module = std::fs::read(guest("net_fetch")).expect("a guest");
    let module = component(&module).expect("it becomes a component");
    let id = submit(&daemon, &module, json!({"args": [address]}));
    daemon.until(id, "exited");
    assert_eq!(daemon.output(id), "no connection: PermissionDenied\n");
}
