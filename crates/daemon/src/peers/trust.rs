//! Which other daemons are known, and what their tasks may use here.

use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::bounds::check_host;
use crate::model::Digest;
use crate::model::error::Error;
use crate::moving::target::PeerGrants;
use crate::peers::error::PeerError;
use crate::peers::identity::write_private;

/// The file with the known peers, in the daemon's directory.
const FILE_NAME: &str = "peers.json";

/// At most this many peers are known, because each request looks through the list.
const MOST_PEERS: usize = 1000;

/// Another daemon that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// What it is called here.
    pub name: String,
    /// The SHA-256 of its certificate, in hexadecimal.
    pub fingerprint: String,
    /// Where it is, `HOST:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Directories that its tasks may use here, with what is below them.
    #[serde(default)]
    pub dirs: Vec<String>,
    /// Addresses that its tasks may listen on here.
    #[serde(default)]
    pub listen: Vec<String>,
    /// Addresses that its tasks may connect to from here.
    #[serde(default)]
    pub connect: Vec<String>,
}

impl Peer {
    /// The peer's fingerprint.
    pub(crate) fn digest(&self) -> Option<Digest> {
        Digest::from_hex(&self.fingerprint)
    }

    /// What its tasks may use here.
    pub(crate) fn grants(&self) -> PeerGrants {
        PeerGrants {
            dirs: self.dirs.iter().map(PathBuf::from).collect(),
            listen: self.listen.clone(),
            connect: self.connect.clone(),
        }
    }
}

/// The known peers.
pub(crate) struct Trust {
    path: PathBuf,
    known: RwLock<Vec<Peer>>,
}

impl Trust {
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE_NAME);
        let failed = |why: String| PeerError::File {
            path: path.display().to_string(),
            why,
        };
        let known: Vec<Peer> = match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error.to_string()).into()),
        };
        Ok(Self {
            path,
            known: RwLock::new(known),
        })
    }

    pub(crate) fn list(&self) -> Vec<Peer> {
        self.known.read().clone()
    }

    /// The peer of a fingerprint.
    pub(crate) fn of(&self, fingerprint: &Digest) -> Option<Peer> {
        let is = |peer: &Peer| peer.digest().as_ref() == Some(fingerprint);
        self.list().into_iter().find(is)
    }

    /// The peer of a name.
    pub(crate) fn named(&self, name: &str) -> Option<Peer> {
        self.list().into_iter().find(|peer| peer.name == name)
    }

    /// Adds one, or replaces the one of its name.
    pub(crate) fn add(&self, mut peer: Peer) -> Result<Peer, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let fits = !peer.name.is_empty() && peer.name.len() <= 100;
        if !fits || !peer.name.chars().all(plain) {
            let text = format!(
                "{:?} cannot be a peer's name; take letters, digits, '.', '_' and '-', at most 100 bytes",
                peer.name
            );
            return Err(PeerError::Request(text).into());
        }
        for dir in &peer.dirs {
            check_host(dir).map_err(PeerError::Request)?;
        }
        // As `openssl` prints them.
        peer.fingerprint = peer.fingerprint.replace(':', "").to_ascii_lowercase();
        let Some(digest) = peer.digest() else {
            let text = "a fingerprint has 64 hexadecimal digits; `dormouse peers` prints it there";
            return Err(PeerError::Request(text.into()).into());
        };
        let mut known = self.known.write();
        let mut next = known.clone();
        next.retain(|other| other.name != peer.name);
        if let Some(other) = next.iter().find(|other| other.digest() == Some(digest)) {
            let text = format!("this fingerprint is known as {:?} already", other.name);
            return Err(PeerError::Request(text).into());
        }
        if next.len() >= MOST_PEERS {
            let text = format!("at most {MOST_PEERS} peers can be known");
            return Err(PeerError::Request(text).into());
        }
        next.push(peer.clone());
        self.save(&next)?;
        *known = next;
        Ok(peer)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let mut known = self.known.write();
        let mut next = known.clone();
        next.retain(|peer| peer.name != name);
        if next.len() == known.len() {
            return Err(PeerError::NoPeer(name.into()).into());
        }
        self.save(&next)?;
        *known = next;
        Ok(())
    }

    fn save(&self, peers: &[Peer]) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(peers)
            .map_err(|error| PeerError::Request(error.to_string()))?;
        write_private(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, digit: char) -> Peer {
        Peer {
            name: name.into(),
            fingerprint: digit.to_string().repeat(64),
            address: None,
            dirs: Vec::new(),
            listen: Vec::new(),
            connect: Vec::new(),
        }
    }

    #[test]
    fn peers_are_kept_and_are_known_by_one_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let trust = Trust::open(folder.path()).expect("it opens");
        trust.add(peer("a", '1')).expect("it is added");
        trust.add(peer("b", 'A')).expect("it is added");
        assert!(trust.add(peer("c", '1')).is_err(), "known already");
        assert!(trust.add(peer("a/b", '3')).is_err(), "no name");
        trust.add(peer("a", '2')).expect("it is replaced");
        let mut short = peer("d", '4');
        short.fingerprint.pop();
        assert!(trust.add(short).is_err());
        let mut relative = peer("e", '5');
        relative.dirs = vec!["here/below".into()];
        assert!(trust.add(relative).is_err());
        assert!(trust.add(peer(&"x".repeat(101), '6')).is_err(), "too long");
        let trust = Trust::open(folder.path()).expect("it opens");
        let names: Vec<_> = trust.list().into_iter().map(|peer| peer.name).collect();
        assert_eq!(names, ["b", "a"]);
        let lower = Digest::from_hex(&"a".repeat(64)).expect("hex");
        assert_eq!(trust.of(&lower).map(|peer| peer.name), Some("b".into()));
        trust.remove("a").expect("it is removed");
        assert!(trust.remove("a").is_err());
        assert!(trust.named("a").is_none());
    }
}
