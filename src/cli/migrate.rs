//! `dormouse migrate`, `drain` and `peers`: tasks that move from one daemon to another.

use std::io::{BufRead, BufReader};

use serde_json::json;
use ureq::http::Method;

use super::args::{Drain, Migrate, Peers, PeersCommand};
use super::client::{Client, segment};
use super::exit::{DAEMON, Done, Failure, NOT_MOVED, USAGE};
use super::text::{self, out, say};
use crate::server::peers as wire;
use crate::server::wire::Dir;

pub(super) fn migrate(command: &Migrate) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let dirs: Result<Vec<Dir>, Failure> = command.dirs.iter().map(|dir| dir_of(dir)).collect();
    let asked = wire::Migrate {
        to: command.to.clone(),
        dirs: dirs?,
        patience: Some(command.patience.0.as_secs_f64()),
    };
    let path = format!("/v1/tasks/{}/migrate", segment(&command.id));
    let gone: wire::Gone = client.json(Method::POST, &path, Some(&asked))?;
    if text::as_json() {
        text::result(&gone);
        return Ok(Done::Guest(0));
    }
    if let Some(to) = &gone.to {
        say!("{}", told(gone.task, to));
        out!("{}", to.task);
    }
    Ok(Done::Guest(0))
}

/// The other machine's side need not be here, so that it is not looked for.
fn dir_of(given: &str) -> Result<Dir, Failure> {
    let parts = given.split_once("::");
    let parts = parts.filter(|(host, guest)| !host.is_empty() && !guest.is_empty());
    let (host, guest) = parts.ok_or_else(|| {
        let text =
            format!("--dir {given}: write HOST::GUEST, a path there and the guest's name for it");
        Failure::new(USAGE, text)
    })?;
    Ok(Dir {
        host: host.into(),
        guest: guest.into(),
        read_only: None,
    })
}

/// The whole path of a directory, whatever the daemon's own directory is.
fn whole(dir: &str) -> Result<String, Failure> {
    let path = std::path::absolute(dir)
        .map_err(|error| Failure::new(USAGE, format!("--dir {dir:?}: {error}")))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::new(USAGE, format!("the path {} is not UTF-8", path.display())))
}

fn told(task: u64, to: &wire::There) -> String {
    let late = match to.confirmed {
        true => "",
        false => "; it has not confirmed that yet, and is told again until it does",
    };
    format!(
        "task {task} is task {} of daemon {} at {} now: {} sent, it stood still for {}{late}",
        to.task,
        to.daemon,
        to.address,
        text::bytes(to.bytes),
        milliseconds(to.stopped)
    )
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

pub(super) fn drain(command: &Drain) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let asked = wire::Drain {
        to: command.to.clone(),
        cancel: command.cancel,
        patience: Some(command.patience.0.as_secs_f64()),
    };
    let body = serde_json::to_vec(&asked)
        .map_err(|error| Failure::new(USAGE, format!("cannot write the request: {error}")))?;
    let mut response = client.send(Method::POST, "/v1/drain", "application/json", body)?;
    if command.cancel {
        match text::as_json() {
            true => text::result(&json!({ "draining": false })),
            false => say!("the daemon takes tasks again"),
        }
        return Ok(Done::Guest(0));
    }
    let (mut moved, mut bytes, mut stay) = (0_u64, 0_u64, Vec::new());
    let mut all = Vec::new();
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    for line in BufReader::new(reader).lines() {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::new(DAEMON, format!("the daemon's answer broke off: {error}"))
        };
        let line = line.map_err(|error| broken(&error))?;
        let gone: wire::Gone = serde_json::from_str(&line).map_err(|error| broken(&error))?;
        if text::as_json() {
            all.push(gone.clone());
        }
        let number = moved + stay.len() as u64 + 1;
        let of = gone.of.unwrap_or(number);
        match (gone.to, gone.error) {
            (Some(to), _) => {
                moved += 1;
                bytes += to.bytes;
                say!("{number}/{of}  {}", told(gone.task, &to));
            }
            (None, error) => {
                let error = error.unwrap_or_default();
                say!("{number}/{of}  task {} stays: {error}", gone.task);
                stay.push((gone.task, error));
            }
        }
    }
    if text::as_json() {
        text::result(&json!({ "draining": true, "moved": moved, "bytes": bytes, "tasks": all }));
    } else {
        out!(
            "moved {moved} tasks, {}; {} stay",
            text::bytes(bytes),
            stay.len()
        );
        for (task, error) in &stay {
            out!("{task:>8}  {error}");
        }
        say!("the daemon takes no tasks from now on; stop it, or `dormouse drain --cancel`");
    }
    match stay.len() {
        0 => Ok(Done::Guest(0)),
        _ => Ok(Done::Own(NOT_MOVED)),
    }
}

pub(super) fn peers(command: &Peers) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
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
                    .map(|dir| whole(dir))
                    .collect::<Result<_, _>>()?,
                listen: listen.clone(),
                connect: connect.clone(),
            };
            let peer: wire::Peer = client.json(Method::POST, "/v1/peers", Some(&peer))?;
            match text::as_json() {
                true => text::result(&peer),
                false => say!(
                    "{} may send tasks here, and tasks may be sent there",
                    peer.name
                ),
            }
            Ok(Done::Guest(0))
        }
        Some(PeersCommand::Rm { name }) => {
            let path = format!("/v1/peers/{}", segment(name));
            client.send(Method::DELETE, &path, "application/json", Vec::new())?;
            if text::as_json() {
                text::result(&json!({ "name": name, "removed": true }));
            }
            Ok(Done::Guest(0))
        }
    }
}

fn list(client: &Client) -> Result<Done, Failure> {
    let known: wire::Known = client.get("/v1/peers")?;
    if text::as_json() {
        text::result(&known);
        return Ok(Done::Guest(0));
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
    Ok(Done::Guest(0))
}
