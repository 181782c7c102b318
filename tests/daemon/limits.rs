//! Tasks that take without end in one daemon: each ends with its limit named, and the daemon serves others.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};

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
            let more = json!({"limits": limits, "mounts": dirs});
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

/// What a paused task is given more of, it has in the next daemon too; and to resume it without more costs nothing.
#[test]
fn a_paused_task_gets_more_by_a_command_and_keeps_it() {
    for engine in dormouse_test_support::engines() {
        let data = folder();
        let daemon = Daemon::start(data.path(), &["--engine", engine]);
        let module = daemon.upload_as("bug_hostile", true);
        let task = json!({
            "module": module, "program": "x", "args": ["spin"], "limits": {"cpu": "200ms"}, "on_limit": "pause",
        });
        let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
        assert_eq!(status, 201, "{task}");
        let id = task["id"].as_u64().expect("a number");
        let why = |task: &Value| task["error"].as_str().unwrap_or_default().to_string();
        let task = daemon.until(id, "paused");
        assert!(why(&task).contains("the limit cpu=200ms"), "{task:#}");
        // It has used more than that: it goes on nowhere, and is there as it was.
        for _ in 0..5 {
            assert_eq!(daemon.act(id, "resume").0, 200);
            let task = daemon.until(id, "paused");
            assert!(why(&task).contains("the limit cpu=200ms"), "{task:#}");
        }
        let wrong = daemon.command(&["resume", &id.to_string(), "--limit", "stack=1M"]);
        assert_eq!(wrong.status.code(), Some(64), "{}", text(&wrong.stderr));
        let more = daemon.command(&["resume", &id.to_string(), "--limit", "cpu=500ms"]);
        assert_eq!(more.status.code(), Some(0), "{}", text(&more.stderr));
        let task = daemon.until_that("it is paused with the new limit", || {
            let task = daemon.task(id);
            (task["state"] == "paused" && why(&task).contains("cpu=500ms")).then_some(task)
        });
        assert_eq!(task["spec"]["limits"], json!({"cpu": "500ms"}), "{task:#}");
        daemon.kill();

        let daemon = Daemon::start(data.path(), &["--engine", engine]);
        assert_eq!(daemon.task(id)["spec"]["limits"], json!({"cpu": "500ms"}));
        assert_eq!(daemon.act(id, "resume").0, 200);
        let task = daemon.until(id, "paused");
        assert!(why(&task).contains("the limit cpu=500ms"), "{task:#}");
        let end = json!({"limits": {"cpu": "700ms"}, "on_limit": "end"});
        let (status, _) = daemon.json(Method::POST, &format!("/v1/tasks/{id}/resume"), &end);
        assert_eq!(status, 200);
        let task = daemon.until(id, "failed");
        assert!(why(&task).contains("the limit cpu=700ms"), "{task:#}");
    }
}

/// It was looked at only when somebody knocked, and its time had been over for long.
#[test]
fn a_sleeping_server_ends_at_its_limit_of_time() {
    let data = folder();
    let address = dormouse_test_support::ports::free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let more = json!({"network": {"listen": [address]}, "limits": {"time": "1s"}});
    let id = daemon.submit("ex_greeter", &[], more);
    let task = daemon.until(id, "failed");
    assert!(task["sleeps"].as_u64() > Some(0), "{task:#}");
    assert!(
        task["error"].as_str().expect("why").contains("time=1s"),
        "{task:#}"
    );
}

/// What is kept of a paused task is its connections too, however often it is resumed with nothing left.
#[test]
fn a_task_that_stays_paused_keeps_its_connections() {
    use std::io::{BufRead, BufReader, Write};
    let data = folder();
    let address = dormouse_test_support::ports::free_address();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let more =
        json!({"network": {"listen": [address]}, "limits": {"time": "2s"}, "on_limit": "pause"});
    let id = daemon.submit("ex_greeter", &[], more);
    daemon.until(id, "hibernated");
    let stream = std::net::TcpStream::connect(&address).expect("somebody listens");
    let patience = Some(std::time::Duration::from_secs(30));
    stream.set_read_timeout(patience).expect("a socket");
    let mut stream = BufReader::new(stream);
    let mut ask = |what: &str| {
        writeln!(stream.get_mut(), "{what}").expect("it is sent");
        let mut answer = String::new();
        stream.read_line(&mut answer).expect("an answer");
        answer
    };
    assert_eq!(ask("before"), "1: before\n");
    daemon.until(id, "paused");
    for _ in 0..3 {
        assert_eq!(daemon.act(id, "resume").0, 200);
        let task = daemon.until(id, "paused");
        let why = task["error"].as_str().expect("why");
        assert!(why.starts_with("the limit time=2s was reached"), "{why}");
    }
    let end = json!({"limits": {"time": "1d"}});
    let (status, _) = daemon.json(Method::POST, &format!("/v1/tasks/{id}/resume"), &end);
    assert_eq!(status, 200);
    assert_eq!(ask("after"), "2: after\n");
}

