//! What users ask of tasks, in every state.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::guest;

#[test]
fn a_task_sleeps_in_the_store_and_goes_on() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = daemon.submit("ex_nap", &[], json!({}));
    let task = daemon.until(id, "hibernated");
    assert_eq!(task["waits_for"], "time");
    assert_eq!((&task["runs"], &task["sleeps"]), (&json!(1), &json!(1)));
    assert_eq!(
        daemon.output(id),
        "Good night. I have counted 5050 sheep.\n"
    );
    let task = daemon.until(id, "exited");
    assert_eq!(task["exit_code"], 0);
    assert!(
        daemon
            .output(id)
            .ends_with("Good morning! It is still 5050 sheep.\n")
    );
}

#[test]
fn tasks_are_paused_resumed_killed_and_removed() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "5s"]);
    // One waits in memory, one in the store, one has not begun.
    let warm = daemon.submit("ex_sleeper", &["1", "0", "2"], json!({}));
    let cold = daemon.submit("ex_sleeper", &["6"], json!({}));
    let later = daemon.submit(
        "ex_sleeper",
        &["0"],
        json!({"schedule": {"at": "2200-01-01T00:00:00Z"}}),
    );
    daemon.until(warm, "parked");
    daemon.until(cold, "hibernated");
    daemon.until(later, "hibernated");
    for id in [warm, cold, later] {
        let (status, task) = daemon.act(id, "resume");
        assert_eq!(status, 409, "{task}");
        let (status, task) = daemon.act(id, "pause");
        assert_eq!((status, &task["state"]), (200, &json!("paused")), "{task}");
        let (status, _) = daemon.act(id, "pause");
        assert_eq!(status, 200, "it is as asked for");
    }
    // Their time passes, and they stay.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(daemon.task(warm)["state"], "paused");
    let (status, task) = daemon.act(warm, "resume");
    assert_eq!(status, 200, "{task}");
    daemon.until(warm, "exited");
    assert_eq!(daemon.output(warm).lines().count(), 2);
    let (_, task) = daemon.act(later, "resume");
    assert_eq!(task["wakes"], "2200-01-01T00:00:00.000Z");
    for id in [cold, later] {
        let (status, task) = daemon.act(id, "kill");
        assert_eq!((status, &task["state"]), (200, &json!("failed")), "{task}");
        assert_eq!(task["error"], "the task was killed");
        let (status, task) = daemon.act(id, "kill");
        assert_eq!(status, 409, "{task}");
    }
    let path = |id| format!("/v1/tasks/{id}");
    for id in [warm, cold, later] {
        assert_eq!(daemon.json(Method::DELETE, &path(id), &Value::Null).0, 204);
        assert_eq!(daemon.json(Method::GET, &path(id), &Value::Null).0, 404);
    }
    let (_, stats) = daemon.json(Method::GET, "/v1/stats", &Value::Null);
    let counts = stats["tasks"].as_object().expect("counts");
    assert!(counts.values().all(|count| *count == 0), "{stats}");
}

#[test]
fn a_guest_that_computes_delays_nobody_and_can_be_killed() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--workers", "1", "--grace", "1s"]);
    // It writes now and then, and never waits.
    let endless = daemon.submit("ex_spin", &["1000000"], json!({}));
    let killed = daemon.submit("ex_spin", &["1000000"], json!({}));
    daemon.until(endless, "running");
    let started = Instant::now();
    let nap = daemon.submit("ex_sleeper", &["0.1", "0", "3"], json!({}));
    daemon.until(nap, "exited");
    assert!(started.elapsed() < Duration::from_secs(10));
    let (status, task) = daemon.act(endless, "pause");
    assert_eq!(status, 202, "{task}");
    let remove = daemon.json(
        Method::DELETE,
        &format!("/v1/tasks/{endless}"),
        &Value::Null,
    );
    assert_eq!(remove.0, 409, "{remove:?}");
    daemon.act(killed, "kill");
    let task = daemon.until(killed, "failed");
    assert_eq!(task["error"], "the task was killed");
    assert_eq!(daemon.stop(), Some(0), "it is not waited for");
}

