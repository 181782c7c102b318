//! `dormouse peers`: the daemons that tasks can move to and come from.

use serde_json::json;
use ureq::http::Method;

use crate::cli::args::daemon::{Peers, PeersCommand};
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{Done, Failure, OK, USAGE};
use crate::cli::output::{self, out, say};
use crate::daemon::http::peers as wire;

pub(super) fn peers(command: &Peers) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    match &command.command {
        None | Some(PeersCommand::Ls) => list(&client),
        Some(PeersCommand::Add {
            name,
            fingerprint,
            address,
            dirs,
            listen,
            connect,
        }) => {
            let peer = wire::Peer {
                name: name.clone(),
                fingerprint: fingerprint.clone(),
                address: address.clone(),
                dirs: dirs
                    .iter()
                    .map(|dir| absolute(dir))
                    .collect::<Result<_, _>>()?,
                listen: listen.clone(),
                connect: connect.clone(),
            };
            let peer: wire::Peer = client.json(Method::POST, "/v1/peers", Some(&peer))?;
            match output::as_json() {
                true => output::result(&peer),
                false => say!(
                    "{} may send tasks here, and tasks may be sent there",
                    peer.name
                ),
            }
            OK
        }
        Some(PeersCommand::Rm { name }) => {
            let path = format!("/v1/peers/{}", escaped(name));
            client.send(Method::DELETE, &path, "application/json", Vec::new())?;
            if output::as_json() {
                output::result(&json!({ "name": name, "removed": true }));
            }
            OK
        }
    }
}

fn list(client: &Client) -> Result<Done, Failure> {
    let known: wire::Known = client.get("/v1/peers")?;
    if output::as_json() {
        output::result(&known);
        return OK;
    }
    out!("fingerprint  {}", known.fingerprint);
    out!(
        "address      {}",
        known
            .address
            .as_deref()
            .unwrap_or("none: it was started without --peer-listen")
    );
    for peer in known.peers {
        out!("");
        out!("peer         {}", peer.name);
        out!("fingerprint  {}", peer.fingerprint);
        if let Some(address) = peer.address {
            out!("address      {address}");
        }
        for dir in peer.dirs {
            out!("may use      {dir}");
        }
        for address in peer.listen {
            out!("may listen   {address}");
        }
        for address in peer.connect {
            out!("may connect  {address}");
        }
    }
    OK
}

/// The absolute path of a directory: the daemon's working directory is another.
fn absolute(dir: &str) -> Result<String, Failure> {
    let path = std::path::absolute(dir)
        .map_err(|error| Failure::new(USAGE, format!("--dir {dir:?}: {error}")))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::new(USAGE, format!("the path {} is not UTF-8", path.display())))
}
