//! Daemons that share a PostgreSQL database, for tests.

use std::path::PathBuf;
use std::process::Command;

use dormouse_test_support::postgres::Server;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::appender::{ROUNDS, appender};
use crate::support::{Daemon, folder};

/// Names of nodes.
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// A database, and a folder for each node.
pub struct Cluster {
    folder: tempfile::TempDir,
    url: String,
    options: Vec<&'static str>,
    /// Ends after what is above.
    pub server: Server,
}

impl Cluster {
    pub fn new(options: &[&'static str]) -> Option<Self> {
        let server = Server::start(&["fsync=off"])?;
        let cluster = Self {
            folder: folder(),
            url: server.url(&server.create_database()),
            // Nobody but us is to blame for a death.
            options: [options, &["--set-aside-after", "0"]].concat(),
            server,
        };
        for name in NAMES {
            std::fs::create_dir_all(cluster.place(name).join("out")).expect("a folder");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(cluster.place(name), mode).expect("it is ours");
        }
        Some(cluster)
    }

    /// Where a node lives.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a node in a folder of its own: `/proc/self/cwd` is another directory at each.
    pub fn try_node(&self, place: &str, name: &str, more: &[&str]) -> Result<Daemon, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command.current_dir(self.place(place));
        let own = ["--store", &self.url, "--node", name, "--label", "zone=here"];
        let options = [&own[..], &self.options, more].concat();
        Daemon::try_start_by(command, &self.place(place), &options)
    }

    pub fn node(&self, name: &str) -> Daemon {
        self.try_node(name, name, &[])
            .unwrap_or_else(|text| panic!("{text}"))
    }

    pub fn nodes(&self) -> Vec<Daemon> {
        NAMES.iter().map(|name| self.node(name)).collect()
    }

    /// What guests have done at a node outside of themselves.
    pub fn effects(&self, name: &str) -> String {
        std::fs::read_to_string(self.place(name).join("out/log")).unwrap_or_default()
    }

    /// What the database answers.
    pub fn sql(&self, query: &str) -> String {
        let name = self.url.rsplit('/').next().expect("a name");
        self.server.sql(name, query)
    }

    /// How many tasks a node has, as the database says.
    pub fn owned(&self, node: &Daemon) -> u64 {
        let number = this_node(node)["number"].as_u64().expect("a number");
        let query = format!("SELECT count(*) FROM dormouse.tasks WHERE owner = {number}");
        self.sql(&query).parse().expect("a number")
    }
}

/// What a node says of itself.
pub fn this_node(node: &Daemon) -> Value {
    let (status, told) = node.json(Method::GET, "/v1/nodes", &Value::Null);
    assert_eq!(status, 200, "{told}");
    let nodes = told["nodes"].as_array().expect("nodes");
    let here = nodes.iter().find(|node| node["here"] == true);
    here.expect("it is there").clone()
}

/// The task of such a module.
pub fn task(module: &str) -> Value {
    let mount = json!({"host": "/proc/self/cwd/out", "guest": "/out"});
    json!({"module": module, "program": "appender", "mounts": [mount]})
}

/// Submits so many of them, and gives their numbers.
pub fn submit(node: &Daemon, milliseconds: u64, count: usize) -> Vec<u64> {
    let module = node.upload_bytes(&appender(milliseconds), false);
    let tasks = vec![task(&module); count];
    let (status, told) = node.json(Method::POST, "/v1/batch", &json!(tasks));
    assert_eq!(status, 200, "{told}");
    let told = told.as_array().expect("tasks").iter();
    told.map(|task| task["id"].as_u64().unwrap_or_else(|| panic!("{task}")))
        .collect()
}

/// Waits until a task is over, and looks whether each line is there once.
pub fn account(node: &Daemon, id: u64) {
    let task = node.until(id, "exited");
    assert_eq!(task["exit_code"], 0, "{task}");
    let expected: String = (0..ROUNDS)
        .map(|round| format!("round {round:02}\n"))
        .collect();
    assert_eq!(node.output(id), expected, "task {id}");
}

pub fn send(node: &Daemon, signal: Signal) {
    let pid = Pid::from_raw(node.pid().cast_signed()).expect("a number");
    kill_process(pid, signal).expect("it runs");
}

/// Stops a node, and waits until none of its threads runs.
pub fn stop(node: &Daemon) {
    send(node, Signal::STOP);
    node.until_that("all its threads are stopped", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", node.pid())).ok()?;
        let stopped = threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
            state.is_none_or(|state| state.starts_with('T'))
        });
        stopped.then_some(())
    });
}

/// Lets a stopped node go on, until another one says that it is a node: one that finds itself fenced
/// begins anew, and resets the connections that it has.
pub fn go_on(node: &Daemon, other: &Daemon) {
    send(node, Signal::CONT);
    let nodes = |of: &Daemon| -> Option<Vec<Value>> {
        let token = format!("Bearer {}", of.token);
        let headers = [("authorization", token.as_str())];
        let (_, answer) = of.ask_with(Method::GET, "/v1/nodes", &[], &headers).ok()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        answer["nodes"].as_array().cloned()
    };
    node.until_that("it is a node", || {
        let own = nodes(node)?.into_iter().find(|node| node["here"] == true)?;
        let is_same = |node: &Value| node["alive"] == true && node["number"] == own["number"];
        nodes(other)?.iter().any(is_same).then_some(())
    });
}
