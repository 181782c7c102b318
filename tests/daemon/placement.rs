//! Which node runs a task: labels, directories and load.

use std::path::PathBuf;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::appender::appender;
use crate::nodes::{Cluster, account, task};
use crate::support::{Daemon, folder, text};

/// Sleeps in the store, each stored by itself.
const IN_STORE: [&str; 2] = ["--hibernate-after", "50ms"];

/// A node at a place of its own, with a label.
fn node(cluster: &Cluster, name: &str, label: &str) -> Daemon {
    let started = cluster.try_node(name, name, &["--label", label]);
    started.unwrap_or_else(|text| panic!("{text}"))
}

/// Submits a guest that leaves a trace at each node that runs it; gives its number.
fn submit(node: &Daemon, more: &Value) -> u64 {
    let mut task = task(&node.upload_bytes(&appender(50), false));
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    let (status, told) = node.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{told}");
    told["id"].as_u64().expect("a number")
}

/// A task that asks for labels runs where they are, whoever is asked to run it, and nowhere else. While
/// they are nowhere, everybody says so.
#[test]
fn a_task_runs_where_its_labels_are() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let nodes = [
        node(&cluster, "a", "zone=eu"),
        node(&cluster, "b", "zone=us"),
    ];
    for (receiver, (zone, there)) in nodes.iter().zip([("us", "b"), ("eu", "a")]) {
        let before = ["a", "b"].map(|name| cluster.effects(name));
        let id = submit(receiver, &json!({"place": {"zone": zone}}));
        account(receiver, id);
        let after = ["a", "b"].map(|name| cluster.effects(name));
        let changed = ["a", "b"].into_iter().zip(before.iter().zip(&after));
        let changed = changed.filter(|(_, (before, after))| before != after);
        let changed: Vec<&str> = changed.map(|(name, _)| name).collect();
        assert_eq!(changed, [there]);
    }
    let id = submit(
        &nodes[0],
        &json!({"name": "far", "place": {"zone": "asia"}}),
    );
    let missing = "no node has zone=asia";
    for node in &nodes {
        node.until_that("it is told what is missing", || {
            (node.task(id)["unplaced"] == missing).then_some(())
        });
        let listed = text(&node.command(&["ps"]).stdout);
        assert!(
            listed.contains("waits for a node") && listed.contains(missing),
            "{listed}"
        );
        let shown = text(&node.command(&["inspect", "far"]).stdout);
        assert!(
            shown.contains(missing) && shown.contains("zone=asia"),
            "{shown}"
        );
        let (_, page) = node.json(Method::GET, "/v1/tasks?name=far", &Value::Null);
        assert_eq!(page["tasks"][0]["unplaced"], missing, "{page}");
    }
    assert_eq!(nodes[1].task(id)["runs"], 0);
    let third = node(&cluster, "c", "zone=asia");
    account(&third, id);
    assert_eq!(third.task(id)["unplaced"], Value::Null);
    assert!(!cluster.effects("c").is_empty());
}

/// A task runs at a node that has its directory. One that is there nowhere is named.
#[test]
fn a_task_runs_where_its_directory_is() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let nodes = [cluster.node("a"), cluster.node("b")];
    // Each node is somewhere else, so that this is another directory at each.
    let host = "/proc/self/cwd/only";
    let made = |name: &str| -> PathBuf { cluster.place(name).join("only") };
    let mount = json!({"mounts": [{"host": host, "guest": "/out"}]});
    let id = submit(&nodes[0], &mount);
    let missing = format!("no node has the directory {host}");
    nodes[1].until_that("it is told what is missing", || {
        (nodes[1].task(id)["unplaced"] == missing.as_str()).then_some(())
    });
    std::fs::create_dir(made("b")).expect("a folder");
    account(&nodes[0], id);
    assert!(made("b").join("log").exists());
    for node in &nodes {
        account(node, submit(node, &mount));
    }
    assert!(!made("a").exists());
}

/// A paused task that any node may change goes on where it can.
#[test]
fn a_task_that_is_resumed_elsewhere_goes_on_where_it_can() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let nodes = [
        node(&cluster, "a", "zone=eu"),
        node(&cluster, "b", "zone=us"),
    ];
    let module = nodes[0].upload_bytes(&appender(400), false);
    let mut task = task(&module);
    task["place"] = json!({"zone": "us"});
    let (status, told) = nodes[0].json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{told}");
    let id = told["id"].as_u64().expect("a number");
    nodes[0].until_that("it acts", || {
        (!cluster.effects("b").is_empty()).then_some(())
    });
    assert_eq!(nodes[0].act(id, "pause").0, 200);
    assert_eq!(nodes[0].act(id, "resume").0, 200);
    account(&nodes[0], id);
    assert_eq!(cluster.effects("a"), "");
}

