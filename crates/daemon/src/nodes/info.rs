//! What nodes are told and tell of each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::offer::Offer;
use crate::model::{Digest, Timestamp};
use crate::store::NodeRow;

/// What a node is told at its start.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// Its name, which no other node has at the same time.
    pub name: String,
    /// Where the other nodes reach its API, `HOST:PORT`.
    pub address: String,
}

/// How many tasks a node has, and how many of them in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Tasks that wait for a thread.
    pub ready: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that wait in memory.
    pub parked: u64,
    /// All tasks that are its own, those that sleep in the store as well.
    pub owned: u64,
    /// Bytes of the memories of guests.
    pub memory: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its number, which no other node has or had. A process that begins anew has another one.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// Whether its lease holds.
    pub alive: bool,
    /// Whether it is this daemon.
    pub here: bool,
    /// The identity of its data directory.
    pub identity: String,
    /// Where its API is.
    pub address: String,
    /// The fingerprint of the certificate that it shows other nodes.
    pub fingerprint: Option<Digest>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Which dormouse it is.
    pub version: String,
    /// When it began.
    pub since: Timestamp,
    /// What it does.
    pub load: Load,
    /// Whether it is being drained: it takes no work, and gives back what it has.
    pub draining: bool,
    /// What it offers to tasks; `None` of a build that takes tasks of the first class alone.
    pub(super) offer: Option<Offer>,
}

/// What a node tells with each beat, as JSON. What another build tells and this one does not know is
/// left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    pub(super) identity: String,
    pub(super) address: String,
    /// In hexadecimal digits.
    pub(super) fingerprint: String,
    pub(super) version: String,
    /// Nanoseconds since the Unix epoch.
    pub(super) since: u64,
    pub(super) load: Load,
    pub(super) offer: Option<Offer>,
    pub(super) draining: bool,
}

impl NodeInfo {
    /// A node of which nothing but its number is known.
    pub(crate) fn unknown(number: u64) -> Self {
        let row = NodeRow {
            number,
            name: format!("#{number}"),
            details: String::new(),
            alive: false,
        };
        Self::of(row, 0)
    }

    /// A node of the store. `me` is the number of this one.
    pub(super) fn of(row: NodeRow, me: u64) -> Self {
        // A build that tells nothing is there all the same.
        let details: Details = serde_json::from_str(&row.details).unwrap_or_default();
        let labels = details.offer.as_ref().map(|offer| offer.labels.clone());
        Self {
            number: row.number,
            name: row.name,
            alive: row.alive,
            here: row.number == me,
            identity: details.identity,
            address: details.address,
            fingerprint: Digest::from_hex(&details.fingerprint),
            labels: labels.unwrap_or_default(),
            version: details.version,
            since: Timestamp::from_nanos(details.since),
            load: details.load,
            draining: details.draining,
            offer: details.offer,
        }
    }
}
