//! What a task needs of the node that runs it. Tasks that need the same are of one class.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::offer::Offer;
use crate::model::TaskSpec;
use crate::model::spec::{EngineKind, ListenAddress};

/// What a task needs. It is stored as JSON without what is not needed. A build that does not know
/// all that stands there cannot serve the class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Needs {
    /// Labels of the node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    /// The engine that the task names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) engine: Option<EngineKind>,
    /// Directories of the host's, by their paths.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) directories: BTreeSet<String>,
    /// Addresses of the machine that the task listens on. Each machine has those of loopback, and
    /// those that stand for all of its own.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Needs {
    /// What a task of this spec needs.
    pub(crate) fn of(spec: &TaskSpec) -> Self {
        let network = &spec.network;
        let listens = network.listen.iter().chain(&network.http);
        let is_own = |address: &IpAddr| !address.is_loopback() && !address.is_unspecified();
        Self {
            labels: spec.place.clone(),
            engine: spec.engine,
            directories: spec.mounts.iter().map(|mount| mount.host.clone()).collect(),
            addresses: listens.filter_map(ip_address).filter(is_own).collect(),
        }
    }

    /// As it is stored; `None` where any node will do.
    pub(crate) fn text(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        // Texts and addresses can always be written.
        serde_json::to_string(self).ok()
    }

    /// From what is stored; `None` where a later build has written it.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What of it a node does not offer, in words; nothing where the node can run the task.
    pub(super) fn missing(&self, offer: &Offer) -> Vec<String> {
        let labels = self.labels.iter();
        let labels = labels.filter(|(key, value)| offer.labels.get(*key) != Some(*value));
        let labels = labels.map(|(key, value)| format!("{key}={value}"));
        let engine = self.engine.map(|engine| engine.to_string());
        let engine = engine.filter(|engine| !offer.engines.contains(engine));
        let engine = engine.map(|engine| format!("the engine {engine}"));
        let directories = self.directories.intersection(&offer.missing_directories);
        let directories = directories.map(|path| format!("the directory {path}"));
        let addresses = self.addresses.intersection(&offer.missing_addresses);
        let addresses = addresses.map(|address| format!("the address {address}"));
        let all = labels.chain(engine).chain(directories).chain(addresses);
        all.collect()
    }
}

/// The address, where it is not a name, which may be another one at each node.
fn ip_address(listen: &ListenAddress) -> Option<IpAddr> {
    let (host, _port) = listen.as_str().rsplit_once(':')?;
    host.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needs(spec: serde_json::Value) -> Needs {
        Needs::of(&serde_json::from_value(spec).expect("a spec"))
    }

    #[test]
    fn a_usual_task_needs_nothing() {
        let spec = json!({"program": "nap.wasm", "args": ["7"], "tmpfs": [{"guest": "/t"}],
            "network": {"listen": ["127.0.0.1:80", "[::]:80", "localhost:80"], "http": "[::1]:0"}});
        assert_eq!(needs(spec).text(), None);
    }

    #[test]
    fn what_is_needed_is_written_down_in_one_way() {
        let spec = json!({"place": {"zone": "eu", "disk": "ssd"}, "engine": "wasmedge",
            "mounts": [{"host": "/b", "guest": "/x"}, {"host": "/a", "guest": "/y"}],
            "network": {"listen": ["10.0.0.5:80"], "http": "[fd00::1]:80"}});
        let needs = needs(spec);
        let text = needs.text().expect("it needs something");
        let expected = r#"{"labels":{"disk":"ssd","zone":"eu"},"engine":"wasmedge","directories":["/a","/b"],"addresses":["10.0.0.5","fd00::1"]}"#;
        assert_eq!(text, expected);
        assert_eq!(Needs::read(&text), Some(needs));
    }

    #[test]
    fn what_a_later_build_needs_is_not_known() {
        assert_eq!(Needs::read(r#"{"labels":{},"gpu":1}"#), None);
    }

    #[test]
    fn what_a_node_lacks_is_told() {
        let needs = needs(
            json!({"place": {"zone": "eu", "disk": "ssd"}, "engine": "wasmedge",
            "mounts": [{"host": "/a", "guest": "/a"}, {"host": "/b", "guest": "/b"}],
            "network": {"listen": ["10.0.0.5:80"]}}),
        );
        let mut offer = Offer {
            labels: [("zone", "us"), ("disk", "ssd")]
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .into(),
            engines: vec!["wasmtime".into()],
            missing_directories: ["/b", "/c"].map(String::from).into(),
            missing_addresses: ["10.0.0.5", "10.0.0.6"]
                .map(|address| address.parse().expect("an address"))
                .into(),
        };
        let missing = [
            "zone=eu",
            "the engine wasmedge",
            "the directory /b",
            "the address 10.0.0.5",
        ];
        assert_eq!(needs.missing(&offer), missing);
        offer.labels.insert("zone".into(), "eu".into());
        offer.engines.push("wasmedge".into());
        offer.missing_directories.clear();
        offer.missing_addresses.clear();
        assert!(needs.missing(&offer).is_empty());
    }
}
