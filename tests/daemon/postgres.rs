//! A daemon whose store is a PostgreSQL database.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_test_support::postgres::Server;
use dormouse_test_support::proxy::proxy;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};

/// What a task that sleeps has written when it is over.
const ROUNDS: &str = "round 0\nround 1\nround 2\n";

/// A server without a care for power failures, and the URL of a database on it.
fn database() -> Option<(Server, String)> {
    let server = Server::start(&["fsync=off"])?;
    let url = server.url(&server.create_database());
    Some((server, url))
}

/// A task that sleeps three times for so many seconds.
fn sleeper(daemon: &Daemon, seconds: &str) -> u64 {
    daemon.submit("ex_sleeper", &[seconds, seconds, "3"], json!({}))
}

/// What a task has written, without how late it was.
fn rounds(daemon: &Daemon, id: u64) -> String {
    let output = daemon.output(id);
    let lines = output.lines().map(|line| {
        let round = line.split(" late").next().unwrap_or_default();
        format!("{round}\n")
    });
    lines.collect()
}

/// Submit, sleep, wake; all is in the database, and another directory finds it there.
#[test]
fn tasks_sleep_in_the_database() {
    let Some((server, url)) = database() else {
        return;
    };
    let options = ["--store", &url, "--hibernate-after", "100ms"];
    let (first, second) = (folder(), folder());
    let daemon = Daemon::start(first.path(), &options);
    let id = sleeper(&daemon, "0.3");
    daemon.until(id, "exited");
    assert_eq!(rounds(&daemon, id), ROUNDS);
    let long = sleeper(&daemon, "2");
    daemon.until_asleep(long, Duration::from_millis(200));
    let refused = Daemon::try_start(first.path(), &options);
    let told = refused.err().expect("the directory is in use");
    assert!(
        told.contains("is in use by another daemon") && told.contains("exit code"),
        "{told}"
    );
    assert_eq!(daemon.stop(), Some(0));
    assert!(!first.path().join("store.sqlite").exists());
    let name = url.rsplit('/').next().expect("a name");
    let stored = server.sql(name, "SELECT count(*) FROM dormouse.tasks");
    assert_eq!(stored, "2");
    let named = [("DORMOUSE_STORE", url.as_str())];
    let daemon = Daemon::try_start_in(&named, second.path(), &[]).expect("it starts");
    daemon.until(long, "exited");
    assert_eq!(rounds(&daemon, long), ROUNDS);
    assert_eq!(rounds(&daemon, id), ROUNDS);
    // An ID is not given again.
    assert!(sleeper(&daemon, "0.1") > long);
}

/// The server is killed and comes back: no task is lost and no line is there twice.
#[test]
fn a_daemon_waits_for_its_database() {
    let Some((server, url)) = database() else {
        return;
    };
    let folder = folder();
    let options = ["--store", &url, "--hibernate-after", "100ms"];
    let daemon = Daemon::start(folder.path(), &options);
    let tasks: Vec<u64> = (0..20).map(|_| sleeper(&daemon, "0.5")).collect();
    std::thread::sleep(Duration::from_millis(300));
    let module = daemon.upload("ex_sleeper");
    server.kill();
    // Some of them are due now.
    std::thread::sleep(Duration::from_secs(2));
    let task = json!({"module": module, "program": "sleeper"});
    let (status, told) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 503, "{told}");
    server.start_again();
    for id in &tasks {
        daemon.until(*id, "exited");
        assert_eq!(rounds(&daemon, *id), ROUNDS, "task {id}");
    }
    let (status, _) = daemon.json(Method::GET, "/v1/stats", &Value::Null);
    assert_eq!(status, 200);
}

/// The answer to a commit is lost, and for two seconds nobody can be asked what became of it. Meanwhile
/// new tasks are refused; in the end no line is missing and none is there twice.
#[test]
fn a_daemon_settles_what_is_in_doubt() {
    const IN_DOUBT: &str = "the answer to a commit was lost";
    const LINES: usize = 100;
    let Some((server, url)) = database() else {
        return;
    };
    let (port, losses) = proxy(server.socket());
    let name = url.rsplit('/').next().expect("a name");
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
    let folder = folder();
    let options = ["--store", &url, "--hibernate-after", "20ms"];
    let daemon = Daemon::start(folder.path(), &options);
    let lines = LINES.to_string();
    let tasks: Vec<u64> = (0..4)
        .map(|_| daemon.submit("ex_sleeper", &["0.05", "0.15", &lines], json!({})))
        .collect();
    let module = daemon.upload("ex_sleeper");
    let task = json!({"module": module, "program": "sleeper", "args": ["0.1"]});
    losses.commits_only.store(true, Ordering::SeqCst);
    let was_in_doubt = || daemon.said().iter().any(|line| line.contains(IN_DOUBT));
    // What is lost may be the answer to a read as well.
    for _ in 0..20 {
        // On a new connection, other answers come first.
        std::thread::sleep(Duration::from_secs(1));
        std::thread::scope(|scope| {
            losses.and_all.store(true, Ordering::SeqCst);
            losses.answer.store(true, Ordering::SeqCst);
            // So that it is most likely the answer to a commit; this one is answered in the end.
            scope.spawn(|| daemon.json(Method::POST, "/v1/tasks", &task));
            daemon.until_that("an answer is lost", || {
                losses.all.load(Ordering::SeqCst).then_some(())
            });
            std::thread::sleep(Duration::from_secs(2));
            let (status, told) = daemon.json(Method::POST, "/v1/tasks", &task);
            assert!(status >= 500, "{status}: {told}");
            losses.all.store(false, Ordering::SeqCst);
        });
        if was_in_doubt() {
            break;
        }
    }
    assert!(was_in_doubt(), "{:#?}", daemon.said());
    let expected: Vec<String> = (0..LINES).map(|line| format!("round {line}\n")).collect();
    for id in &tasks {
        daemon.until(*id, "exited");
        assert_eq!(rounds(&daemon, *id), expected.concat(), "task {id}");
    }
}

/// Who names no database, or one that is not there, is told.
#[test]
fn a_database_that_is_not_there_is_told() {
    let folder = folder();
    for (url, part) in [
        ("nonsense", "names no PostgreSQL database"),
        ("postgres://nobody@127.0.0.1:1/nothing", "cannot be reached"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(["serve", "--listen", "127.0.0.1:0", "--store", url, "--data"])
            .arg(folder.path())
            .output()
            .expect("the binary runs");
        assert!(!output.status.success());
        let told = text(&output.stderr);
        assert!(told.contains(part), "{told}");
    }
}
