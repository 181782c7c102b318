//! Daemons that share a PostgreSQL database: whichever dies, is stopped or cannot reach the database,
//! each task goes on, each line of output is there once, and nobody acts for a task that another has.
//!
//! `DORMOUSE_NODE_KILLS` says how often the accounting kills or stops a node; a few times if left out.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_test_support::ports::free_address;
use rustix::process::Signal;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::appender::{ROUNDS, appender};
use crate::nodes::{Cluster, NAMES, account, go_on, send, stop, submit, task, this_node};
use crate::serving;
use crate::support::{Daemon, text};

/// Sleeps in the store, each stored by itself.
const IN_STORE: [&str; 2] = ["--hibernate-after", "50ms"];

/// Sleeps in memory, stored by the way.
const IN_MEMORY: [&str; 4] = ["--hibernate-after", "60s", "--checkpoint", "100ms"];

/// One node is killed: the others go on with its tasks, with those that it ran, that slept in its
/// memory and that slept in the store.
#[test]
fn the_tasks_of_a_killed_node_go_on_elsewhere() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let mut nodes = cluster.nodes();
    let mut ids = Vec::new();
    for node in &nodes {
        ids.extend(submit(node, 300, 10));
    }
    let unique: BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "a number was given twice");
    let busy = nodes[0].until_that("one of them has tasks", || {
        let owned = nodes.iter().map(|node| cluster.owned(node));
        let most = owned.enumerate().max_by_key(|(_, owned)| *owned);
        most.filter(|(_, owned)| *owned > 0)
    });
    let dead = nodes.remove(busy.0);
    dead.kill();
    for (id, node) in ids.iter().zip(nodes.iter().cycle()) {
        account(node, *id);
    }
    // Its directory is where it was: it comes back, and is one of them.
    let back = cluster.node(NAMES[busy.0]);
    let more = submit(&nodes[0], 50, 6);
    for id in more {
        account(&back, id);
    }
    assert_eq!(back.stop(), Some(0));
}

/// A node is stopped for longer than its lease, with guests in its memory whose sleeps end meanwhile.
/// The others go on with its tasks to their end. When it goes on, it does nothing for any of them.
#[test]
fn a_node_that_was_stopped_does_nothing_afterwards() {
    let Some(cluster) = Cluster::new(&IN_MEMORY) else {
        return;
    };
    let stopped = cluster.node("a");
    let ids = submit(&stopped, 400, 8);
    stopped.until_that("its guests act", || {
        (cluster.effects("a").lines().count() >= 2 * ids.len()).then_some(())
    });
    let other = cluster.node("b");
    stop(&stopped);
    let before = cluster.effects("a");
    for id in &ids {
        account(&other, *id);
    }
    assert!(
        !cluster.effects("b").is_empty(),
        "they went on at the other"
    );
    send(&stopped, Signal::CONT);
    stopped.until_said("it begins anew");
    // It is a node again, with the same address, and knows how they ended.
    stopped.until_that("it is a node", || {
        let (_, told) = other.json(Method::GET, "/v1/nodes", &Value::Null);
        let nodes = told["nodes"].as_array()?.iter();
        let alive = nodes.filter(|node| node["alive"] == true).count();
        (alive == 2).then_some(())
    });
    account(&stopped, ids[0]);
    assert_eq!(
        cluster.effects("a"),
        before,
        "it acted for a task of another's"
    );
    for id in submit(&stopped, 50, 4) {
        account(&other, id);
    }
}

/// The database is killed and comes back, after a moment and after longer than the leases last: nobody
/// is declared dead, nothing is lost and nothing is done twice.
#[test]
fn nodes_wait_for_their_database() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let nodes = cluster.nodes();
    let numbers = || nodes.iter().map(|node| this_node(node)["number"].clone());
    let before: Vec<Value> = numbers().collect();
    let mut ids = Vec::new();
    for outage in [1, 8] {
        for node in &nodes {
            ids.extend(submit(node, 200, 5));
        }
        std::thread::sleep(Duration::from_millis(700));
        cluster.server.kill();
        std::thread::sleep(Duration::from_secs(outage));
        cluster.server.start_again();
        for (id, node) in ids.iter().zip(nodes.iter().cycle()) {
            account(node, *id);
        }
    }
    assert_eq!(
        numbers().collect::<Vec<_>>(),
        before,
        "a node was declared dead"
    );
    // Nobody has died, so that each file has each line of each task once.
    let effects: usize = NAMES
        .iter()
        .map(|name| cluster.effects(name).lines().count())
        .sum();
    assert_eq!(effects, ids.len() * ROUNDS);
}

