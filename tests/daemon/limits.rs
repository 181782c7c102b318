//! Tasks that take without end in one daemon: each ends with its limit named, and the daemon serves others.

use serde_json::json;

use crate::support::{Daemon, folder};

#[test]
fn fifty_hostile_tasks_end_and_another_is_served() {
    let data = folder();
    let work = folder();
    let daemon = Daemon::start(data.path(), &["--limit", "file-size=1M"]);
    let dirs = json!([{"host": work.path(), "guest": "/work"}]);
    let kinds = [
        ("stdout", json!({"output": "200K"}), "output=200K"),
        ("file", json!({}), "file-size=1M"),
        ("files", json!({"files": "20"}), "files=20"),
        ("sleep", json!({"time": "500ms"}), "time=500ms"),
        ("spin", json!({"cpu": "300ms"}), "cpu=300ms"),
        ("memory", json!({"memory": "40M"}), "memory=40M"),
        ("stack", json!({"cpu": "10s"}), "stack=8M"),
    ];
    let tasks: Vec<(u64, &str)> = (0..50)
        .map(|number| {
            let (what, limits, says) = &kinds[number % kinds.len()];
            let more = json!({"limits": limits, "dirs": dirs});
            (daemon.submit("bug_hostile", &[what], more), *says)
        })
        .collect();
    let served = daemon.submit("c_hello_sleep", &[], json!({}));
    daemon.until(served, "exited");
    assert_eq!(daemon.output(served), "hello\nbye\n");
    for (id, says) in tasks {
        let task = daemon.until_that(&format!("task {id} is over"), || {
            let task = daemon.task(id);
            ["exited", "failed"]
                .contains(&task["state"].as_str().expect("a state"))
                .then_some(task)
        });
        let error = task["error"].as_str().unwrap_or_default();
        assert!(error.contains(says), "{says}: {task:#}");
    }
}

#[test]
fn a_task_that_reaches_a_limit_can_be_paused() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let more = json!({"limits": {"time": "300ms"}, "on_limit": "pause"});
    let id = daemon.submit("bug_hostile", &["sleep"], more);
    let task = daemon.until(id, "paused");
    assert!(
        task["error"].as_str().expect("why").contains("time=300ms"),
        "{task:#}"
    );
}

#[test]
fn a_task_that_fails_is_started_anew_and_one_that_ends_well_is_not() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let failing = daemon.submit(
        "bug_hostile",
        &["nothing"],
        json!({"restart": "on-failure"}),
    );
    let well = daemon.submit("c_hello_sleep", &[], json!({"restart": "on-failure"}));
    daemon.until_that("it was started three times", || {
        let task = daemon.task(failing);
        (task["runs"].as_u64() >= Some(3)).then_some(())
    });
    assert_eq!(daemon.act(failing, "kill").0, 200);
    assert_eq!(
        daemon.until(failing, "failed")["restarts"].as_u64() >= Some(2),
        true
    );
    assert_eq!(daemon.until(well, "exited")["runs"], 1);
}

#[test]
fn limits_of_the_process_are_refused_for_a_task() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let task = json!({"module": daemon.upload("c_exit"), "args": ["x"], "limits": {"stack": "1M"}});
    let (status, answer) = daemon.json(ureq::http::Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 400);
    assert!(
        answer["error"]
            .as_str()
            .expect("why")
            .contains("serve --limit stack=1M"),
        "{answer}"
    );
}
