//! Sockets that are kept for a guest while it sleeps.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use dormouse_model::Interest;
use serde::{Deserialize, Serialize};

/// A host's socket that outlives the instance of its guest.
///
/// The snapshot names it by its key. Each suspend makes new random keys: a socket fits the one
/// snapshot that was made with it, and no older one, which would lack the bytes read since.
#[derive(Clone, Debug)]
pub struct HeldSocket {
    /// The key by which the snapshot names it.
    pub key: u64,
    /// What it is for.
    pub role: Role,
    /// The socket.
    pub socket: Arc<OwnedFd>,
}

/// What a held socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It accepts connections. It can be re-created.
    Listener,
    /// It is a connection, or is being connected.
    Stream,
    /// It sends and receives datagrams. It can be re-created, but the datagrams in its queue are
    /// lost.
    Datagram,
}

/// A socket that a sleeping guest waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Which socket.
    pub what: Watched,
    /// What it should become ready for.
    pub interest: Interest,
}

/// Which socket a sleeping guest waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watched {
    /// A listener that the host gave, by its address.
    Listener(String),
    /// A held socket, by its key.
    Socket(u64),
}

/// A guest's sockets at a suspend.
#[derive(Debug, Default)]
pub struct Asleep {
    /// All that the guest has opened or accepted. Listeners that the host gave are not among them.
    pub sockets: Vec<HeldSocket>,
    /// Those that end the guest's wait. It is empty if the guest waits for none, or also for a
    /// descriptor that is no socket.
    pub watches: Vec<Watch>,
}
