//! A new daemon takes the place of an old one, and no connection is dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder};
use dormouse_test_support::ports::free_address;

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    BufReader::new(stream)
}

fn ask(stream: &mut BufReader<TcpStream>, text: &str) -> String {
    writeln!(stream.get_mut(), "{text}").expect("it is sent");
    let mut answer = String::new();
    stream.read_line(&mut answer).expect("an answer");
    answer.trim_end().to_string()
}

/// A request on a connection of its own.
fn get(daemon: &Daemon) -> Result<u16, String> {
    let header = format!("Bearer {}", daemon.token);
    let headers = [("authorization", header.as_str())];
    let answer = daemon.ask_with(Method::GET, "/v1/stats", &[], &headers);
    answer
        .map(|(status, _)| status)
        .map_err(|error| error.to_string())
}

#[test]
fn an_upgrade_drops_no_connection() {
    let data = folder();
    let (warm, cold) = (free_address(), free_address());
    let options = ["--hibernate-after", "200ms", "--peer-listen", "127.0.0.1:0"];
    let mut daemon = Daemon::start(data.path(), &options);
    let servers = [&warm, &cold].map(|address| {
        let id = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
        daemon.until(id, "hibernated");
        id
    });
    let sleeper = daemon.submit("ex_sleeper", &["0.01", "0.3", "100000"], json!({}));
    let mut streams = [&warm, &cold].map(|address| connect(address));
    let mut count = 0;
    for _ in 0..3 {
        for (stream, id) in streams.iter_mut().zip(servers) {
            assert_eq!(ask(stream, "before"), format!("{}: before", count + 1));
            if id == servers[1] {
                daemon.until(id, "hibernated");
            }
        }
        count += 1;
        let old = &daemon;
        // Somebody asks all the time, each time on a new connection; somebody is in the middle of a line.
        let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        write!(streams[0].get_mut(), "half a ").expect("it is sent");
        let new = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(get(old), Ok(200));
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(50));
            let again = [&options[..], &["--takeover"]].concat();
            let listen = ["--listen", &old.address];
            let again = [&again[..], &listen[..]].concat();
            let new = Daemon::start(data.path(), &again);
            std::thread::sleep(Duration::from_millis(50));
            done.store(true, Ordering::Relaxed);
            new
        });
        assert!(asked.load(Ordering::Relaxed) > 2);
        assert_eq!(
            new.address, daemon.address,
            "the listener itself was taken over"
        );
        let old = std::mem::replace(&mut daemon, new);
        assert_eq!(old.ended(), Some(0));
        assert_eq!(
            ask(&mut streams[0], "line"),
            format!("{}: half a line", count + 1)
        );
        assert_eq!(
            ask(&mut streams[1], "after"),
            format!("{}: after", count + 1)
        );
        count += 1;
    }
    let (_, known) = daemon.json(Method::GET, "/v1/peers", &Value::Null);
    assert!(known["listens"].is_string(), "{known}");
    let output = daemon.output(sleeper);
    for (number, line) in output.lines().enumerate() {
        assert!(line.starts_with(&format!("round {number} ")), "{output}");
    }
    // Nobody is there: it starts as usual. Somebody is there, and is not to be taken over: it does not.
    assert!(Daemon::try_start(data.path(), &[]).is_err());
    daemon.kill();
    let daemon = Daemon::start(data.path(), &["--takeover"]);
    assert_eq!(get(&daemon), Ok(200));
    assert_eq!(daemon.stop(), Some(0));
}

/// The service manager keeps the listener: requests wait while no daemon runs.
#[test]
fn a_listener_that_the_service_manager_passes_is_used() {
    let data = folder();
    // What systemd does, from its own documentation (sd_listen_fds).
    let manager = r#"
import os, socket, sys
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(16)
print("%s:%d" % listener.getsockname(), flush=True)
sys.stdin.readline()
os.dup2(listener.fileno(), 3); os.set_inheritable(3, True)
os.environ["LISTEN_FDS"] = "1"; os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"#;
    let mut child = Command::new("python3")
        .args([
            "-c",
            manager,
            env!("CARGO_BIN_EXE_dormouse"),
            "serve",
            "--data",
        ])
        .arg(data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut address = String::new();
    stdout.read_line(&mut address).expect("an address");
    let address = address.trim().to_string();
    // It waits in the queue until there is a daemon.
    let waiting = std::thread::spawn({
        let address = address.clone();
        move || {
            let mut stream = TcpStream::connect(&address).expect("the manager listens");
            let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("it is sent");
            let mut answer = String::new();
            BufReader::new(stream)
                .read_line(&mut answer)
                .expect("an answer");
            answer
        }
    });
    std::thread::sleep(Duration::from_millis(100));
    drop(child.stdin.take());
    assert_eq!(waiting.join().expect("it ends"), "HTTP/1.1 200 OK\r\n");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
