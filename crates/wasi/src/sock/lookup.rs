//! Looking names up, by the host's own resolver.

use std::net::{IpAddr, SocketAddr};

use dns_lookup::{AddrFamily, AddrInfoHints, LookupErrorKind, SockType};

use super::grants::Grants;

/// `AI_PASSIVE` of the host (`netdb.h`).
const AI_PASSIVE: i32 = 1;

/// The family of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup<'a> {
    /// A host's name or address; empty for none.
    pub(crate) node: &'a str,
    /// A service's name or port; empty for none.
    pub(crate) service: &'a str,
    /// The addresses are for sockets that listen.
    pub(crate) passive: bool,
    /// The node must be an address.
    pub(crate) numeric_node: bool,
    /// The service must be a port.
    pub(crate) numeric_service: bool,
    /// The family of the addresses, if only one is wanted.
    pub(crate) family: Option<Family>,
    /// The addresses are for datagram sockets.
    pub(crate) datagram: bool,
}

/// Why nothing was found.
#[derive(Debug)]
pub(crate) enum LookupError {
    /// The node or the service is a name and should have been a number.
    NotNumeric,
    /// The host's name is none.
    NotName,
    /// No rule lets the guest look the name up.
    NotGranted,
    /// The resolver's answer.
    Resolver(LookupErrorKind),
}

/// The addresses of a host, which is named by an address or by a name.
pub(crate) fn host_addresses(host: &str, grants: &Grants) -> Result<Vec<IpAddr>, LookupError> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    if host.is_empty() || host.contains(is_forbidden) {
        return Err(LookupError::NotName);
    }
    let lookup = Lookup {
        node: host,
        service: "",
        passive: false,
        numeric_node: false,
        numeric_service: false,
        family: None,
        datagram: false,
    };
    let found = lookup.resolve(grants)?;
    let addresses = found.iter().map(|found| found.ip().to_canonical());
    Ok(addresses.collect())
}

/// Whether no name of a host has this character in it.
fn is_forbidden(letter: char) -> bool {
    letter.is_control() || letter.is_whitespace() || "#%/:<>?@[\\]^|".contains(letter)
}

impl Lookup<'_> {
    /// Asks the resolver, if the guest may look the name up.
    pub(crate) fn resolve(&self, grants: &Grants) -> Result<Vec<SocketAddr>, LookupError> {
        let is_name = !self.node.is_empty() && self.node.parse::<IpAddr>().is_err();
        if self.numeric_node && is_name {
            return Err(LookupError::NotNumeric);
        }
        if self.numeric_service && self.service.parse::<u16>().is_err() {
            return Err(LookupError::NotNumeric);
        }
        if is_name && grants.check_name(self.node).is_err() {
            return Err(LookupError::NotGranted);
        }
        let hints = AddrInfoHints {
            flags: if self.passive { AI_PASSIVE } else { 0 },
            address: match self.family {
                Some(Family::V4) => AddrFamily::Inet.into(),
                Some(Family::V6) => AddrFamily::Inet6.into(),
                None => 0,
            },
            // Without a type the resolver gives each address once for every type.
            socktype: match self.datagram {
                true => SockType::DGram.into(),
                false => SockType::Stream.into(),
            },
            protocol: 0,
        };
        let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let found = dns_lookup::getaddrinfo(given(self.node), given(self.service), Some(hints));
        let found: Vec<SocketAddr> = found
            .map_err(|error| LookupError::Resolver(error.kind()))?
            .filter_map(|info| Some(info.ok()?.sockaddr))
            .collect();
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        grants.learn(self.node, &addresses);
        Ok(found)
    }
}