/// Nodes are killed and stopped at any instant while tasks are submitted: each task that was accepted
/// comes to its end, with each line once.
#[test]
fn every_task_is_accounted_for() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let kills = std::env::var("DORMOUSE_NODE_KILLS").ok();
    let kills: usize = kills.map_or(4, |kills| kills.parse().expect("a number"));
    let mut nodes = cluster.nodes();
    let module = nodes[0].upload_bytes(&appender(120), false);
    let mut told = BTreeSet::new();
    for round in 0..kills {
        let body = json!(vec![task(&module); 4]).to_string();
        for node in &nodes {
            let token = format!("Bearer {}", node.token);
            let headers = [("authorization", token.as_str())];
            let answer = node.ask_with(Method::POST, "/v1/batch", body.as_bytes(), &headers);
            let Ok((200, answer)) = answer else { continue };
            let answer: Vec<Value> = serde_json::from_slice(&answer).expect("JSON");
            told.extend(answer.iter().filter_map(|task| task["id"].as_u64()));
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(50..900)));
        let victim = round % nodes.len();
        match fastrand::bool() {
            true => {
                let dead = nodes.remove(victim);
                dead.kill();
                // Others go on in the meantime, or it goes on itself.
                let pause = fastrand::u64(0..8000);
                std::thread::sleep(Duration::from_millis(pause));
                nodes.insert(victim, cluster.node(NAMES[victim]));
            }
            false => {
                stop(&nodes[victim]);
                let pause = fastrand::u64(1000..9000);
                std::thread::sleep(Duration::from_millis(pause));
                go_on(&nodes[victim], &nodes[(victim + 1) % nodes.len()]);
            }
        }
    }
    assert!(told.len() >= kills * 4, "{told:?}");
    for (id, node) in told.iter().zip(nodes.iter().cycle()) {
        account(node, *id);
    }
    // A count that took long is used for a while.
    nodes[0].until_that("all are counted", || {
        let (_, stats) = nodes[0].json(Method::GET, "/v1/stats", &Value::Null);
        let exited = stats["tasks"]["exited"].as_u64().expect("a count");
        (exited >= told.len() as u64).then_some(())
    });
}

