//! Connections by which nobody asks, or asks without end: they cut off neither the API nor the tasks.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::side::{Side, pair};
use crate::support::{Daemon, folder};

/// What ends does so within this.
const PATIENCE: Duration = Duration::from_secs(300);

/// Lets this process have so many connections of its own. False where it may not.
fn may_open(count: u64) -> bool {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    raised && limit.maximum.is_none_or(|most| most >= count)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// How many descriptors a process has open.
fn descriptors(daemon: &Daemon) -> usize {
    let path = format!("/proc/{}/fd", daemon.pid());
    std::fs::read_dir(path).expect("it runs").count()
}

fn soft_and_hard(daemon: &Daemon) -> (String, String) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid()));
    let limits = limits.expect("it runs");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut words = line.expect("a limit").split_whitespace().skip(3);
    let mut word = || words.next().expect("a number").to_string();
    (word(), word())
}

/// Events, on a connection that has shown the token.
fn events(daemon: &Daemon) -> impl Iterator<Item = String> {
    let mut stream = connect(&daemon.address);
    write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        daemon.token
    )
    .expect("it is asked");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.next().expect("an answer").contains("200"));
    lines
}

/// Tasks run, with files of their own.
fn tasks_run(daemon: &Daemon, work: &Path) {
    let dirs = json!([{"host": work, "guest": "/work"}]);
    let ids: Vec<u64> = (0..20)
        .map(|_| daemon.submit("ex_nap", &[], json!({"mounts": dirs})))
        .collect();
    for id in ids {
        let task = daemon.until(id, "exited");
        assert_eq!(task["exit_code"], 0, "{task}");
    }
}

#[test]
fn idle_connections_cut_off_neither_the_api_nor_tasks() {
    if !may_open(4000) {
        println!("this process may not open 4000 files: nothing was tried");
        return;
    }
    let (data, work) = (folder(), folder());
    let daemon = Daemon::start_with_descriptors(1024, data.path(), &[]);
    let mut events = events(&daemon);
    let idle: Vec<TcpStream> = (0..1100).map(|_| connect(&daemon.address)).collect();
    tasks_run(&daemon, work.path());
    // Most descriptors are the tasks', while all of those are still there.
    daemon.until_that("strangers have been sent away", || {
        (descriptors(&daemon) < 512).then_some(())
    });
    drop(idle);
    // Who has shown the token stays.
    assert!(events.any(|line| line.contains("\"state\":\"exited\"")));
}

/// Half of a request is no more than none.
#[test]
fn half_requests_cut_off_neither_the_api_nor_tasks() {
    if !may_open(4000) {
        println!("this process may not open 4000 files: nothing was tried");
        return;
    }
    let (data, work) = (folder(), folder());
    let daemon = Daemon::start_with_descriptors(256, data.path(), &[]);
    let half: Vec<TcpStream> = (0..400)
        .map(|number| {
            let mut stream = connect(&daemon.address);
            let request: &[u8] = match number % 2 {
                0 => b"GET /v1/tasks HTTP/1.1\r\nHost: loc",
                // A token that is wrong, and a body that does not come.
                _ => {
                    b"PUT /v1/modules HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\
                       Authorization: Bearer wrong\r\n\r\n"
                }
            };
            // It may be one of those that have been sent away already.
            let _ = stream.write_all(request);
            stream
        })
        .collect();
    tasks_run(&daemon, work.path());
    assert!(descriptors(&daemon) < 128);
    drop(half);
}

/// The same at the port for other daemons, where a task still comes in.
#[test]
fn idle_connections_do_not_keep_peers_out() {
    if !may_open(4000) {
        println!("this process may not open 4000 files: nothing was tried");
        return;
    }
    let [a, b] = pair(&[]);
    let address = b.listens();
    let idle: Vec<TcpStream> = (0..1100).map(|_| connect(&address)).collect();
    let more = json!({"schedule": {"at": "2100-01-01T00:00:00Z"}});
    let id = a.daemon().submit("ex_nap", &[], more);
    let (status, gone) = a.migrate(id, "other");
    assert_eq!(status, 200, "{gone}");
    let side: &Side = &b;
    side.daemon()
        .until_that("strangers have been sent away", || {
            (descriptors(side.daemon()) < 400).then_some(())
        });
    drop(idle);
}

#[test]
fn the_limit_of_descriptors_is_raised_as_far_as_it_may_be() {
    let data = folder();
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg("ulimit -Sn 200 && ulimit -Hn 700 && exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_dormouse"));
    let daemon = Daemon::try_start_by(shell, data.path(), &[]).expect("it starts");
    assert_eq!(soft_and_hard(&daemon), ("700".into(), "700".into()));
}

/// Sends a byte at a time, until the other side has had enough.
fn trickles(mut stream: TcpStream, head: String) {
    stream.write_all(head.as_bytes()).expect("it is sent");
    let started = Instant::now();
    while stream.write_all(b"x").is_ok() {
        assert!(started.elapsed() < PATIENCE, "it is taken for ever");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whatever has no end of its own is given one, but for answers that are still being given.
#[test]
fn connections_end_on_which_nothing_is_asked() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = daemon.submit(
        "ex_nap",
        &[],
        json!({"schedule": {"at": "2100-01-01T00:00:00Z"}}),
    );
    let head = |what: &str| {
        format!(
            "{what} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n",
            daemon.token
        )
    };
    let mut followed = connect(&daemon.address);
    let request = head(&format!("GET /v1/tasks/{id}/logs?follow=true"));
    write!(followed, "{request}\r\n").expect("it is asked");
    let mut answered = connect(&daemon.address);
    write!(answered, "{}\r\n", head("GET /v1/stats")).expect("it is asked");
    let silent = connect(&daemon.address);
    let mut half = connect(&daemon.address);
    half.write_all(b"GET /v1/tasks HTTP/1.1\r\nHo")
        .expect("it is sent");
    let never = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_string();
    let slow_head = connect(&daemon.address);
    let body = head("PUT /v1/modules") + "Content-Length: 1000000\r\n\r\n";
    let slow_body = connect(&daemon.address);
    let slow = [(slow_head, never), (slow_body, body)]
        .map(|(stream, head)| std::thread::spawn(move || trickles(stream, head)));
    for mut stream in [answered, silent, half] {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok(), "{ended:?} {rest:?}");
    }
    for slow in slow {
        slow.join().expect("it ends");
    }
    // That one has been there for longer than all of them, and waits for output.
    followed.set_nonblocking(true).expect("a socket");
    let mut come = Vec::new();
    let last = loop {
        let mut some = [0; 4096];
        match followed.read(&mut some) {
            Ok(0) => break None,
            Ok(count) => come.extend_from_slice(&some[..count]),
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(last, Some(ErrorKind::WouldBlock), "{come:?}");
    assert!(come.starts_with(b"HTTP/1.1 200"));
    assert_eq!(daemon.json(Method::GET, "/v1/stats", &Value::Null).0, 200);
}

/// A body that comes too slowly is told so.
#[test]
fn a_slow_body_is_refused_with_the_reason() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let mut stream = connect(&daemon.address);
    write!(
        stream,
        "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{{",
        daemon.token
    )
    .expect("it is asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("slower than"), "{answer}");
}
