//! Tasks whose row in the store is damaged: the daemon starts, all other tasks are listed and go on, and each damaged one
//! says what is wrong with it and can be removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::store::{sqlite, store};
use crate::support::{Daemon, folder, text};

/// What is damaged of a row, and a part of what is said of it.
const DAMAGES: [(&str, &str); 11] = [
    ("spec = x'01c1'", "what it was submitted with"),
    ("spec = x''", "what it was submitted with"),
    ("spec = 'text'", "what it was submitted with"),
    (
        "spec = x'63' || substr(spec, 2)",
        "what it was submitted with",
    ),
    ("status = x'0193ff'", "its status"),
    (
        "status = substr(status, 1, length(status) / 2)",
        "its status",
    ),
    ("state = 42", "its state is 42"),
    ("name = CAST(x'ff' AS TEXT)", "its name"),
    ("module = 999999", "its module"),
    ("version = 'text', state = 77", "its state is 77"),
    ("due = 'text'", "when it is due"),
];

fn damage(data: &Path, id: u64, set: &str) {
    let statement = format!("UPDATE tasks SET {set} WHERE id = {id}");
    sqlite(&data.join("store.sqlite"), &[&statement]);
}

/// A daemon with a task for each damage, all of which sleep; stopped, and then damaged.
fn damaged(data: &Path) -> Vec<u64> {
    let daemon = Daemon::start(data, &["--hibernate-after", "50ms"]);
    let ids: Vec<u64> = DAMAGES
        .iter()
        .map(|_| daemon.submit("ex_sleeper", &["3600"], json!({})))
        .collect();
    for id in &ids {
        daemon.until_asleep(*id, Duration::ZERO);
    }
    assert_eq!(daemon.stop(), Some(0));
    for (id, (set, _)) in ids.iter().zip(DAMAGES) {
        damage(data, *id, set);
    }
    ids
}

fn list(daemon: &Daemon, query: &str) -> Vec<Value> {
    let path = format!("/v1/tasks?limit=1000{query}");
    let (status, page) = daemon.json(Method::GET, &path, &Value::Null);
    assert_eq!(status, 200, "{page}");
    page["tasks"].as_array().expect("tasks").clone()
}