#[test]
fn a_schedule_starts_a_task_again_and_again() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    // Every second: of six fields the first is the second.
    let id = daemon.submit(
        "c_args_env",
        &[],
        json!({"schedule": {"every": "* * * * * *"}, "name": "often"}),
    );
    let task = daemon.until_that("it ran three times", || {
        let task = daemon.task(id);
        (task["runs"].as_u64() >= Some(3)).then_some(task)
    });
    assert_eq!(task["spec"]["schedule"]["every"], "* * * * * *");
    let (status, task) = daemon.act(id, "kill");
    assert_eq!((status, &task["state"]), (200, &json!("failed")), "{task}");
    let runs = task["runs"].clone();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(
        daemon.task(id)["runs"],
        runs,
        "a killed task does not start again"
    );
}

#[test]
fn an_exported_task_is_a_copy_that_goes_on_anywhere() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = daemon.submit("ex_nap", &[], json!({}));
    daemon.until(id, "hibernated");
    let file = data.path().join("copy");
    let name = file.to_str().expect("UTF-8");
    let output = daemon.command(&["export", &id.to_string(), "-o", name]);
    assert!(output.status.success(), "{output:?}");
    // As a file, in a process of its own.
    let output = daemon.command(&["resume", name]);
    assert_eq!(
        text(&output.stdout),
        "Good morning! It is still 5050 sheep.\n"
    );
    assert!(
        text(&output.stderr).contains("this is a copy of task"),
        "{output:?}"
    );
    // In another daemon.
    let elsewhere = folder();
    let other = Daemon::start(elsewhere.path(), &[]);
    let output = other.command(&["import", name, "--name", "copy"]);
    assert!(output.status.success(), "{output:?}");
    let copy: u64 = text(&output.stdout).trim().parse().expect("a number");
    let task = other.until(copy, "exited");
    let origin = task["forked_from"].as_str().expect("where from");
    assert!(origin.contains(&format!("/{id}@")), "{origin}");
    assert_eq!(
        other.output(copy),
        "Good morning! It is still 5050 sheep.\n"
    );
    daemon.until(id, "exited");
}

#[test]
fn a_task_moves_between_engines() {
    if !cfg!(feature = "wasmedge") {
        return;
    }
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = daemon.submit("ex_nap", &[], json!({"engine": "wasmedge"}));
    daemon.until(id, "hibernated");
    let path = format!("/v1/tasks/{id}/snapshot");
    let (status, snapshot) = daemon.ask(Method::GET, &path, &[]);
    assert_eq!(status, 200);
    let (status, copy) = daemon.ask(Method::POST, "/v1/snapshots", &snapshot);
    assert_eq!(status, 201, "{}", text(&copy));
    let copy: Value = serde_json::from_slice(&copy).expect("JSON");
    let copy = copy["id"].as_u64().expect("a number");
    for id in [id, copy] {
        daemon.until(id, "exited");
        assert!(
            daemon
                .output(id)
                .ends_with("Good morning! It is still 5050 sheep.\n")
        );
    }
}

#[test]
fn one_daemon_has_a_store() {
    let data = folder();
    let _daemon = Daemon::start(data.path(), &[]);
    let Err(said) = Daemon::try_start(data.path(), &[]) else {
        panic!("two daemons have one store");
    };
    assert!(said.contains("is in use by process"), "{said}");
    assert!(said.contains("exit code Some(74)"), "{said}");
}

#[test]
fn a_task_whose_directory_is_gone_is_kept_until_it_is_back() {
    let data = folder();
    let dir = tempfile::tempdir().expect("a folder");
    let inside = dir.path().join("files");
    std::fs::create_dir(&inside).expect("it is made");
    let daemon = Daemon::start(data.path(), &[]);
    let host = inside.to_str().expect("UTF-8");
    let dirs = json!([{"host": host, "guest": "/data"}]);
    let id = daemon.submit("ex_sleeper", &["2"], json!({"mounts": dirs}));
    daemon.until(id, "hibernated");
    let away = dir.path().join("away");
    std::fs::rename(&inside, &away).expect("it is renamed");
    let task = daemon.until(id, "paused");
    let error = task["error"].as_str().expect("why");
    assert!(error.contains("cannot be resumed"), "{error}");
    std::fs::rename(&away, &inside).expect("it is renamed");
    daemon.act(id, "resume");
    assert_eq!(daemon.until(id, "exited")["exit_code"], 0);
}

