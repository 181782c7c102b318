//! Nodes that are drained: their tasks go on elsewhere, each line once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_test_support::ports::free_address;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::appender::{ROUNDS, appender};
use crate::nodes::{Cluster, account, submit, task, this_node};
use crate::support::{Daemon, text};

/// What one node says of another.
fn told(node: &Daemon, name: &str) -> Value {
    let (status, told) = node.json(Method::GET, "/v1/nodes", &Value::Null);
    assert_eq!(status, 200, "{told}");
    let nodes = told["nodes"].as_array().expect("nodes");
    let found = nodes.iter().find(|node| node["name"] == name);
    found.unwrap_or_else(|| panic!("{told}")).clone()
}

/// Both nodes know each other.
fn acquainted(nodes: &[&Daemon]) {
    for node in nodes {
        node.until_that("they know each other", || {
            let (_, told) = node.json(Method::GET, "/v1/nodes", &Value::Null);
            (told["nodes"].as_array()?.len() == nodes.len()).then_some(())
        });
    }
}

/// A node is drained by way of another one, with guests that sleep in its memory and guests that sleep
/// in the store: they go on elsewhere, each line once, and it does nothing more. Afterwards it takes work
/// again.
fn is_drained(options: &[&'static str]) {
    let Some(cluster) = Cluster::new(options) else {
        return;
    };
    let drained = cluster.node("a");
    let ids = submit(&drained, 400, 12);
    drained.until_that("its guests act", || {
        (cluster.effects("a").lines().count() >= ids.len()).then_some(())
    });
    let other = cluster.node("b");
    acquainted(&[&drained, &other]);
    let output = other.command(&["drain", "--node", "a", "--patience", "120s"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("has no tasks"), "{output:?}");
    assert_eq!(cluster.owned(&drained), 0);
    let before = cluster.effects("a");
    for id in &ids {
        account(&other, *id);
    }
    let after = cluster.effects("b");
    assert_eq!(
        cluster.effects("a"),
        before,
        "it acted for a task of another's"
    );
    // Nobody has died, so that each effect is there once.
    let effects = before.lines().count() + after.lines().count();
    assert_eq!(effects, ids.len() * ROUNDS);
    other.until_that("all are told", || {
        (told(&other, "a")["draining"] == true).then_some(())
    });
    assert_eq!(this_node(&drained)["draining"], true);
    let listed = text(&other.command(&["nodes"]).stdout);
    assert!(listed.contains("(draining)"), "{listed}");
    // What it is asked to run, others run.
    for id in submit(&drained, 50, 4) {
        account(&drained, id);
    }
    assert_eq!(cluster.effects("a"), before);
    let output = drained.command(&["drain", "--node", "a", "--undo"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = drained.command(&["drain", "--node", "b"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for id in submit(&other, 50, 4) {
        account(&other, id);
    }
    assert_ne!(cluster.effects("a"), before, "it takes work again");
}

#[test]
fn guests_in_the_memory_of_a_drained_node_go_on_elsewhere() {
    is_drained(&["--hibernate-after", "60s", "--checkpoint", "100ms"]);
}

#[test]
fn guests_in_the_store_of_a_drained_node_go_on_elsewhere() {
    is_drained(&["--hibernate-after", "50ms"]);
}

/// The rounds of a guest that sleeps, as it tells them: how late each of them was does not show whether
/// one was left out.
#[test]
fn rounds_go_on_while_one_node_after_another_is_drained() {
    let Some(cluster) = Cluster::new(&["--hibernate-after", "60s"]) else {
        return;
    };
    let nodes = cluster.nodes();
    acquainted(&nodes.iter().collect::<Vec<_>>());
    let id = nodes[0].submit("ex_sleeper", &["0.1", "0.1", "60"], json!({}));
    let mut been = BTreeSet::new();
    for turn in 0..6 {
        let asked = &nodes[turn % nodes.len()];
        let owner = asked.until_that("somebody has it, or it is over", || {
            let task = asked.task(id);
            let over = (task["state"] == "exited").then(String::new);
            task["node"].as_str().map(String::from).or(over)
        });
        if owner.is_empty() {
            break;
        }
        let output = asked.command(&["drain", "--node", &owner]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let output = asked.command(&["drain", "--undo", "--node", &owner]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        been.insert(owner);
    }
    assert!(been.len() > 1, "it was at {been:?} alone");
    nodes[0].until(id, "exited");
    let written = nodes[0].output(id);
    let rounds = written
        .lines()
        .map(|line| line.split(" late").next().unwrap_or_default());
    let expected: Vec<String> = (0..60).map(|round| format!("round {round}")).collect();
    assert_eq!(rounds.collect::<Vec<_>>(), expected, "{written}");
}

/// A guest that computes for a while, and then waits and ends.
fn computer() -> Vec<u8> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $left i64)
          (local.set $left (i64.const 6000000000))
          (loop $next
            (local.set $left (i64.sub (local.get $left) (i64.const 1)))
            (br_if $next (i64.ne (local.get $left) (i64.const 0))))
          (drop (call $yield))))"#;
    wat::parse_str(text).expect("the text is right")
}

/// A guest that computes without checks is waited for as long as is said, and given back afterwards.
#[test]
fn a_guest_that_computes_is_waited_for() {
    let Some(cluster) = Cluster::new(&[]) else {
        return;
    };
    let drained = cluster.node("a");
    let module = drained.upload_bytes(&computer(), false);
    let (status, told) = drained.json(Method::POST, "/v1/tasks", &json!({"module": module}));
    assert_eq!(status, 201, "{told}");
    let id = told["id"].as_u64().expect("a number");
    drained.until(id, "running");
    let other = cluster.node("b");
    acquainted(&[&drained, &other]);
    let output = other.command(&["drain", "--node", "a", "--patience", "0s"]);
    assert_eq!(output.status.code(), Some(79), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("1 tasks still") && said.contains("compute"),
        "{said}"
    );
    other.until(id, "exited");
    let output = other.command(&["drain", "--node", "a"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// A server of a drained node listens at another one; its connections are reset.
#[test]
fn a_server_of_a_drained_node_listens_elsewhere() {
    let Some(cluster) = Cluster::new(&["--hibernate-after", "100ms"]) else {
        return;
    };
    let nodes = [cluster.node("a"), cluster.node("b")];
    acquainted(&[&nodes[0], &nodes[1]]);
    let address = free_address();
    let server = nodes[0].submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    let owner = nodes[0].until_that("somebody has it", || {
        nodes[0].task(server)["node"].as_str().map(String::from)
    });
    let ask = |text: &str| {
        let stream = nodes[0].until_that("it listens", || TcpStream::connect(&address).ok());
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket");
        let mut stream = BufReader::new(stream);
        writeln!(stream.get_mut(), "{text}").ok()?;
        let mut answer = String::new();
        stream.read_line(&mut answer).ok()?;
        (!answer.is_empty()).then_some((answer.trim_end().to_string(), stream))
    };
    let (answer, mut before) = nodes[0].until_that("it answers", || ask("before"));
    assert_eq!(answer, "1: before");
    nodes[0].until_asleep(server, Duration::from_millis(300));
    let output = nodes[0].command(&["drain", "--node", &owner]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    nodes[0].until_that("another has it", || {
        let task = nodes[0].task(server);
        task["node"]
            .as_str()
            .filter(|node| *node != owner)
            .map(drop)
    });
    let (answer, _) = nodes[0].until_that("it answers again", || ask("after"));
    assert!(answer.ends_with(": after"), "{answer}");
    let mut rest = String::new();
    let ended = before.read_line(&mut rest);
    assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
}

/// Who is not there cannot be drained, and a node alone says what its tasks wait for.
#[test]
fn what_cannot_be_drained_is_told() {
    let Some(cluster) = Cluster::new(&[]) else {
        return;
    };
    let node = cluster.node("a");
    let output = node.command(&["drain", "--node", "nobody"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(
        text(&output.stderr).contains("no node nobody"),
        "{output:?}"
    );
    let output = node.command(&["drain", "--node", "a"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut waiting = task(&node.upload_bytes(&appender(50), false));
    waiting["name"] = json!("waiting");
    let (status, told) = node.json(Method::POST, "/v1/tasks", &waiting);
    assert_eq!(status, 201, "{told}");
    let id = told["id"].as_u64().expect("a number");
    let why = "there is no node but one that is being drained";
    assert_eq!(node.task(id)["unplaced"], why);
    let output = node.command(&["drain", "--node", "a", "--undo"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    account(&node, id);
}
