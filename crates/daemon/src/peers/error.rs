//! What can go wrong between two daemons.

use crate::model::error::{Error as Public, ErrorKind};

/// What can go wrong between two daemons.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nobody answers.
    #[error("cannot reach the daemon at {address}: {why}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// Why.
        why: String,
    },
    /// The other daemon is not one that is known here.
    #[error(
        "the daemon at {address} has the fingerprint {fingerprint}, which is not known here; if that is \
         what `dormouse peers` says there, `dormouse peers add NAME {fingerprint} --address {address}`"
    )]
    Stranger {
        /// Where it is.
        address: String,
        /// By what it would be known.
        fingerprint: String,
    },
    /// This daemon is not known to the other one.
    #[error(
        "the daemon at {address} does not know this one; there: `dormouse peers add NAME {ours}`"
    )]
    NotKnown {
        /// Where the other one is.
        address: String,
        /// By what it would know us.
        ours: String,
    },
    /// The connection broke.
    #[error("the connection to the daemon at {address} broke: {why}")]
    Broken {
        /// Where the other one is.
        address: String,
        /// Why.
        why: String,
    },
    /// The two cannot work together.
    #[error("the daemon at {address} {why}")]
    Incompatible {
        /// Where the other one is.
        address: String,
        /// Why.
        why: String,
    },
    /// The other daemon does not want the task.
    #[error("the daemon at {address} does not take task {task}: {}", reasons.join("; "))]
    Refused {
        /// Where the other one is.
        address: String,
        /// The task.
        task: u64,
        /// Why.
        reasons: Vec<String>,
    },
    /// Another move of the task is under way.
    #[error("task {0} is being moved already")]
    UnderWay(u64),
    /// There is nothing to decide.
    #[error("task {0} is on no move that is open; `dormouse moves` lists those that are")]
    NoOpenMove(u64),
    /// The other side of a move does not answer.
    #[error(
        "daemon {daemon} at {address} does not resolve the move of task {task}: {why}. Decide without it only if it does not \
         come back: {risk}. --force decides"
    )]
    Unresolved {
        /// The task.
        task: u64,
        /// The other daemon.
        daemon: String,
        /// Where it is.
        address: String,
        /// Why it does not.
        why: String,
        /// What may come of it.
        risk: &'static str,
    },
    /// No such peer.
    #[error("no peer is called {0:?}; `dormouse peers` lists them")]
    NoPeer(String),
    /// What was asked for is not well-formed.
    #[error("{0}")]
    Request(String),
    /// A file of the daemon's cannot be used.
    #[error("cannot use {path}: {why}")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
}

impl From<PeerError> for Public {
    fn from(error: PeerError) -> Self {
        let kind = match error {
            PeerError::Request(_) | PeerError::NoPeer(_) => ErrorKind::Request,
            PeerError::File { .. } => ErrorKind::Store,
            PeerError::UnderWay(_) | PeerError::NoOpenMove(_) => ErrorKind::Task,
            _ => ErrorKind::Peer,
        };
        Self::new(kind, error)
    }
}
