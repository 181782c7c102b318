//! Tasks that go from node to node when they are told to.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::appender::{ROUNDS, appender};
use crate::nodes::{Cluster, account, task};
use crate::support::{Daemon, text};

/// Nodes that know each other.
fn two_nodes(cluster: &Cluster) -> [Daemon; 2] {
    let nodes = [cluster.node("a"), cluster.node("b")];
    for node in &nodes {
        node.until_that("they know each other", || {
            let (_, told) = node.json(Method::GET, "/v1/nodes", &Value::Null);
            (told["nodes"].as_array()?.len() == nodes.len()).then_some(())
        });
    }
    nodes
}

/// The node that has a task.
fn owner(node: &Daemon, id: u64) -> String {
    node.until_that("somebody has it", || {
        node.task(id)["node"].as_str().map(String::from)
    })
}

fn other_than(name: &str) -> &'static str {
    match name {
        "a" => "b",
        _ => "a",
    }
}

/// A guest that leaves a trace at each node goes from one to the other and back, whichever is asked: each
/// line and each trace is there once.
fn goes_to_and_fro(options: &[&'static str]) {
    let Some(cluster) = Cluster::new(options) else {
        return;
    };
    let nodes = two_nodes(&cluster);
    let module = nodes[0].upload_bytes(&appender(700), false);
    let (status, told) = nodes[0].json(Method::POST, "/v1/tasks", &task(&module));
    assert_eq!(status, 201, "{told}");
    let id = told["id"].as_u64().expect("a number");
    let number = id.to_string();
    for asked in nodes.iter().cycle().take(3) {
        let from = owner(asked, id);
        let to = other_than(&from);
        let output = asked.command(&["migrate", &number, "--node", to]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(&format!("goes on at node {to}")), "{said}");
        let before = cluster.effects(to).lines().count();
        asked.until_that("it acts there", || {
            (cluster.effects(to).lines().count() > before).then_some(())
        });
        assert_eq!(owner(asked, id), to);
    }
    account(&nodes[1], id);
    let effects = ["a", "b"].map(|name| cluster.effects(name).lines().count());
    assert_eq!(effects.iter().sum::<usize>(), ROUNDS, "{effects:?}");
}

#[test]
fn a_guest_in_memory_goes_to_another_node() {
    goes_to_and_fro(&["--hibernate-after", "60s"]);
}

#[test]
fn a_guest_in_the_store_goes_to_another_node() {
    goes_to_and_fro(&["--hibernate-after", "50ms"]);
}

/// A task that sleeps for long is nobody's, and goes on first at the node that is named.
#[test]
fn a_task_that_sleeps_for_long_goes_on_at_the_node() {
    let Some(cluster) = Cluster::new(&[]) else {
        return;
    };
    let nodes = two_nodes(&cluster);
    let mut late = task(&nodes[0].upload_bytes(&appender(50), false));
    late["name"] = json!("late");
    late["schedule"] = json!({"at": "2200-01-01T00:00:00Z"});
    let (status, told) = nodes[0].json(Method::POST, "/v1/tasks", &late);
    assert_eq!(status, 201, "{told}");
    let id = told["id"].as_u64().expect("a number");
    for (to, asked) in [("b", 0), ("a", 1), ("b", 1)] {
        let path = format!("/v1/tasks/{id}/migrate");
        let (status, told) = nodes[asked].json(Method::POST, &path, &json!({"node": to}));
        assert_eq!((status, &told["node"]), (200, &json!(to)), "{told}");
        let task = nodes[0].task(id);
        assert_eq!(task["node"], Value::Null, "{task}");
        assert_eq!(task["wakes"], "2200-01-01T00:00:00.000Z", "{task}");
        let home = format!(
            "SELECT n.name FROM dormouse.tasks t JOIN dormouse.nodes n USING (home) WHERE t.id = {id}"
        );
        assert_eq!(cluster.sql(&home), to);
    }
    // Paused ones likewise.
    assert_eq!(nodes[0].act(id, "pause").0, 200);
    let output = nodes[1].command(&["migrate", "late", "--node", "a"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(nodes[0].task(id)["state"], "paused");
    assert_eq!(nodes[0].act(id, "resume").0, 200);
    assert_eq!(nodes[0].act(id, "start").0, 200);
    account(&nodes[1], id);
}

/// What cannot be given to a node is told, and stays where it is.
#[test]
fn what_cannot_go_to_a_node_is_told() {
    let Some(cluster) = Cluster::new(&["--hibernate-after", "60s"]) else {
        return;
    };
    let mut nodes = Vec::from(two_nodes(&cluster));
    let more = json!({"name": "here", "place": {"disk": "ssd"}});
    let place = ["--label", "disk=ssd"];
    let third = cluster
        .try_node("c", "c", &place)
        .unwrap_or_else(|text| panic!("{text}"));
    for node in &nodes {
        node.until_that("they know each other", || {
            let (_, told) = node.json(Method::GET, "/v1/nodes", &Value::Null);
            (told["nodes"].as_array()?.len() == 3).then_some(())
        });
    }
    let id = nodes[0].submit("ex_sleeper", &["0.1", "0.1", "100000"], more);
    assert_eq!(owner(&nodes[0], id), "c");
    let refused = |asked: &Daemon, to: &str, words: &str| {
        let output = asked.command(&["migrate", "here", "--node", to]);
        let said = text(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(words), "{said}");
    };
    refused(&nodes[0], "nobody", "no node nobody");
    refused(&nodes[1], "b", "it lacks disk=ssd");
    let output = nodes[0].command(&["migrate", "here"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    nodes.remove(1).kill();
    let asked = &nodes[0];
    asked.until_that("it is dead", || {
        let (_, told) = asked.json(Method::GET, "/v1/nodes", &Value::Null);
        let told = told["nodes"].as_array()?.clone();
        let found = told.iter().find(|node| node["name"] == "b");
        found
            .is_none_or(|node| node["alive"] == false)
            .then_some(())
    });
    let output = asked.command(&["migrate", "here", "--node", "b"]);
    let said = text(&output.stderr);
    assert_ne!(output.status.code(), Some(0), "{said}");
    // It has it already.
    let output = asked.command(&["migrate", "here", "--node", "c"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(third.task(id)["node"], "c");
    assert_eq!(asked.act(id, "kill").0, 200);
}
