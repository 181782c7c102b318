//! What a guest may reach over the network.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::listen::ListenAddress;
use super::rule::Rule;

/// What a guest may reach over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Addresses to listen on, such as `127.0.0.1:8080`: the guest finds the sockets from
    /// descriptor 3 on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub listen: Vec<ListenAddress>,
    /// An address at which a component answers HTTP requests, by its `wasi:http/incoming-handler`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub http: Option<ListenAddress>,
    /// A daemon starts a fresh instance for each HTTP request, and runs many of them at once: each
    /// connection has a task of its own. Left out, one instance answers one request after another.
    #[serde(skip_serializing_if = "std::ops::Not::not", alias = "per-request")]
    pub per_request: bool,
    /// How many instances may answer requests at once. Left out, 64. Further connections wait.
    #[serde(skip_serializing_if = "Option::is_none", alias = "max-instances")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u16>))]
    pub max_instances: Option<NonZeroU16>,
    /// What the guest may connect to: `HOST:PORTS`, such as `example.com:443` or
    /// `10.0.0.0/8:80-90`.
    #[serde(skip_serializing_if = "Vec::is_empty", alias = "allow-connect")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub allow_connect: Vec<Rule>,
    /// Where the guest may bind sockets of its own, `HOST:PORTS`.
    #[serde(skip_serializing_if = "Vec::is_empty", alias = "allow-listen")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub allow_listen: Vec<Rule>,
    /// Connections are carried to where the task moves; else they are reset then.
    #[serde(skip_serializing_if = "Option::is_none", alias = "proxy-streams")]
    pub proxy_streams: Option<bool>,
}

/// Something that a guest may do over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// Listen on the address, which it is given.
    Given(&'a ListenAddress),
    /// Bind a socket of its own.
    Listen(&'a Rule),
    /// Connect, or send datagrams.
    Connect(&'a Rule),
}

/// How many instances answer requests at once where it is not said.
pub const MAX_INSTANCES: NonZeroU16 = match NonZeroU16::new(64) {
    Some(number) => number,
    None => NonZeroU16::MIN,
};

impl Network {
    /// How many instances may answer requests at once, each on a connection of its own; `None` where
    /// one instance answers all.
    pub fn instances(&self) -> Option<NonZeroU16> {
        self.per_request
            .then_some(self.max_instances.unwrap_or(MAX_INSTANCES))
    }

    /// This one with another laid over it.
    pub(super) fn overlaid(self, over: Self) -> Self {
        let Self {
            listen,
            http,
            per_request,
            max_instances,
            allow_connect,
            allow_listen,
            proxy_streams,
        } = over;
        Self {
            listen: added(self.listen, listen),
            http: http.or(self.http),
            per_request: self.per_request || per_request,
            max_instances: max_instances.or(self.max_instances),
            allow_connect: added(self.allow_connect, allow_connect),
            allow_listen: added(self.allow_listen, allow_listen),
            proxy_streams: proxy_streams.or(self.proxy_streams),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The lists of rules, each with the name of its field and of its flag.
    pub fn rules(&self) -> [(&'static str, &'static str, &[Rule]); 2] {
        [
            (
                "network.allow_connect",
                "--allow-connect",
                &self.allow_connect,
            ),
            ("network.allow_listen", "--allow-listen", &self.allow_listen),
        ]
    }

    /// All that it may do.
    pub fn reaches(&self) -> impl Iterator<Item = Reach<'_>> {
        let given = self.listen.iter().chain(&self.http).map(Reach::Given);
        let listen = self.allow_listen.iter().map(Reach::Listen);
        given
            .chain(listen)
            .chain(self.allow_connect.iter().map(Reach::Connect))
    }
}

/// Adds what can be given many times.
pub(super) fn added<T>(mut base: Vec<T>, more: Vec<T>) -> Vec<T> {
    base.extend(more);
    base
}