/// Any node answers for all: lists, output, commands and the nodes themselves.
#[test]
fn any_node_is_asked_about_any_task() {
    let Some(cluster) = Cluster::new(&IN_MEMORY) else {
        return;
    };
    let nodes = cluster.nodes();
    let [a, b, c] = &nodes[..] else { panic!() };
    // It waits in the memory of one of them.
    let id = a.submit(
        "ex_sleeper",
        &["0.1", "0.1", "100000"],
        json!({"name": "busy"}),
    );
    let owner = b.until_that("somebody has it", || {
        b.task(id)["node"].as_str().map(String::from)
    });
    for node in &nodes {
        let listed = node.until_that("it is seen in memory", || {
            let (_, page) = node.json(Method::GET, "/v1/tasks?state=running,parked", &Value::Null);
            page["tasks"].as_array()?.first().cloned()
        });
        assert_eq!(
            (&listed["id"], &listed["node"]),
            (&json!(id), &json!(owner))
        );
        let listed = node.command(&["ps"]);
        let listed = text(&listed.stdout);
        assert!(
            listed.contains("NODE") && listed.contains("busy"),
            "{listed}"
        );
        node.until_that("its output is seen", || {
            node.output(id).contains("round 3").then_some(())
        });
    }
    // Whoever is asked, the one that has it does it.
    for (node, next) in [(a, b), (b, c), (c, a)] {
        let output = node.command(&["pause", "busy"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(next.task(id)["state"], "paused");
        assert_eq!(next.act(id, "resume").0, 200);
        node.until_that("it goes on", || node.task(id)["node"].as_str().map(drop));
    }
    // What is asleep for long is nobody's, and anybody changes it.
    let late = json!({"name": "late", "schedule": {"at": "2200-01-01T00:00:00Z"}});
    let late = b.submit("ex_nap", &[], late);
    assert_eq!(a.task(late)["node"], Value::Null);
    assert_eq!(c.act(late, "pause").0, 200);
    assert_eq!(b.task(late)["state"], "paused");
    let (status, told) = a.json(Method::DELETE, "/v1/tasks/late", &Value::Null);
    assert_eq!(status, 204, "{told}");
    let (status, _) = b.json(Method::GET, "/v1/tasks/late", &Value::Null);
    assert_eq!(status, 404);
    // Followed at one, ended at another.
    let short = c.submit("ex_sleeper", &["0.2", "0.2", "4"], json!({}));
    let followed = text(&a.command(&["logs", "-f", &short.to_string()]).stdout);
    let rounds = followed
        .lines()
        .map(|line| line.split(" late").next().unwrap_or_default());
    let expected = ["round 0", "round 1", "round 2", "round 3"];
    assert_eq!(rounds.collect::<Vec<_>>(), expected, "{followed}");
    assert_eq!(b.act(id, "kill").0, 200);
    let listed = c.command(&["nodes"]);
    let listed = text(&listed.stdout);
    for node in &nodes {
        assert!(listed.contains(&node.address), "{listed}");
    }
    assert_eq!(listed.matches("zone=here").count(), 3, "{listed}");
}

/// A new process takes over from a node beside others: its tasks and their connections stay there.
#[test]
fn a_takeover_leaves_nothing_to_the_others() {
    let Some(cluster) = Cluster::new(&["--hibernate-after", "100ms"]) else {
        return;
    };
    let old = cluster.node("a");
    let other = cluster.node("b");
    let address = free_address();
    let server = old.submit("ex_greeter", &[], json!({"network": {"listen": [address]}}));
    let owner = other.until_that("somebody has it", || {
        other.task(server)["node"].as_str().map(String::from)
    });
    other.until(server, "hibernated");
    let (from, name) = match owner.as_str() {
        "a" => (old, "a"),
        _ => (other, "b"),
    };
    let stream = TcpStream::connect(&address).expect("it listens");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a socket");
    let mut stream = BufReader::new(stream);
    let mut ask = |text: &str| {
        writeln!(stream.get_mut(), "{text}").expect("it is sent");
        let mut answer = String::new();
        stream.read_line(&mut answer).expect("an answer");
        answer.trim_end().to_string()
    };
    assert_eq!(ask("before"), "1: before");
    from.until_asleep(server, Duration::from_millis(300));
    let number = this_node(&from)["number"].clone();
    let more = ["--takeover", "--listen", &from.address];
    let new = cluster
        .try_node(name, name, &more)
        .unwrap_or_else(|text| panic!("{text}"));
    assert_eq!(from.ended(), Some(0));
    assert_ne!(this_node(&new)["number"], number);
    assert_eq!(new.task(server)["node"], name);
    assert_eq!(ask("after"), "2: after");
    for id in submit(&new, 50, 3) {
        account(&new, id);
    }
}

/// A server that has an instance for each request listens at one node, with its connections. When that
/// one dies, it listens at another.
#[test]
fn a_server_listens_at_another_node_when_its_own_has_died() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let mut nodes = vec![cluster.node("a"), cluster.node("b")];
    let address = free_address();
    let id = serving::submit(
        &nodes[0],
        &address,
        json!({"network": {"per_request": true}}),
    );
    let owner = nodes[0].until_that("somebody listens", || {
        let owner = nodes[0].task(id)["node"].as_str().map(String::from);
        owner.filter(|_| TcpStream::connect(&address).is_ok())
    });
    let mut streams = [serving::connect(&address), serving::connect(&address)];
    for _ in 0..2 {
        for stream in &mut streams {
            assert_eq!(serving::get(stream, "/count"), "request 1\n");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let dead = nodes.remove(usize::from(owner == "b"));
    dead.kill();
    let left = &nodes[0];
    left.until_that("it listens again", || TcpStream::connect(&address).ok());
    let mut stream = serving::connect(&address);
    assert_eq!(serving::get(&mut stream, "/count"), "request 1\n");
    assert_ne!(left.task(id)["node"], owner);
}

/// A name and a directory belong to one node.
#[test]
fn a_node_has_its_name_and_its_directory_alone() {
    let Some(cluster) = Cluster::new(&IN_STORE) else {
        return;
    };
    let first = cluster.node("a");
    let refused = cluster.try_node("b", "a", &[]).err();
    let told = refused.expect("the name is taken");
    assert!(
        told.contains("name \"a\"") && told.contains(&first.address),
        "{told}"
    );
    let refused = cluster.try_node("a", "other", &[]).err();
    let told = refused.expect("the directory is taken");
    assert!(told.contains("in use by another daemon"), "{told}");
    let wrong = cluster.try_node("b", "b", &["--label", "nonsense"]).err();
    assert!(wrong.expect("it is no label").contains("KEY=VALUE"));
    // Nobody was fenced by any of them.
    for id in submit(&first, 50, 3) {
        account(&first, id);
    }
    let own = Daemon::try_start(&cluster.place("c"), &["--node", "c"]).err();
    assert!(own.expect("it shares nothing").contains("--store"));
}
