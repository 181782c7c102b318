//! `dormouse nodes`: the daemons that share a store.

use crate::cli::args::daemon::Nodes;
use crate::cli::client::Client;
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, format, out, say};
use crate::daemon::http::nodes as wire;

pub(super) fn nodes(command: &Nodes) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let found: wire::Nodes = client.get("/v1/nodes")?;
    if output::as_json() {
        output::result(&found.nodes);
        return OK;
    }
    if found.nodes.is_empty() {
        say!("this daemon has its store for itself; `serve --store URL` shares one with others");
        return OK;
    }
    out!(
        "{:<16}  {:<21}  {:>5}  {:>5}  {:>7}  {:>6}  {:>9}  {:<24}  {:<9}  LABELS",
        "NODE",
        "ADDRESS",
        "TASKS",
        "READY",
        "RUNNING",
        "PARKED",
        "MEMORY",
        "SINCE",
        "VERSION"
    );
    for node in &found.nodes {
        let labels = node.labels.iter();
        let mut words: Vec<String> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        if node.draining {
            words.push("(draining)".into());
        }
        if !node.alive {
            words.push("(its lease is over)".into());
        }
        out!(
            "{:<16}  {:<21}  {:>5}  {:>5}  {:>7}  {:>6}  {:>9}  {:<24}  {:<9}  {}",
            node.name,
            node.address,
            node.owned,
            node.ready,
            node.running,
            node.parked,
            format::bytes(node.memory),
            node.since,
            node.version,
            words.join(" ")
        );
    }
    OK
}