/// A later build has submitted a task, and this one does not know what that needs: it leaves the task to
/// nodes that do, and says so.
#[test]
fn what_a_later_build_needs_is_left_to_it() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let nodes = [cluster.node("a"), cluster.node("b")];
    let id = submit(
        &nodes[0],
        &json!({"schedule": {"at": "2200-01-01T00:00:00Z"}}),
    );
    cluster.sql(
        "INSERT INTO dormouse.classes (id, digest, needs) VALUES (77, 'later', '{\"form\":2}')",
    );
    let due = |class: u32| {
        let set = format!("UPDATE dormouse.tasks SET class = {class}, due = 0 WHERE id = {id}");
        cluster.sql(&set);
    };
    due(77);
    let known = submit(&nodes[0], &json!({}));
    account(&nodes[1], known);
    for node in &nodes {
        let why = "no node knows what it needs: another build has submitted it";
        node.until_that("it is told", || {
            (node.task(id)["unplaced"] == why).then_some(())
        });
    }
    assert_eq!(nodes[0].task(id)["runs"], 0);
    due(0);
    account(&nodes[0], id);
}

/// A guest that leaves a line and computes for some tenths of a second.
fn computer() -> Vec<u8> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write"
          (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "log")
        (data (i32.const 16) "begun\n")
        (data (i32.const 32) "\10\00\00\00\06\00\00\00")
        (func $check (param i32) (if (local.get 0) (then unreachable)))
        (func (export "_start") (local $left i64)
          (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3)
            (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 1) (i32.const 52)))
          (call $check (call $write (i32.load (i32.const 52)) (i32.const 32) (i32.const 1)
            (i32.const 48)))
          (local.set $left (i64.const 200000000))
          (loop $next
            (local.set $left (i64.sub (local.get $left) (i64.const 1)))
            (br_if $next (i64.ne (local.get $left) (i64.const 0))))))"#;
    wat::parse_str(text).expect("the text is right")
}

/// Tasks that are due at one time are shared by the nodes that have room.
#[test]
fn nodes_share_tasks_that_are_due_at_once() {
    const TASKS: usize = 64;
    let Some(cluster) = Cluster::new(&["--workers", "1", "--max-workers", "1"]) else {
        return;
    };
    let nodes = [cluster.node("a"), cluster.node("b")];
    let both = "both know each other";
    for node in &nodes {
        node.until_that(both, || {
            let (_, told) = node.json(Method::GET, "/v1/nodes", &Value::Null);
            (told["nodes"].as_array()?.len() == 2).then_some(())
        });
    }
    let module = nodes[0].upload_bytes(&computer(), false);
    let tasks = vec![task(&module); TASKS];
    let (status, told) = nodes[0].json(Method::POST, "/v1/batch", &json!(tasks));
    assert_eq!(status, 200, "{told}");
    for task in told.as_array().expect("tasks") {
        nodes[1].until(task["id"].as_u64().expect("a number"), "exited");
    }
    let begun = ["a", "b"].map(|name| cluster.effects(name).lines().count());
    assert_eq!(begun.iter().sum::<usize>(), TASKS);
    assert!(begun.iter().all(|count| *count >= TASKS / 8), "{begun:?}");
}

/// A daemon that has its store for itself is the only one that could run the task, and says at once
/// that it cannot.
#[test]
fn a_daemon_alone_refuses_what_it_cannot_place() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--label", "zone=eu", "--label=disk=ssd"]);
    let guest = dormouse_test_support::guest("ex_nap").display().to_string();
    let submit = |place: &str| daemon.command(&["submit", "--place", place, &guest]);
    let refused = submit("zone=us");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains("no label zone=us"), "{said}");
    let wrong = submit("zone");
    assert_eq!(wrong.status.code(), Some(64));
    assert!(text(&wrong.stderr).contains("KEY=VALUE"));
    let (status, told) = daemon.json(
        Method::POST,
        "/v1/tasks?dry_run=true",
        &json!({"module": "0".repeat(64), "place": {"zone": "us"}}),
    );
    assert_eq!((status, &told["field"]), (400, &json!("place")), "{told}");
    let taken = submit("zone=eu,disk=ssd");
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    let id = text(&taken.stdout);
    daemon.until(id.trim().parse().expect("a number"), "exited");
    let shown = text(&daemon.command(&["inspect", id.trim()]).stdout);
    assert!(shown.contains("disk=ssd zone=eu"), "{shown}");
}
