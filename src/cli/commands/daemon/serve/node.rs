//! A daemon as one of several that share a database.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::listening::{HTTP, LISTENER_ON_STDIN};
use crate::cli::args::daemon::Serve;
use crate::cli::exit::{DAEMON, Failure, USAGE};
use crate::cli::output::say;
use crate::daemon::{Daemon, NodeOptions, Options, TaskSockets};
use crate::store::{Nodes, Store};

/// Bytes of the longest name of a node.
const LONGEST_NAME: usize = 100;

/// Where the tasks are.
pub(super) enum Opened {
    /// In a store of this daemon's own.
    Own(Arc<dyn Store>),
    /// In one that nodes share. The file is locked for as long as this process lives.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "it is never made")
    )]
    Shared(Arc<dyn Nodes>, File),
}

impl Opened {
    /// Starts the daemon, whose API is at an address. What the second value holds is kept until the
    /// process ends.
    pub(super) fn start(
        self,
        command: &Serve,
        options: Options,
        address: SocketAddr,
        kept: Vec<TaskSockets>,
    ) -> Result<(Arc<Daemon>, Option<File>), Failure> {
        match self {
            Self::Own(_) if command.node.is_some() || command.node_address.is_some() => {
                let text =
                    "--node and --node-address are for daemons that share a database (--store)";
                Err(Failure::new(USAGE, text))
            }
            Self::Own(store) => Ok((Daemon::start_with(store, options, kept)?, None)),
            Self::Shared(store, lock) => {
                let node = node_options(command, &options.identity, address)?;
                Ok((Daemon::start_node(store, node, options, kept)?, Some(lock)))
            }
        }
    }
}

/// What the node says of itself.
fn node_options(
    command: &Serve,
    identity: &str,
    address: SocketAddr,
) -> Result<NodeOptions, Failure> {
    let name = command.node.as_deref().unwrap_or(identity);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        let text = format!(
            "--node {name:?} is no name of a node: it has letters, digits, dots, underscores and dashes, {LONGEST_NAME} \
             at most"
        );
        return Err(Failure::new(USAGE, text));
    }
    let address = match &command.node_address {
        Some(address) => {
            let parts = address.rsplit_once(':');
            let port = parts.and_then(|(_, port)| port.parse::<u16>().ok());
            if parts.is_none_or(|(host, _)| host.is_empty()) || port.is_none_or(|port| port == 0) {
                let text = format!("--node-address {address:?} is no address; write HOST:PORT");
                return Err(Failure::new(USAGE, text));
            }
            address.clone()
        }
        None => {
            if address.ip().is_unspecified() {
                log::warn!(
                    "the other nodes cannot reach {address}: give the address at which they reach this one \
                     with --node-address"
                );
            }
            address.to_string()
        }
    };
    Ok(NodeOptions {
        name: name.to_string(),
        address,
    })
}

/// This daemon can change nothing any more. A node begins anew, and returns only if that fails.
pub(super) fn lost(daemon: &Daemon, own: &[(String, OwnedFd)]) -> Failure {
    match daemon.is_node() {
        true => begin_anew(daemon, own),
        false => {
            let text =
                "another daemon has taken the store over; this one ends without changing anything";
            Failure::new(DAEMON, text)
        }
    }
}

/// This node is fenced: others go on with its tasks. The process becomes a new one, so that guests and
/// sockets are gone at once, and joins again.
fn begin_anew(daemon: &Daemon, own: &[(String, OwnedFd)]) -> Failure {
    say!("this node's lease was over, and others go on with its tasks: it begins anew");
    // Tasks that are being run are not to blame.
    daemon.ended();
    crate::task::remove_unfinished();
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    let http = own.iter().find(|(name, _)| name == HTTP);
    if let Some(listener) = http.and_then(|(_, listener)| listener.try_clone().ok()) {
        command
            .stdin(Stdio::from(listener))
            .env(LISTENER_ON_STDIN, "1");
    }
    let error = command.exec();
    let text = format!("this node is fenced, and cannot begin anew ({error}); start it again");
    Failure::new(DAEMON, text)
}
