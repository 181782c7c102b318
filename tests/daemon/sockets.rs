//! Servers that are asleep: whoever connects wakes them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::ports::free_address;

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    BufReader::new(stream)
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut answer = String::new();
    stream.read_line(&mut answer).expect("an answer");
    answer.trim_end().to_string()
}

fn ask(address: &str, text: &str) -> String {
    let mut stream = connect(address);
    writeln!(stream.get_mut(), "{text}").expect("it is sent");
    line(&mut stream)
}

#[test]
fn a_sleeping_server_wakes_for_a_connection_and_sleeps_again() {
    let data = folder();
    let address = free_address();
    let options = ["--hibernate-after", "100ms"];
    let mut daemon = Daemon::start(data.path(), &options);
    let id = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    for count in 1..=6 {
        let task = daemon.until_that("it sleeps", || {
            let task = daemon.task(id);
            (task["state"] == "hibernated" && task["sleeps"] == count).then_some(task)
        });
        assert_eq!(task["memory"], 0, "{task}");
        assert_eq!(ask(&address, "knock"), format!("{count}: knock"));
        if count == 3 {
            daemon.until(id, "hibernated");
            daemon.kill();
            daemon = Daemon::start(data.path(), &options);
            daemon.until_that("somebody listens", || TcpStream::connect(&address).ok());
            // It has looked once, and has not been talked to.
            let sleeps = daemon.until_that("it sleeps", || {
                let task = daemon.task(id);
                (task["state"] == "hibernated" && task["memory"] == 0)
                    .then(|| task["sleeps"].clone())
            });
            assert!(sleeps.as_u64() >= Some(count), "{sleeps}");
            assert_eq!(ask(&address, "again"), "4: again");
            break;
        }
    }
    daemon.act(id, "kill");
    assert_eq!(daemon.task(id)["error"], "the task was killed");
    daemon.until_that("nobody listens", || {
        TcpStream::connect(&address).is_err().then_some(())
    });
}

#[test]
fn one_task_has_an_address_and_a_paused_one_has_none() {
    let data = folder();
    let address = free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let first = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    daemon.until(first, "hibernated");
    let second = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    let task = daemon.until(second, "paused");
    let error = task["error"].as_str().expect("why");
    assert!(error.contains(&format!("task {first} does")), "{error}");
    daemon.act(first, "pause");
    daemon.until_that("nobody listens", || {
        TcpStream::connect(&address).is_err().then_some(())
    });
    daemon.act(second, "resume");
    daemon.until(second, "hibernated");
    assert_eq!(ask(&address, "hello"), "1: hello");
}

/// Who is connected stays so while the server sleeps, and wakes it with a byte.
#[test]
fn a_server_sleeps_with_its_connections() {
    let data = folder();
    let address = free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let id = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    daemon.until(id, "hibernated");
    let mut stream = connect(&address);
    for count in 1..=5 {
        let sleeps = daemon.task(id)["sleeps"].as_u64();
        let text = "x".repeat(count * 100);
        writeln!(stream.get_mut(), "{text}").expect("it is sent");
        assert_eq!(line(&mut stream), format!("{count}: {text}"));
        let task = daemon.until_that("it sleeps", || {
            let task = daemon.task(id);
            (task["state"] == "hibernated" && task["sleeps"].as_u64() > sleeps).then_some(task)
        });
        assert_eq!(task["memory"], 0, "{task}");
        assert_eq!(task["waits_for"], "fd 4 readable", "{task}");
    }
    // Half of a line: it wakes, and goes on waiting for the rest.
    write!(stream.get_mut(), "in two ").expect("it is sent");
    daemon.until_that("it has woken and sleeps", || {
        let task = daemon.task(id);
        (task["state"] == "hibernated" && task["sleeps"].as_u64() >= Some(7)).then_some(())
    });
    writeln!(stream.get_mut(), "parts").expect("it is sent");
    assert_eq!(line(&mut stream), "6: in two parts");
    daemon.until(id, "hibernated");
    drop(stream);
    // It hears that, and waits for the next one.
    daemon.until_that("it has closed", || {
        daemon.output(id).contains("closed").then_some(())
    });
    assert_eq!(ask(&address, "next"), "7: next");
}

