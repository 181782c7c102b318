//! Everything at once: whatever is asked of tasks in whatever order, each ends as it should.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder};

const TASKS: u64 = 120;
const ROUNDS: usize = 5;

#[test]
fn a_storm_of_requests_leaves_every_task_whole() {
    let data = folder();
    // Waits in memory and in the store, few places in memory, checkpoints all the time.
    let options = [
        "--hibernate-after",
        "60ms",
        "--checkpoint",
        "50ms",
        "--max-warm-memory",
        "2M",
    ];
    let daemon = Daemon::start(data.path(), &options);
    let module = daemon.upload("ex_sleeper");
    let rounds = ROUNDS.to_string();
    let task = json!({"module": module, "program": "sleeper", "args": ["0.02", "0.4", rounds], "count": TASKS});
    let (status, _) = daemon.json(Method::POST, "/v1/batch", &json!([task]));
    assert_eq!(status, 200);
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..150 {
                    let id = random.u64(1..=TASKS);
                    let (status, answer) = match random.u8(..10) {
                        0..4 => daemon.act(id, "pause"),
                        4..8 => daemon.act(id, "resume"),
                        8 if id.is_multiple_of(5) => daemon.act(id, "kill"),
                        _ => {
                            let path = format!("/v1/tasks/{id}/snapshot");
                            let (status, bytes) = daemon.ask(Method::GET, &path, &[]);
                            assert!(status != 200 || bytes.starts_with(b"dormouse"));
                            (status, Value::Null)
                        }
                    };
                    // Done, or not possible in its state; never anything else.
                    assert!(
                        [200, 202, 409].contains(&status),
                        "task {id}: {status} {answer}"
                    );
                }
            });
        }
    });
    let over = |task: &Value| task["state"] == "exited" || task["state"] == "failed";
    let tasks = daemon.until_that("all are over", || {
        let (_, page) = daemon.json(Method::GET, "/v1/tasks?limit=1000", &Value::Null);
        let tasks = page["tasks"].as_array().expect("tasks").clone();
        for task in tasks.iter().filter(|task| task["state"] == "paused") {
            assert_eq!(task["error"], Value::Null, "{task}");
            daemon.act(task["id"].as_u64().expect("a number"), "resume");
        }
        tasks.iter().all(over).then_some(tasks)
    });
    assert_eq!(tasks.len() as u64, TASKS);
    for task in tasks {
        let id = task["id"].as_u64().expect("a number");
        let output = daemon.output(id);
        let lines: Vec<&str> = output.lines().collect();
        for (round, line) in lines.iter().enumerate() {
            assert!(
                line.starts_with(&format!("round {round} ")),
                "task {id}:\n{output}"
            );
        }
        match task["state"] == "exited" {
            true => assert_eq!(lines.len(), ROUNDS, "task {id}:\n{output}"),
            false => assert_eq!(task["error"], "the task was killed"),
        }
    }
    // The counts agree with the list, whatever has happened.
    let (_, stats) = daemon.json(Method::GET, "/v1/stats", &Value::Null);
    let counts = stats["tasks"].as_object().expect("counts");
    let sum: u64 = counts.values().filter_map(Value::as_u64).sum();
    assert_eq!(sum, TASKS, "{stats}");
    assert_eq!(stats["warm_memory"], 0, "{stats}");
}

/// A pause that was answered holds, whatever the task was doing when it was asked: sleeping in memory or in
/// the store, being written down, on its way to the disk.
#[test]
fn a_pause_that_was_answered_holds() {
    let data = folder();
    let options = ["--hibernate-after", "30ms", "--checkpoint", "20ms"];
    let daemon = Daemon::start(data.path(), &options);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let id = daemon.submit("ex_sleeper", &["0.01", "0.04", "100000"], json!({}));
                daemon.until_that("it has begun", || {
                    (!daemon.output(id).is_empty()).then_some(())
                });
                for _ in 0..60 {
                    std::thread::sleep(std::time::Duration::from_micros(random.u64(0..60_000)));
                    let (status, task) = daemon.act(id, "pause");
                    assert_eq!((status, &task["state"]), (200, &json!("paused")), "{task}");
                    let (status, task) = daemon.act(id, "resume");
                    assert_eq!(status, 200, "{task}");
                }
                let (status, task) = daemon.act(id, "kill");
                assert_eq!((status, &task["state"]), (200, &json!("failed")), "{task}");
                let output = daemon.output(id);
                for (round, line) in output.lines().enumerate() {
                    assert!(line.starts_with(&format!("round {round} ")), "{output}");
                }
            });
        }
    });
}
