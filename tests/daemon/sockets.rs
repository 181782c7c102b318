//! Servers that are asleep: whoever connects wakes them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::support::{Daemon, folder};

fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
    socket.local_addr().expect("it is bound").to_string()
}

fn ask(address: &str, line: &str) -> String {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    let mut stream = BufReader::new(stream);
    writeln!(stream.get_mut(), "{line}").expect("it is sent");
    let mut answer = String::new();
    stream.read_line(&mut answer).expect("an answer");
    answer.trim_end().to_string()
}

#[test]
fn a_sleeping_server_wakes_for_a_connection_and_sleeps_again() {
    let data = folder();
    let address = free_address();
    let options = ["--hibernate-after", "100ms"];
    let mut daemon = Daemon::start(data.path(), &options);
    let id = daemon.submit("ex_greeter", &[], json!({"listen": [address]}));
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
    let first = daemon.submit("ex_greeter", &[], json!({"listen": [address]}));
    daemon.until(first, "hibernated");
    let second = daemon.submit("ex_greeter", &[], json!({"listen": [address]}));
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

/// While somebody is connected, the server stays in memory: a connection would not survive.
#[test]
fn a_server_with_a_connection_stays_in_memory() {
    let data = folder();
    let address = free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let id = daemon.submit("ex_greeter", &[], json!({"listen": [address]}));
    daemon.until(id, "hibernated");
    let stream = TcpStream::connect(&address).expect("somebody listens");
    let mut stream = BufReader::new(stream);
    for count in 1..=3 {
        writeln!(stream.get_mut(), "x").expect("it is sent");
        let mut answer = String::new();
        stream.read_line(&mut answer).expect("an answer");
        assert_eq!(answer, format!("{count}: x\n"));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(daemon.task(id)["state"], "parked");
    }
    drop(stream);
    daemon.until(id, "hibernated");
}
