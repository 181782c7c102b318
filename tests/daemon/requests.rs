//! An instance for each HTTP request: many at once, each connection a task, which sleeps and goes on
//! as any does.

use std::io::{BufReader, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::serving::{connect, get, receive, send, serving, submit};
use crate::store::sqlite;
use crate::support::{Daemon, folder};
use dormouse_test_support::engines;
use dormouse_test_support::ports::free_address;

/// The tasks of the connections that a task has accepted.
fn connections(daemon: &Daemon, id: u64) -> Vec<u64> {
    let task = daemon.task(id);
    let all = task["connections"].as_array().into_iter().flatten();
    all.map(|id| id.as_u64().expect("a number")).collect()
}

/// Waits until it has so many.
fn until_connections(daemon: &Daemon, id: u64, count: usize) -> Vec<u64> {
    daemon.until_that(&format!("it has {count} connections"), || {
        Some(connections(daemon, id)).filter(|found| found.len() == count)
    })
}

/// Waits until nothing is left but this task.
fn until_alone(daemon: &Daemon, id: u64) {
    until_connections(daemon, id, 0);
    daemon.until_that("its connections are gone", || {
        let (_, all) = daemon.json(Method::GET, "/v1/tasks", &Value::Null);
        (all["tasks"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
}

/// A connection is a task, and counts as one of its tenant's: others wait.
#[test]
fn connections_beyond_the_tenants_quota_of_tasks_wait() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
    let set = daemon.command(&["tenant", "set", "--max-tasks", "3", "default"]);
    assert!(set.status.success(), "{set:?}");
    let address = free_address();
    let id = per_request(&daemon, &address, json!({}));
    // The listener is one of three.
    let mut streams: Vec<_> = (0..3).map(|_| connect(&address)).collect();
    for stream in &mut streams {
        begin_echo(stream, "12345");
    }
    let first = until_connections(&daemon, id, 2);
    // The listener has looked again since, more than once.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(connections(&daemon, id), first);
    let (status, answer) = daemon.json(
        Method::POST,
        "/v1/tasks",
        &json!({"module": daemon.upload("c_hello_sleep")}),
    );
    assert_eq!(status, 429, "{answer}");
    // When one has ended, the next is taken.
    drop(streams.remove(0));
    daemon.until_that("the third one is taken", || {
        let now = connections(&daemon, id);
        now.iter().any(|task| !first.contains(task)).then_some(())
    });
    assert!(connections(&daemon, id).len() <= 2);
}

fn begin_echo(stream: &mut BufReader<TcpStream>, part: &str) {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    send(stream, &format!("{head}{part}"));
}

fn per_request(daemon: &Daemon, address: &str, more: Value) -> u64 {
    let mut network = json!({"per_request": true});
    for (key, value) in more["network"].as_object().into_iter().flatten() {
        network[key] = value.clone();
    }
    let mut all = more.clone();
    all["network"] = network;
    submit(daemon, address, all)
}

/// Requests that are under way at once sleep in the store, each by itself, and go on in the next
/// daemon. Nothing is kept from one to the next, and a trap ends one alone.
#[test]
fn each_request_has_an_instance_and_survives_sleep_and_takeover() {
    for engine in engines() {
        let data = folder();
        let mut options = vec!["--hibernate-after", "20ms"];
        let mut daemon = Daemon::start(data.path(), &options);
        let address = free_address();
        let id = per_request(&daemon, &address, json!({"engine": engine}));
        let mut streams: Vec<_> = (0..3).map(|_| connect(&address)).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            begin_echo(stream, &format!("one {number} "));
        }
        let tasks = until_connections(&daemon, id, 3);
        for task in &tasks {
            daemon.until_asleep(*task, Duration::from_millis(40));
            let task = daemon.task(*task);
            assert_eq!(task["accepted_by"], id, "{task}");
            assert!(task["sleeps"].as_u64() >= Some(1), "{task}");
        }
        // Another daemon takes its place.
        let listen = ["--listen".to_owned(), daemon.address.clone()];
        options.extend(["--takeover", &listen[0], &listen[1]]);
        let new = Daemon::start(data.path(), &options);
        assert_eq!(std::mem::replace(&mut daemon, new).ended(), Some(0));
        let mut trapped = connect(&address);
        send(&mut trapped, "GET /trap HTTP/1.1\r\nHost: a\r\n\r\n");
        let (status, _) = receive(&mut trapped);
        assert_eq!(status, "HTTP/1.1 500 Internal Server Error");
        drop(trapped);
        for (number, stream) in streams.iter_mut().enumerate() {
            send(stream, "two ");
            assert_eq!(receive(stream).1, format!("one {number} two "));
            // The same connection, and another instance.
            assert_eq!(get(stream, "/count"), "request 1\n");
        }
        // Between two requests it sleeps too.
        daemon.until_asleep(tasks[0], Duration::from_millis(40));
        let all: Vec<String> = streams
            .iter_mut()
            .map(|stream| get(stream, "/count"))
            .collect();
        assert_eq!(all, ["request 1\n"; 3]);
        drop(streams);
        until_alone(&daemon, id);
        let output = daemon.output(id);
        for (line, count) in [
            ("1 Method::Post /echo\n", 3),
            ("1 Method::Get /count\n", 6),
            ("1 Method::Get /trap\n", 1),
            ("an instance ended: ", 1),
        ] {
            assert_eq!(output.matches(line).count(), count, "{line}: {output}");
        }
    }
}

/// As many connections are taken as there may be instances. Others wait until one has ended.
#[test]
fn further_connections_wait_for_a_place() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let address = free_address();
    let more = json!({"network": {"max_instances": 2}});
    let id = per_request(&daemon, &address, more);
    let mut first: Vec<_> = (0..2).map(|_| connect(&address)).collect();
    for stream in &mut first {
        begin_echo(stream, "some ");
    }
    until_connections(&daemon, id, 2);
    let mut third = connect(&address);
    send(&mut third, "GET /count HTTP/1.1\r\nHost: a\r\n\r\n");
    // It would have been answered by now: this takes as long as an answer does.
    let mut trial = per_request_trial(&daemon);
    assert_eq!(get(&mut trial, "/count"), "request 1\n");
    third.get_mut().set_nonblocking(true).expect("a socket");
    let waits = third.get_mut().read(&mut [0]).expect_err("no answer");
    assert_eq!(waits.kind(), ErrorKind::WouldBlock);
    third.get_mut().set_nonblocking(false).expect("a socket");
    assert_eq!(connections(&daemon, id).len(), 2);
    send(&mut first[0], "more ");
    assert_eq!(receive(&mut first[0]).1, "some more ");
    // Somebody waits, so that the connection ends when it is silent.
    assert_eq!(first[0].read(&mut [0]).expect("an end"), 0);
    // This one takes the last place, and is told that it ends with its answer.
    let mut answer = String::new();
    third.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("\r\n\r\nrequest 1\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    send(&mut first[1], "more ");
    assert_eq!(receive(&mut first[1]).1, "some more ");
}

/// Connections that are kept and say nothing make room for others.
#[test]
fn silent_connections_make_room() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
    let address = free_address();
    let more = json!({"network": {"max_instances": 2}});
    let id = per_request(&daemon, &address, more);
    let mut kept = connect(&address);
    assert_eq!(get(&mut kept, "/count"), "request 1\n");
    let silent = until_connections(&daemon, id, 1)[0];
    daemon.until_that("its next instance sleeps", || {
        (daemon.task(silent)["runs"] == 2).then_some(())
    });
    let mut busy = connect(&address);
    begin_echo(&mut busy, "some ");
    until_connections(&daemon, id, 2);
    let mut third = connect(&address);
    assert_eq!(get(&mut third, "/count"), "request 1\n");
    assert_eq!(kept.read(&mut [0]).expect("an end"), 0);
    send(&mut busy, "more ");
    assert_eq!(receive(&mut busy).1, "some more ");
}

/// A connection to another task of the same kind.
fn per_request_trial(daemon: &Daemon) -> BufReader<TcpStream> {
    let address = free_address();
    per_request(daemon, &address, json!({}));
    connect(&address)
}

/// What was under way when a daemon died is over for its peers; what was asleep runs to its end, and
/// nothing stays behind. The next daemon listens at the same address.
#[test]
fn a_killed_daemon_leaves_no_connections_behind() {
    let data = folder();
    let options = ["--hibernate-after", "20ms"];
    let daemon = Daemon::start(data.path(), &options);
    let address = free_address();
    let id = per_request(&daemon, &address, json!({}));
    let mut asleep = connect(&address);
    begin_echo(&mut asleep, "some ");
    let task = until_connections(&daemon, id, 1)[0];
    daemon.until_asleep(task, Duration::from_millis(40));
    let silent = connect(&address);
    until_connections(&daemon, id, 2);
    daemon.kill();
    let daemon = Daemon::start(data.path(), &options);
    until_alone(&daemon, id);
    assert!(daemon.output(id).contains("1 Method::Post /echo\n"));
    drop((asleep, silent));
    assert_eq!(get(&mut connect(&address), "/count"), "request 1\n");
}

/// Where several nodes share a store, connections of a dead one may end at a node that has not their
/// listener. Here the rows are removed by hand.
#[test]
fn a_connection_without_a_row_takes_no_place() {
    let data = folder();
    let options = ["--hibernate-after", "20ms"];
    let daemon = Daemon::start(data.path(), &options);
    let address = free_address();
    let id = per_request(&daemon, &address, json!({"network": {"max_instances": 2}}));
    let mut streams = [connect(&address), connect(&address)];
    for stream in &mut streams {
        begin_echo(stream, "half ");
    }
    let tasks = until_connections(&daemon, id, 2);
    for task in &tasks {
        daemon.until_asleep(*task, Duration::from_millis(40));
    }
    daemon.kill();
    let removed = format!("DELETE FROM tasks WHERE id IN ({}, {})", tasks[0], tasks[1]);
    sqlite(&data.path().join("store.sqlite"), &[&removed]);
    let daemon = Daemon::start(data.path(), &options);
    let mut stream = connect(&address);
    assert_eq!(get(&mut stream, "/count"), "request 1\n");
    let left = connections(&daemon, id);
    assert!(left.len() == 1 && !tasks.contains(&left[0]), "{left:?}");
}

/// With the task that has accepted them, connections end. Each can be ended by itself, too.
#[test]
fn connections_end_with_their_listener() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
    let address = free_address();
    let id = per_request(&daemon, &address, json!({}));
    let mut streams: Vec<_> = (0..3).map(|_| connect(&address)).collect();
    for stream in &mut streams {
        begin_echo(stream, "some ");
    }
    let tasks = until_connections(&daemon, id, 3);
    daemon.until_asleep(tasks[0], Duration::from_millis(40));
    let (status, answer) = daemon.act(tasks[0], "kill");
    assert_eq!(status, 200, "{answer}");
    until_connections(&daemon, id, 2);
    // A paused listener takes no further ones, and those that it has go on.
    let (status, answer) = daemon.act(id, "pause");
    assert_eq!(status, 200, "{answer}");
    daemon.until_that("nobody listens", || TcpStream::connect(&address).err());
    let left = streams
        .iter_mut()
        .filter_map(|stream| {
            send_quietly(stream, "more ");
            let mut all = Vec::new();
            stream.get_mut().shutdown(Shutdown::Write).ok();
            stream.read_to_end(&mut all).ok();
            all.ends_with(b"0\r\n\r\n").then_some(())
        })
        .count();
    assert_eq!(left, 2);
    let (status, answer) = daemon.act(id, "resume");
    assert_eq!(status, 200, "{answer}");
    let mut last = connect(&address);
    begin_echo(&mut last, "some ");
    until_connections(&daemon, id, 1);
    let (status, answer) = daemon.act(id, "kill");
    assert_eq!(status, 200, "{answer}");
    let mut all = Vec::new();
    // It may be reset.
    last.read_to_end(&mut all).ok();
    assert!(!all.ends_with(b"0\r\n\r\n"));
    daemon.until_that("its connections are gone", || {
        let (_, all) = daemon.json(Method::GET, "/v1/tasks", &Value::Null);
        (all["tasks"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    assert_eq!(daemon.task(id)["state"], "failed");
}

/// The peer may have been told already that nobody reads.
fn send_quietly(stream: &mut BufReader<TcpStream>, text: &str) {
    use std::io::Write as _;
    let _ = stream.get_mut().write_all(text.as_bytes());
}

/// What cannot be is refused when it is submitted, with the field.
#[test]
fn what_cannot_answer_requests_is_refused() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = daemon.upload_bytes(&serving(), false);
    let refused = |network: Value| {
        let task = json!({"module": module, "network": network});
        let (status, answer) = daemon.json(Method::POST, "/v1/tasks", &task);
        assert_eq!(status, 400, "{answer}");
        answer["field"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(refused(json!({"per_request": true})), "network.per_request");
    let address = free_address();
    let instances = json!({"http": address, "max_instances": 7});
    assert_eq!(refused(instances), "network.max_instances");
    let listens = json!({"http": address, "per_request": true, "listen": [free_address()]});
    assert_eq!(refused(listens), "network.listen");
    let none = json!({"module": module, "network": {
        "http": address, "per_request": true, "max_instances": 0,
    }});
    let (status, answer) = daemon.json(Method::POST, "/v1/tasks", &none);
    assert!((400..500).contains(&status), "{answer}");
}
