//! All connections of a guest that answers requests.

use dormouse_model::MonotonicTime;
use serde::{Deserialize, Serialize};

use super::connection::Connection;

/// How many connections a server has at once. Further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;

/// How far a guest has come that answers one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Single {
    /// It waits for it.
    Awaited,
    /// It has been given it.
    Given,
}

/// A guest's side as a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// The guest's descriptor of the listener that its requests come from.
    pub(crate) listener: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    connections: Vec<Connection>,
    /// How many requests have come.
    #[serde(default)]
    requests: u64,
    /// The guest answers one request, and no other, on a connection that it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) single: Option<Single>,
    /// When the next connection is accepted, if there was no descriptor for the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accept_at: Option<MonotonicTime>,
}

impl Server {
    /// Whether the guest is no server.
    pub(crate) fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a connection.
    pub(crate) fn add(&mut self, connection: Connection) {
        self.connections.push(connection);
    }

    /// The guest answers one request, on this connection.
    pub(crate) fn give(&mut self, connection: Connection) {
        self.single = Some(Single::Awaited);
        self.add(connection);
    }

    /// Whether there may be another connection.
    pub(crate) fn has_room(&self) -> bool {
        self.connections.len() < MAX_CONNECTIONS
    }

    /// The descriptors of all connections.
    pub(crate) fn fds(&self) -> Vec<u32> {
        let all = self.connections.iter();
        all.map(|connection| connection.fd).collect()
    }

    /// All connections.
    pub(crate) fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// The connection behind a descriptor.
    pub(crate) fn get_mut(&mut self, fd: u32) -> Option<&mut Connection> {
        self.connections
            .iter_mut()
            .find(|connection| connection.fd == fd)
    }

    /// The descriptor of the connection on which the guest handles this request.
    pub(crate) fn fd_of(&self, request: u64) -> Option<u32> {
        let mut all = self.connections.iter();
        let found = all.find(|connection| connection.number() == Some(request));
        found.map(|connection| connection.fd)
    }

    /// The descriptor of the connection that sends a message.
    pub(crate) fn sender_of(&self, message: u64) -> Option<u32> {
        let mut all = self.connections.iter();
        let found = all.find(|connection| connection.message() == Some(message));
        found.map(|connection| connection.fd)
    }

    /// Whether this is the descriptor of a connection.
    pub(crate) fn uses(&self, fd: u32) -> bool {
        self.connections
            .iter()
            .any(|connection| connection.fd == fd)
    }

    /// Whether the guest is to answer requests.
    pub(crate) fn is_serving(&self) -> bool {
        self.listener.is_some() || self.single.is_some()
    }

    /// Whether the one request of a guest that answers no other is over: it was answered, or its
    /// connection has ended.
    pub(crate) fn is_over(&self) -> bool {
        let rests = self.connections.iter().all(Connection::is_at_rest);
        match self.single {
            None => false,
            Some(Single::Awaited) => self.connections.is_empty(),
            Some(Single::Given) => rests,
        }
    }

    /// Takes the connection that waits for a next request.
    pub(crate) fn take_at_rest(&mut self) -> Option<Connection> {
        let at = self.connections.iter().position(Connection::is_at_rest)?;
        Some(self.connections.remove(at))
    }

    /// Whether the guest is in the middle of a request.
    pub(crate) fn is_handling(&self) -> bool {
        self.connections.iter().any(Connection::is_handled)
    }

    /// A request has come. Gives which it is, counted from the first.
    pub(crate) fn count_request(&mut self) -> u64 {
        self.requests = self.requests.wrapping_add(1);
        self.requests
    }

    /// The connection whose request has come first.
    pub(crate) fn first_request(&mut self) -> Option<&mut Connection> {
        let requests = self.connections.iter_mut();
        requests
            .filter(|connection| connection.has_request())
            .min_by_key(|connection| connection.turn)
    }

    /// The connection that has waited longest for a next request.
    pub(crate) fn idle(&self) -> Option<u32> {
        let idle = self.connections.iter().filter(|found| found.is_idle());
        let first = idle.min_by_key(|connection| connection.receive_due());
        first.map(|connection| connection.fd)
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, fd: u32) {
        self.connections.retain(|connection| connection.fd != fd);
    }
}