/// All of it: the list in each form, what else shows tasks, and what can be asked of one.
#[test]
fn a_damaged_row_hides_no_other_task_and_says_what_to_do() {
    let data = folder();
    let healthy = {
        let daemon = Daemon::start(data.path(), &["--hibernate-after", "50ms"]);
        let paused = daemon.submit("ex_sleeper", &["3600"], json!({"name": "healthy"}));
        daemon.until(paused, "hibernated");
        assert_eq!(daemon.act(paused, "pause").0, 200);
        let later = daemon.submit("ex_sleeper", &["1", "0", "4"], json!({}));
        assert_eq!(daemon.stop(), Some(0));
        [paused, later]
    };
    let ids = damaged(data.path());
    // The task was also being run when the daemon died, so often that it would be set aside.
    let died: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    fs::write(data.path().join("running"), died).expect("a file");
    let options = ["--hibernate-after", "50ms", "--set-aside-after", "1"];
    let daemon = Daemon::start(data.path(), &options);

    let all = list(&daemon, "");
    assert_eq!(all.len(), ids.len() + healthy.len());
    let told = |id: u64| {
        let task = all
            .iter()
            .find(|task| task["id"] == id)
            .expect("it is listed");
        task["damaged"].as_str().unwrap_or_default().to_string()
    };
    for (id, (set, what)) in ids.iter().zip(DAMAGES) {
        let told = told(*id);
        for part in [
            what,
            &format!("task {id} is damaged"),
            &format!("dormouse rm {id}"),
            "backup",
        ] {
            assert!(told.contains(part), "{set}: {told}");
        }
        assert_eq!(daemon.task(*id)["damaged"], told, "{set}");
    }
    for id in healthy {
        assert_eq!(told(id), "");
    }
    // By state, by name and in what programs read.
    let found = list(&daemon, "&state=paused");
    assert!(found.iter().any(|task| task["id"] == healthy[0]));
    assert_eq!(list(&daemon, "&name=heal*").len(), 1);
    let ps = daemon.command(&["ps"]);
    assert_eq!(ps.status.code(), Some(0), "{ps:?}");
    let lines = text(&ps.stdout);
    assert_eq!(
        lines
            .lines()
            .filter(|line| line.contains("  damaged  "))
            .count(),
        ids.len()
    );
    assert!(lines.contains("healthy"), "{lines}");
    for command in [
        &["ps", "--json"][..],
        &["top", "--once"],
        &["ps", "--sort", "changed"],
    ] {
        let output = daemon.command(command);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let (status, stats) = daemon.json(Method::GET, "/v1/stats", &Value::Null);
    assert_eq!(status, 200, "{stats}");
    let counts = stats["tasks"].as_object().expect("states").values();
    let count: u64 = counts.filter_map(Value::as_u64).sum();
    assert_eq!(count, all.len() as u64, "{stats}");

    // The others go on, and new ones come in.
    daemon.until(healthy[1], "exited");
    assert_eq!(daemon.output(healthy[1]).lines().count(), 4);
    assert_eq!(daemon.act(healthy[0], "resume").0, 200);
    let module = daemon.upload("c_hello_sleep");
    let task = json!({"module": module, "args": ["hello"], "count": 3});
    let (status, batch) = daemon.json(Method::POST, "/v1/batch", &json!([task]));
    assert_eq!(status, 200, "{batch}");
    for task in batch.as_array().expect("tasks") {
        daemon.until(task["id"].as_u64().expect("a number"), "exited");
    }

    for (id, (set, what)) in ids.iter().zip(DAMAGES) {
        let number = id.to_string();
        let shown = daemon.command(&["inspect", &number]);
        assert_eq!(shown.status.code(), Some(0), "{set}: {shown:?}");
        assert!(text(&shown.stdout).contains(what), "{set}: {shown:?}");
        for command in ["pause", "resume", "kill", "start", "runs"] {
            let output = daemon.command(&[command, &number]);
            assert_eq!(output.status.code(), Some(78), "{set}: {output:?}");
            let said = text(&output.stderr);
            assert!(
                said.contains("is damaged") && said.contains("dormouse rm"),
                "{set}: {said}"
            );
        }
        // What is left of it can be saved, but for the one whose module is gone.
        let copy = data.path().join(format!("copy-{id}")).display().to_string();
        let exported = daemon.command(&["export", &number, "-o", &copy]);
        let expected = match what.contains("module") {
            true => 78,
            false => 0,
        };
        assert_eq!(
            exported.status.code(),
            Some(expected),
            "{set}: {exported:?}"
        );
        let removed = daemon.command(&["rm", &number]);
        assert_eq!(removed.status.code(), Some(0), "{set}: {removed:?}");
    }
    assert_eq!(list(&daemon, "").len(), healthy.len() + 3);
    assert_eq!(daemon.stop(), Some(0));
    let checked = store(&["check"], data.path());
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    Daemon::start(data.path(), &[]);
}

/// Nothing is written over: a row that is mended by hand is a task like any other.
#[test]
fn a_damaged_task_stays_as_it_is_in_the_store() {
    let data = folder();
    let ids = damaged(data.path());
    let file = data.path().join("store.sqlite");
    let rows = || {
        sqlite(
            &file,
            &["SELECT group_concat(hex(spec) || hex(status) || quote(state)) FROM tasks"],
        )
    };
    let before = rows();
    let due = format!(
        "UPDATE tasks SET due = 1 WHERE id <> {}",
        ids[ids.len() - 1]
    );
    sqlite(&file, &[&due]);
    let checked = store(&["check"], data.path());
    assert_eq!(checked.status.code(), Some(74), "{checked:?}");
    let found = text(&checked.stdout);
    for id in &ids {
        assert!(found.contains(&format!("task {id} is damaged")), "{found}");
    }
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "50ms"]);
    // Each was due, and was looked at.
    daemon.until_that("the log says it of each that was due", || {
        let said = daemon.said().join("\n");
        let about = |id: &u64| said.contains(&format!("task {id} is damaged"));
        // Three have no state in which they would be started, and one no time.
        (ids.iter().filter(|id| about(id)).count() >= ids.len() - 3).then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(rows(), before);
    let good = sqlite(&file, &["SELECT hex(spec) FROM tasks WHERE state = 42"]);
    damage(data.path(), ids[0], &format!("spec = x'{good}'"));
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "50ms"]);
    assert_eq!(daemon.task(ids[0])["damaged"], Value::Null);
    assert_eq!(daemon.act(ids[0], "kill").0, 200);
    assert_eq!(daemon.task(ids[0])["state"], "failed");
}

/// A move whose record cannot be read hides no other, and keeps none from being resolved.
#[test]
fn a_damaged_record_of_a_move_is_listed() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let later = json!({"schedule": {"at": "2200-01-01T00:00:00Z"}});
    let id = daemon.submit("ex_sleeper", &["0"], later);
    let insert = format!("INSERT INTO moves VALUES (zeroblob(16), {id}, 0, zeroblob(32), x'01c1')");
    sqlite(&data.path().join("store.sqlite"), &[&insert]);
    let (status, moves) = daemon.json(Method::GET, "/v1/moves", &Value::Null);
    assert_eq!(status, 200, "{moves}");
    assert_eq!(moves[0]["task"], id, "{moves}");
    assert!(
        moves[0]["why"].as_str().expect("why").contains("damaged"),
        "{moves}"
    );
    assert_eq!(daemon.command(&["moves"]).status.code(), Some(0));
}
