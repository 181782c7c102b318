//! Commands for several tasks, lists of them, their output's last lines, and their runs.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::guest;

fn asleep(daemon: &Daemon, names: &[&str]) {
    for name in names {
        daemon.submit(
            "ex_nap",
            &[],
            json!({"name": name, "schedule": {"at": "2200-01-01T00:00:00Z"}}),
        );
    }
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn several_are_named_or_matched_and_each_is_told() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    asleep(&daemon, &["web-1", "web-2", "db", "web-10"]);
    // By name and number, in the order given; the exit code is that of the first that could not be.
    let output = daemon.command(&["pause", "db", "nobody", "1", "99"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(
        lines[0].contains("task 3 is paused") && lines[2].contains("task 1 is paused"),
        "{said}"
    );
    assert!(
        lines[1].contains("nobody: there is no task") && lines[3].contains("99: there is no task"),
        "{said}"
    );
    let output = daemon.command(&["resume", "db", "1"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr).contains("task 1 is hibernated"),
        "{output:?}"
    );
    // By pattern: those that can be paused.
    let output = daemon.command(&["pause", "--name", "web-?"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stderr).lines().count(), 2, "{output:?}");
    let output = daemon.command(&["pause", "--name", "web-*", "--json"]);
    let told = json(&output);
    assert_eq!(
        told,
        json!([{"task": "4", "done": true, "id": 4, "state": "paused"}])
    );
    // By state, and by both.
    let output = daemon.command(&["resume", "--state", "paused", "--name", "*-1*"]);
    assert_eq!(text(&output.stderr).lines().count(), 2, "{output:?}");
    let output = daemon.command(&["kill", "--state", "hibernated,paused"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stderr).lines().count(), 4, "{output:?}");
    let output = daemon.command(&["kill", "--name", "*"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "those that are over are not meant: {output:?}"
    );
    assert!(
        text(&output.stderr).contains("no task matches"),
        "{output:?}"
    );
    let output = daemon.command(&["kill", "--name", "*", "--state", "failed"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let output = daemon.command(&["rm", "--state", "failed"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr).contains("task 4 is removed"),
        "{output:?}"
    );
    assert_eq!(json(&daemon.command(&["ps", "--json"])), json!([]));
    for wrong in [
        &["kill"][..],
        &["kill", "1", "--name", "a"],
        &["rm", "--name", "a b"],
        &["rm", "--state", "lazy"],
    ] {
        let output = daemon.command(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {output:?}");
    }
}

#[test]
fn more_tasks_than_are_asked_for_at_once_are_all_done() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let wasm = guest("ex_nap").display().to_string();
    let output = daemon.command(&["submit", "--count", "1205", "--at", "+1h", &wasm]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = daemon.command(&["kill", "--state", "hibernated"]);
    let said = text(&output.stderr);
    let numbers: Vec<u64> = said
        .lines()
        .filter_map(|line| line.split(' ').nth(2)?.parse().ok())
        .collect();
    assert_eq!(
        numbers,
        (1..=1205).rev().collect::<Vec<_>>(),
        "each once, the newest first"
    );
    let output = daemon.command(&["rm", "--state", "failed"]);
    assert_eq!(text(&output.stderr).lines().count(), 1205);
}

#[test]
fn ps_sorts_goes_on_and_says_that_there_are_more() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    for (name, at) in [
        ("b", "2203-01-01T00:00:00Z"),
        ("c", "2201-01-01T00:00:00Z"),
        ("a", "2202-01-01T00:00:00Z"),
    ] {
        daemon.submit("ex_nap", &[], json!({"name": name, "schedule": {"at": at}}));
    }
    let listed = |arguments: &[&str]| {
        let output = daemon.command(&[&["ps", "--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let tasks = json(&output);
        let names: Vec<String> = tasks
            .as_array()
            .expect("a list")
            .iter()
            .map(|t| t["name"].as_str().unwrap_or("").into())
            .collect();
        (names.join(""), text(&output.stderr))
    };
    assert_eq!(listed(&[]), ("acb".into(), String::new()));
    assert_eq!(
        listed(&["--limit", "3"]),
        ("acb".into(), String::new()),
        "there are no more"
    );
    let (names, said) = listed(&["--limit", "2"]);
    assert_eq!(names, "ac");
    assert!(said.contains("--before 2 shows the next"), "{said}");
    assert_eq!(listed(&["--before", "2"]), ("b".into(), String::new()));
    assert_eq!(listed(&["--sort", "name"]).0, "abc");
    assert_eq!(listed(&["--sort", "wakes"]).0, "cab");
    assert_eq!(listed(&["--sort", "submitted"]).0, "acb");
    let (names, said) = listed(&["--sort", "name", "--limit", "1"]);
    assert_eq!(names, "a");
    assert!(said.contains("1 of 3 tasks"), "{said}");
    assert_eq!(listed(&["--name", "?"]).0, "acb");
    assert_eq!(listed(&["--name", "x*"]).0, "");
    let output = daemon.command(&["ps", "--name", "[ab]"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

/// What has been written, with the times that the API gives.
#[test]
fn logs_end_begin_and_are_stamped_as_asked() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = daemon.submit("ex_sleeper", &["0.2", "0.2", "5"], json!({}));
    daemon.until(id, "exited");
    let id = id.to_string();
    let logs = |arguments: &[&str]| {
        let output = daemon.command(&[&["logs", &id], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout)
    };
    let all = logs(&[]);
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    assert!(lines.len() >= 3, "{all}");
    for tail in [0, 1, 2, lines.len(), lines.len() + 1] {
        let expected = lines[lines.len().saturating_sub(tail)..].concat();
        assert_eq!(logs(&["--tail", &tail.to_string()]), expected, "{tail}");
    }
    assert_eq!(logs(&["-f", "-n", "1"]), lines[lines.len() - 1]);
    let stamped = logs(&["--timestamps"]);
    let mut bare = String::new();
    let mut times = Vec::new();
    for line in stamped.split_inclusive('\n') {
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(
            time.ends_with('Z') && time.len() == "2030-01-31T12:00:00.000Z".len(),
            "{time}"
        );
        times.push(time);
        bare.push_str(rest);
    }
    assert_eq!(bare, all);
    assert!(times.is_sorted(), "{times:?}");
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(first < last, "{times:?}");
    assert_eq!(logs(&["--since", first]), all);
    assert_eq!(logs(&["--since", "1h"]), all);
    let since = logs(&["--since", last]);
    assert!(
        !since.is_empty() && since.len() < all.len() && all.ends_with(&since),
        "{since}"
    );
    assert_eq!(logs(&["--since", "2200-01-01T00:00:00Z"]), "");
    let (status, answer) = daemon.json(
        Method::GET,
        &format!("/v1/tasks/{id}/logs?since=soon"),
        &Value::Null,
    );
    assert_eq!(status, 400, "{answer}");
}

#[test]
fn a_scheduled_task_is_started_now_and_its_runs_are_remembered() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    // Not on the day on which this runs.
    let job = daemon.submit(
        "c_exit",
        &[],
        json!({"name": "job", "schedule": {"every": "0 0 29 2 *"}}),
    );
    let wakes = daemon.task(job)["wakes"].clone();
    let runs = || json(&daemon.command(&["runs", "--json", "job"]));
    assert_eq!(runs()["runs"], json!([]));
    for number in 1..=3_u64 {
        let output = daemon.command(&["start", "job"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text(&output.stderr).contains("starts now"), "{output:?}");
        let found = daemon.until_that("it has run", || {
            let found = runs();
            let newest = found["runs"][0].clone();
            (newest["number"] == number && !newest["ended"].is_null()).then_some(found)
        });
        assert_eq!(found["total"], number);
        let newest = &found["runs"][0];
        assert_eq!(newest["exit_code"], 42, "{newest}");
        assert!(
            newest["started"].as_str() <= newest["ended"].as_str(),
            "{newest}"
        );
        assert!(
            newest["seconds"]
                .as_f64()
                .is_some_and(|seconds| seconds >= 0.0),
            "{newest}"
        );
        // "leaving with 42\n" and what is written at the end: as much as is kept.
        assert_eq!(
            newest["output_bytes"].as_u64().map(|bytes| bytes * number),
            Some(daemon.output(job).len() as u64)
        );
        // The schedule goes on.
        assert_eq!(daemon.until(job, "hibernated")["wakes"], wakes);
    }
    let table = text(&daemon.command(&["runs", "job"]).stdout);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("exit code 42"), "{table}");
    // After a restart as well.
    daemon.kill();
    let daemon = Daemon::start(data.path(), &[]);
    let (_, found) = daemon.json(Method::GET, "/v1/tasks/job/runs", &Value::Null);
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(3), "{found}");

    // One that is to start later starts now; one that runs, is paused or over does not.
    let later = daemon.submit(
        "ex_sleeper",
        &["3600"],
        json!({"schedule": {"at": "2200-01-01T00:00:00Z"}}),
    );
    assert_eq!(daemon.act(later, "start").0, 200);
    daemon.until_that("it sleeps", || {
        (daemon.task(later)["sleeps"] != 0).then_some(())
    });
    let (status, answer) = daemon.act(later, "start");
    assert_eq!(status, 409, "{answer}");
    let (_, found) = daemon.json(
        Method::GET,
        &format!("/v1/tasks/{later}/runs"),
        &Value::Null,
    );
    assert!(
        found["runs"][0]["ended"].is_null() && found["runs"][0]["number"] == 1,
        "{found}"
    );
    daemon.act(later, "pause");
    assert_eq!(daemon.act(later, "start").0, 409);
    daemon.act(later, "kill");
    assert_eq!(daemon.act(later, "start").0, 409);
    let (_, found) = daemon.json(
        Method::GET,
        &format!("/v1/tasks/{later}/runs"),
        &Value::Null,
    );
    assert_eq!(found["runs"][0]["error"], "the task was killed", "{found}");
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(1), "{found}");
    let (status, _) = daemon.json(Method::POST, "/v1/tasks/99/start", &Value::Null);
    assert_eq!(status, 404);
}

/// `submit` of a bad module ended with 64, where `run` ended with 65.
#[test]
fn submit_ends_as_run_does_with_the_same_fault() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let file = |name: &str, bytes: &[u8]| {
        let path = data.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    };
    let junk = file("junk.wasm", b"\0asm\x01\0\0\0junk");
    let text_file = file("text.wasm", b"no module");
    let empty = file("empty.wasm", b"");
    let good = guest("c_exit").display().to_string();
    let import = guest("wat_reference_types").display().to_string();
    let unknown = format!("blake3:{}", "0".repeat(64));
    let other = "1".repeat(64);
    let cases: [(&[&str], i32); 9] = [
        (&[&junk], 65),
        (&[&text_file], 65),
        (&[&empty], 65),
        (&[&import], 65),
        (&["/nowhere.wasm"], 66),
        (&[&unknown], 69),
        (&["--digest", &other, &good], 72),
        (&["--tmpfs", "/t=1T", &good], 80),
        (&["--limit", "nothing=1", &good], 64),
    ];
    for (arguments, code) in cases {
        for command in ["run", "submit"] {
            let output = daemon.command(&[&[command], arguments].concat());
            assert_eq!(
                output.status.code(),
                Some(code),
                "{command} {arguments:?}: {output:?}"
            );
        }
    }
}
