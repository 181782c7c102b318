//! `dormouse migrate`: moves a task to another daemon, or to another node.

use ureq::http::Method;

use super::wire_task::moved;
use crate::cli::args::daemon::Migrate;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{Done, Failure, OK, USAGE};
use crate::cli::output::{self, out, say};
use crate::daemon::http::peers as wire;
use crate::model::spec::{Access, Mount};

pub(super) fn migrate(command: &Migrate) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let dirs: Result<Vec<Mount>, Failure> = command.dirs.iter().map(|dir| dir_of(dir)).collect();
    let asked = wire::Migrate {
        to: command.to.clone(),
        node: command.node.clone(),
        dirs: dirs?,
        patience: Some(command.patience.0.as_secs_f64()),
    };
    let path = format!("/v1/tasks/{}/migrate", escaped(&command.id));
    let gone: wire::Gone = client.json(Method::POST, &path, Some(&asked))?;
    if output::as_json() {
        output::result(&gone);
        return OK;
    }
    match (&gone.node, &gone.error) {
        (Some(_), Some(error)) => say!("task {}: {error}", gone.task),
        (Some(node), None) => say!("task {} goes on at node {node}", gone.task),
        (None, _) => {}
    }
    if let Some(to) = &gone.to {
        say!("{}", moved(gone.task, to));
        out!("{}", to.task);
    }
    OK
}

/// A directory of the target's machine, which need not exist on this one.
fn dir_of(given: &str) -> Result<Mount, Failure> {
    let parts = given.split_once("::");
    let parts = parts.filter(|(host, guest)| !host.is_empty() && !guest.is_empty());
    let (host, guest) = parts.ok_or_else(|| {
        let text =
            format!("--dir {given}: write HOST::GUEST, a path there and the guest's name for it");
        Failure::new(USAGE, text)
    })?;
    Ok(Mount {
        host: host.into(),
        guest: guest.into(),
        access: Access::Kept,
    })
}