#[test]
fn a_trap_and_a_full_memory_fail_the_task_alone() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let trap = daemon.submit("c_trap", &[], json!({}));
    let task = daemon.until(trap, "failed");
    assert!(
        task["error"].as_str().expect("why").contains("trap"),
        "{task}"
    );
    // It wants more than it may have, and is told so by its own allocator.
    let id = daemon.submit("c_memory", &[], json!({"limits": {"memory": "128K"}}));
    daemon.until_that("it ends", || {
        let task = daemon.task(id);
        ["exited", "failed"]
            .iter()
            .any(|state| task["state"] == *state)
            .then_some(task)
    });
    assert_ne!(daemon.task(id)["exit_code"], 0);
    let wasm = guest("c_memory");
    assert!(wasm.exists());
}

/// More tasks wait in memory than there are places for instances.
#[test]
fn a_crowd_that_waits_in_memory_shares_the_places() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "1h"]);
    let module = daemon.upload("ex_sleeper");
    let task =
        json!([{"module": module, "program": "sleeper", "args": ["0.5", "1", "4"], "count": 2500}]);
    let (status, _) = daemon.json(Method::POST, "/v1/batch", &task);
    assert_eq!(status, 200);
    daemon.until_that("all are over", || {
        let (_, stats) = daemon.json(Method::GET, "/v1/stats", &Value::Null);
        (stats["tasks"]["exited"] == 2500).then_some(())
    });
    assert_eq!(daemon.output(1).lines().count(), 4);
}

#[test]
fn tasks_are_listed_by_the_state_that_they_have_now() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--grace", "1s"]);
    let running = daemon.submit("ex_spin", &["1000000"], json!({}));
    let parked = daemon.submit("ex_sleeper", &["0.9", "0", "100"], json!({}));
    let asleep = daemon.submit("ex_sleeper", &["1000"], json!({}));
    daemon.until(parked, "parked");
    daemon.until(asleep, "hibernated");
    for (state, id) in [("running", running), ("hibernated", asleep)] {
        let path = format!("/v1/tasks?state={state}");
        let (_, page) = daemon.json(Method::GET, &path, &Value::Null);
        let ids: Vec<_> = page["tasks"]
            .as_array()
            .expect("tasks")
            .iter()
            .map(|t| &t["id"])
            .collect();
        assert!(ids.contains(&&json!(id)), "{state}: {page}");
        assert!(
            ids.iter()
                .all(|found| **found == json!(id) || **found == json!(parked)),
            "{page}"
        );
    }
    let task = daemon.until_that("it waits in memory", || {
        let task = daemon.task(parked);
        (task["state"] == "parked").then_some(task)
    });
    assert_eq!(task["waits_for"], "time", "{task}");
    assert!(task["memory"].as_u64() > Some(0), "{task}");
}

#[test]
fn tasks_that_are_over_go_when_their_time_has_come() {
    let data = folder();
    let id = {
        let daemon = Daemon::start(data.path(), &[]);
        let id = daemon.submit("c_args_env", &[], json!({}));
        daemon.until(id, "exited");
        daemon.stop();
        id
    };
    let daemon = Daemon::start(data.path(), &["--retain", "0s"]);
    daemon.until_that("it is gone", || {
        let (status, _) = daemon.json(Method::GET, &format!("/v1/tasks/{id}"), &Value::Null);
        (status == 404).then_some(())
    });
}

/// Its handlers came after the address was said, so that a signal in between ended it as it was, without putting
/// anything to sleep.
#[test]
fn a_daemon_hears_signals_before_it_says_that_it_serves() {
    let data = folder();
    for _ in 0..20 {
        let daemon = Daemon::start(data.path(), &[]);
        assert_eq!(daemon.stop(), Some(0));
    }
}
