//! What a node offers to tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, TcpListener};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::spec::EngineKind;

/// What a node offers, as it tells the others with each beat. Of directories and addresses it says
/// which it does not have, among those that tasks need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Offer {
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Names of the engines that it has. Another build may know more of them.
    pub(crate) engines: Vec<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) missing_directories: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) missing_addresses: BTreeSet<IpAddr>,
}

impl Offer {
    /// What this node offers with these labels, where no task needs anything so far.
    pub(super) fn new(labels: BTreeMap<String, String>) -> Self {
        Self {
            labels,
            engines: EngineKind::available()
                .map(|kind| kind.to_string())
                .collect(),
            ..Self::default()
        }
    }

    /// Looks which of these directories and addresses are not here. This may take long, where a
    /// directory is on a file system of another machine.
    pub(super) fn look(&mut self, directories: BTreeSet<String>, addresses: BTreeSet<IpAddr>) {
        let is_missing = |path: &String| !Path::new(path).is_dir();
        self.missing_directories = directories.into_iter().filter(is_missing).collect();
        // Where the machine has the address, some port of it is free.
        let is_missing = |address: &IpAddr| TcpListener::bind((*address, 0)).is_err();
        self.missing_addresses = addresses.into_iter().filter(is_missing).collect();
    }
}
