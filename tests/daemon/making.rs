//! What a daemon says while it makes a large module ready, and what is left when it is stopped meanwhile.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::support::{folder, slow_to_make};

#[test]
fn a_daemon_tells_its_log_of_long_work_and_leaves_nothing_half_made() {
    let (data, cache, modules) = (folder(), folder(), folder());
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args([
            "serve",
            "--grace",
            "1s",
            "--listen",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(data.path())
        .env("DORMOUSE_CACHE", cache.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut log = BufReader::new(daemon.stderr.take().expect("it is piped"));
    let mut until = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let length = log.read_line(&mut line).expect("it is text");
            assert!(length > 0, "it ended before it said {words:?}");
        }
        line
    };
    let said = until("export DORMOUSE_URL=");
    let (_, url) = said.trim().split_once("DORMOUSE_URL=").expect("an address");
    let mut submit = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(["submit", "--url", url])
        .arg(slow_to_make(modules.path()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let said = until("resumable: once, about ");
    assert!(said.contains("making module "), "{said}");
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("it is text");
    assert_eq!(daemon.wait().expect("it ends").code(), Some(0), "{rest}");
    let left: Vec<_> = std::fs::read_dir(cache.path())
        .expect("it is there")
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // Its daemon has gone.
    assert_eq!(submit.wait().expect("it ends").code(), Some(74));
}