/// A period that is over is forgotten; what it was for is not.
#[test]
fn a_limit_for_a_period_pauses_and_the_next_period_lets_it_go_on() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = daemon.upload_as("bug_hostile", true);
    let task =
        json!({"module": module, "program": "x", "args": ["spin"], "limits": {"cpu": "300ms/6s"}});
    let (_, task) = daemon.json(Method::POST, "/v1/tasks", &task);
    let id = task["id"].as_u64().expect("a number");
    let task = daemon.until(id, "paused");
    let why = task["error"].as_str().expect("why");
    assert!(why.contains("the limit cpu=300ms/6s was reached"), "{why}");
    assert!(why.contains("in each 6s since its start"), "{why}");
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert_eq!(daemon.act(id, "resume").0, 200);
    daemon.until_that("it runs again", || {
        (daemon.task(id)["state"] == "running").then_some(())
    });
    daemon.until(id, "paused");
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
    let restarts = daemon.until(failing, "failed")["restarts"].as_u64();
    assert!(restarts >= Some(2), "{restarts:?}");
    assert_eq!(daemon.until(well, "exited")["runs"], 1);
}

/// Grants of a task file's through the API: over hibernation, and what is none is refused.
#[test]
fn directories_are_read_only_and_modules_known_by_their_digest() {
    let data = folder();
    let work = folder();
    std::fs::write(work.path().join("file"), "text").expect("a file");
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "0s"]);
    let module = dormouse_test_support::guest("bug_grants")
        .display()
        .to_string();
    let dir = format!("{}::/a:ro", work.path().display());
    let submit = |module: &str, what: &[&str]| {
        let flags = [
            "submit", "--clocks", "virtual", "--random", "seed=1", "--dir", &dir, module,
        ];
        let output = daemon.command(&[&flags[..], what].concat());
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let unknown = format!("blake3:{}", "1".repeat(64));
    let (code, _, said) = submit(&unknown, &["hold", "r"]);
    assert_eq!(code, Some(69), "{said}");
    let (code, id, said) = submit(&module, &["hold", "r"]);
    assert_eq!(code, Some(0), "{said}");
    let id: u64 = id.trim().parse().expect("a number");
    let task = daemon.until(id, "exited");
    assert_eq!(task["spec"]["mounts"][0]["read_only"], true, "{task:#}");
    assert_eq!(
        (&task["spec"]["clocks"], &task["spec"]["random"]),
        (&json!("virtual"), &json!("seed=1"))
    );
    assert!(task["sleeps"].as_u64() > Some(0), "{task:#}");
    assert_eq!(daemon.output(id).matches("mkdir made: 69").count(), 2);
    assert_eq!(
        std::fs::read_dir(work.path()).expect("a listing").count(),
        1
    );

    let bytes = std::fs::read(&module).expect("a guest");
    let digest = format!("blake3:{}", blake3::hash(&bytes).to_hex());
    let (code, known, said) = submit(&digest, &["world"]);
    assert_eq!(code, Some(0), "{said}");
    let known: u64 = known.trim().parse().expect("a number");
    let first = daemon.until(known, "exited");
    assert_eq!(first["module"], task["module"]);
    assert!(daemon.output(known).starts_with("1000 946684800000002000 "));
    // By what the daemon itself calls it, too.
    let resumable = format!("blake3:{}", task["module"].as_str().expect("a digest"));
    assert_eq!(submit(&resumable, &["world"]).0, Some(0));

    for (key, value) in [("clocks", "stopped"), ("random", "42")] {
        let mut task = json!({"module": task["module"], "program": "x"});
        task[key] = json!(value);
        assert_eq!(daemon.json(Method::POST, "/v1/tasks", &task).0, 400);
    }
    let twice = json!([{"host": "/tmp", "guest": "/a"}, {"host": "/", "guest": "/a"}]);
    let task = json!({"module": task["module"], "program": "x", "mounts": twice});
    assert_eq!(daemon.json(Method::POST, "/v1/tasks", &task).0, 400);
}

#[test]
fn limits_of_the_process_are_refused_for_a_task() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let task =
        json!({"module": daemon.upload("c_exit"), "program": "x", "limits": {"stack": "1M"}});
    let (status, answer) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 400);
    assert!(
        answer["error"]
            .as_str()
            .expect("why")
            .contains("serve --limit stack=1M"),
        "{answer}"
    );
    // A directory in memory counts as what it may hold.
    let mut task = json!({"module": daemon.upload("c_exit"), "program": "x"});
    task["tmpfs"] = json!([{"guest": "/t", "size": 1u64 << 40}]);
    let (status, answer) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 400);
    assert!(
        answer["error"].as_str().expect("why").contains("tmpfs=64M"),
        "{answer}"
    );
    task["limits"] = json!({"tmpfs": "2T"});
    assert_eq!(daemon.json(Method::POST, "/v1/tasks", &task).0, 201);
}

/// A form that resumes a task shows what is wrong at its field.
#[test]
fn a_resume_with_a_wrong_limit_names_its_field() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let later = json!({"schedule": {"at": "2200-01-01T00:00:00Z"}});
    let id = daemon.submit("ex_nap", &[], later);
    let path = format!("/v1/tasks/{id}/resume");
    for (more, field) in [
        (json!({"limits": {"cpu": "soon"}}), "limits.cpu"),
        (json!({"limits": {"cpuu": "1s"}}), "limits.cpuu"),
        (json!({"limits": {"stack": "1M"}}), "limits.stack"),
        (json!({"on_limit": "stop"}), "on_limit"),
        (json!({"on_limits": "end"}), "on_limits"),
    ] {
        let (status, answer) = daemon.json(Method::POST, &path, &more);
        assert_eq!(
            (status, answer["field"].as_str()),
            (400, Some(field)),
            "{more}: {answer}"
        );
    }
}