/// A daemon that dies takes its connections with it. The guest reads a reset, and the client does.
#[test]
fn connections_of_a_killed_daemon_are_reset() {
    let data = folder();
    let address = free_address();
    let options = ["--hibernate-after", "100ms"];
    let daemon = Daemon::start(data.path(), &options);
    let id = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    daemon.until(id, "hibernated");
    let mut stream = connect(&address);
    writeln!(stream.get_mut(), "x").expect("it is sent");
    assert_eq!(line(&mut stream), "1: x");
    daemon.until(id, "hibernated");
    daemon.kill();
    let mut rest = Vec::new();
    // The end, or a reset.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let daemon = Daemon::start(data.path(), &options);
    daemon.until_that("the guest has been told", || {
        let output = daemon.output(id);
        output.contains("Connection reset by peer").then_some(())
    });
    assert_eq!(ask(&address, "again"), "2: again");
}

/// A copy has the state, and nobody's connection.
#[test]
fn a_copy_has_no_connections() {
    let (data, files) = (folder(), folder());
    let address = free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let id = daemon.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    daemon.until(id, "hibernated");
    let mut stream = connect(&address);
    writeln!(stream.get_mut(), "x").expect("it is sent");
    assert_eq!(line(&mut stream), "1: x");
    daemon.until(id, "hibernated");
    let file = files.path().join("copy");
    let path = file.to_str().expect("UTF-8");
    let number = id.to_string();
    let output = daemon.command(&["export", &number, "-o", path]);
    assert!(output.status.success(), "{output:?}");
    let output = daemon.command(&["pause", &number]);
    assert!(output.status.success(), "{output:?}");
    let output = daemon.command(&["import", "--tcplisten", &address, path]);
    assert!(output.status.success(), "{output:?}");
    let copy: u64 = text(&output.stdout).trim().parse().expect("a number");
    daemon.until_that("the copy has been told", || {
        let output = daemon.output(copy);
        output.contains("Connection reset by peer").then_some(())
    });
    assert_eq!(ask(&address, "copy"), "2: copy");
    daemon.act(copy, "kill");
    // The one that was paused has its connection still.
    daemon.act(id, "resume");
    writeln!(stream.get_mut(), "x").expect("it is sent");
    assert_eq!(line(&mut stream), "2: x");
}

/// Waits for a connection or for an hour, whatever comes first, and greets who has come.
const AN_HOUR_AT_MOST: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept"
    (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; A subscription to the monotonic clock (1), for an hour from now.
  (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\a0\b8\30\46\03\00\00")
  ;; Another one, to the listener (3) being readable (1).
  (data (i32.const 56) "\01\00\00\00\00\00\00\00\03")
  (data (i32.const 208) "\e0\00\00\00\06\00\00\00")
  (data (i32.const 224) "hello\n")
  (func (export "_start")
    (drop (call $poll (i32.const 0) (i32.const 512) (i32.const 2) (i32.const 200)))
    (drop (call $accept (i32.const 3) (i32.const 0) (i32.const 204)))
    (drop (call $write (i32.load (i32.const 204)) (i32.const 208) (i32.const 1) (i32.const 200)))))"#;

/// Such a task is watched again by whatever goes on with it, long before its hour is over.
#[test]
fn a_wait_with_an_end_is_ended_by_its_socket_after_a_restart_and_after_a_pause() {
    let wasm = wat::parse_str(AN_HOUR_AT_MOST).expect("the text is right");
    for is_paused in [false, true] {
        let data = folder();
        let address = free_address();
        let options = ["--hibernate-after", "100ms"];
        let mut daemon = Daemon::start(data.path(), &options);
        let module = daemon.upload_bytes(&wasm, false);
        let task = json!({"module": module, "network": {"listen": [address]}});
        let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
        assert_eq!(status, 201, "{task}");
        let id = task["id"].as_u64().expect("a number");
        daemon.until_asleep(id, Duration::ZERO);
        if is_paused {
            assert_eq!(daemon.act(id, "pause").0, 200);
            assert_eq!(daemon.act(id, "resume").0, 200);
        } else {
            daemon.kill();
            daemon = Daemon::start(data.path(), &options);
        }
        let stream = daemon.until_that("somebody listens", || TcpStream::connect(&address).ok());
        let timeout = Some(Duration::from_secs(30));
        stream.set_read_timeout(timeout).expect("a socket");
        assert_eq!(line(&mut BufReader::new(stream)), "hello");
        daemon.until(id, "exited");
    }
}
