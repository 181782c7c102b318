//! Tasks that compute and never wait.

use serde_json::{Value, json};
use ureq::http::Method;

use super::side::pair;
use super::support::{Daemon, folder};

/// What `ex_spin` prints: a line for each round, which is a hundred million steps of a generator. Many steps
/// are one of the same form, so that they need not be made one by one.
fn rounds(count: usize) -> String {
    let (mut factor, mut summand) = (1_u64, 0_u64);
    let (mut double_factor, mut double_summand) =
        (6364136223846793005_u64, 1442695040888963407_u64);
    for bit in 0..27 {
        if 100_000_000_u32 >> bit & 1 == 1 {
            factor = factor.wrapping_mul(double_factor);
            summand = summand
                .wrapping_mul(double_factor)
                .wrapping_add(double_summand);
        }
        double_summand = double_summand.wrapping_mul(double_factor.wrapping_add(1));
        double_factor = double_factor.wrapping_mul(double_factor);
    }
    let mut state = 1_u64;
    let mut lines = String::new();
    for round in 0..count {
        state = state.wrapping_mul(factor).wrapping_add(summand);
        lines.push_str(&format!("round {round}: {state}\n"));
    }
    lines
}

/// Submits `ex_spin` with checks.
fn submit(daemon: &Daemon, count: usize) -> u64 {
    let args = json!([count.to_string()]);
    let module = daemon.upload_as("ex_spin", true);
    let task = json!({"module": module, "program": "ex_spin", "args": args});
    let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{task}");
    task["id"].as_u64().expect("a number")
}

#[test]
fn what_computes_is_killed_at_once() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = daemon.submit("wat_spin", &[], json!({}));
    daemon.until(id, "running");
    let (status, task) = daemon.act(id, "kill");
    assert_eq!((status, &task["state"]), (200, &json!("failed")), "{task}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_computes_is_paused_and_goes_on() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = submit(&daemon, 4);
    daemon.until(id, "running");
    let (status, task) = daemon.act(id, "pause");
    assert_eq!((status, &task["state"]), (200, &json!("paused")), "{task}");
    assert!(task["snapshot_bytes"].as_u64() > Some(0), "{task}");
    let (status, task) = daemon.act(id, "resume");
    assert_eq!(status, 200, "{task}");
    daemon.until(id, "exited");
    assert_eq!(daemon.output(id), rounds(4));
}

/// A daemon that is killed goes on with a computation where it was last saved, and one that ends
/// writes it down first.
#[test]
fn a_computation_outlives_the_daemon() {
    let data = folder();
    let options = ["--checkpoint", "100ms"];
    let id = {
        let daemon = Daemon::start(data.path(), &options);
        let id = submit(&daemon, 60);
        daemon.until_that("it has been saved with some output", || {
            let task = daemon.task(id);
            (task["output_bytes"].as_u64() > Some(0)).then_some(())
        });
        daemon.kill();
        id
    };
    let sleeps = {
        let daemon = Daemon::start(data.path(), &options);
        let task = daemon.task(id);
        let before = daemon.output(id);
        assert!(!before.is_empty());
        let sleeps = daemon.until_that("it goes on", || {
            let now = daemon.task(id);
            (now["sleeps"].as_u64() > task["sleeps"].as_u64()).then(|| now["sleeps"].clone())
        });
        assert_eq!(daemon.stop(), Some(0));
        sleeps
    };
    let daemon = Daemon::start(data.path(), &["--checkpoint", "1h"]);
    assert!(daemon.task(id)["sleeps"].as_u64() > sleeps.as_u64());
    assert_eq!(daemon.task(id)["runs"], 1, "it never began anew");
    daemon.until(id, "exited");
    assert_eq!(daemon.output(id), rounds(60));
}

/// Two threads at most, and four that never end: each has its turns.
#[test]
fn computations_take_turns() {
    let data = folder();
    let options = ["--workers", "1", "--max-workers", "2"];
    let daemon = Daemon::start(data.path(), &options);
    let ids: Vec<u64> = (0..4).map(|_| submit(&daemon, 1_000_000)).collect();
    daemon.until_that("all have printed something", || {
        let mut ids = ids.iter();
        ids.all(|id| !daemon.output(*id).is_empty()).then_some(())
    });
    for id in ids {
        let (status, task) = daemon.act(id, "kill");
        assert_eq!((status, &task["state"]), (200, &json!("failed")), "{task}");
        let path = format!("/v1/tasks/{id}");
        assert_eq!(daemon.json(Method::DELETE, &path, &Value::Null).0, 204);
    }
}

/// Computes until the file `go` is there, sleeps for 50 ms, and says so.
const UNTIL_GO: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $stat (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "go")
  (data (i32.const 16) "slept\n")
  ;; A subscription to the monotonic clock (1), for 50 ms from now.
  (data (i32.const 80) "\01\00\00\00\00\00\00\00\80\f0\fa\02\00\00\00\00")
  (data (i32.const 128) "\10\00\00\00\06\00\00\00")
  (func (export "_start")
    (loop $again
      (br_if $again
        (call $stat (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 256))))
    (drop (call $poll (i32.const 64) (i32.const 192) (i32.const 1) (i32.const 248)))
    (drop (call $write (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 248)))))"#;

/// A move that a task was too late for is over: the task stops, is not moved, and goes on here.
#[test]
fn what_stops_too_late_for_its_move_goes_on_here() {
    let [a, b] = pair(&["--hibernate-after", "0s"]);
    let shared = folder();
    let dir = shared.path().to_str().expect("UTF-8");
    b.trusts("other", &a, json!({"dirs": [dir]}));
    let wasm = wat::parse_str(UNTIL_GO).expect("the text is right");
    let module = a.daemon().upload_bytes(&wasm, false);
    let task = json!({"module": module, "mounts": [{"host": dir, "guest": "/"}]});
    let (status, task) = a.daemon().json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{task}");
    let id = task["id"].as_u64().expect("a number");
    a.daemon().until(id, "running");
    let path = format!("/v1/tasks/{id}/migrate");
    let asked = json!({"to": "other", "patience": 0.1});
    let (status, refused) = a.daemon().json(Method::POST, &path, &asked);
    assert_eq!(status, 409, "{refused}");
    let text = refused["error"].as_str().expect("a message");
    assert!(
        text.contains("did not stop within 100ms; it stays here"),
        "{text}"
    );
    std::fs::write(shared.path().join("go"), "").expect("a file");
    a.daemon().until(id, "exited");
    assert_eq!(a.daemon().output(id), "slept\n");
    a.daemon()
        .until_that("the move is over", || a.moves().is_empty().then_some(()));
    assert_eq!(b.states(), Vec::<String>::new());
}
