//! `wasi:sockets/ip-name-lookup`. A name is looked up at once, by the host's resolver, if the guest's
//! grants let it be looked up.

use std::net::IpAddr;

use super::network::{Answered, check_network};
use super::types::{ErrorCode, IpAddress};
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::resource::{Network, Pollable, ResolveAddressStream};
use crate::p2::stop::Called;
use crate::sock::{Lookup, LookupError};

pub(crate) fn resolve_addresses(
    call: &mut Call<'_>,
    (network, name): (Borrow<Network>, String),
) -> Answered<Own<ResolveAddressStream>> {
    check_network(call, &network)?;
    let addresses = match resolve(call, &name) {
        Ok(addresses) => addresses.into(),
        Err(code) => return Ok(Err(code)),
    };
    let resources = &mut call.component().resources;
    let stream = resources.push(ResolveAddressStream { addresses })?;
    Ok(Ok(Own::new(stream)))
}

fn resolve(call: &Call<'_>, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(name).parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let is_name = !name.is_empty() && !name.contains(is_forbidden);
    if !is_name {
        return Err(ErrorCode::InvalidArgument);
    }
    let lookup = Lookup {
        node: name,
        service: "",
        passive: false,
        numeric_node: false,
        numeric_service: false,
        family: None,
        datagram: false,
    };
    match lookup.resolve(&call.ctx.resources.grants) {
        Ok(found) => Ok(found
            .iter()
            .map(|found| found.ip().to_canonical())
            .collect()),
        // As with Wasmtime where a guest may look nothing up.
        Err(LookupError::NotGranted) => Err(ErrorCode::PermanentResolverFailure),
        Err(LookupError::NotNumeric | LookupError::Resolver(_)) => Err(ErrorCode::NameUnresolvable),
    }
}

/// Whether no name of a host has this character in it.
fn is_forbidden(letter: char) -> bool {
    letter.is_control() || letter.is_whitespace() || "#%/:<>?@[\\]^|".contains(letter)
}

pub(crate) fn resolve_next_address(
    call: &mut Call<'_>,
    (this,): (Borrow<ResolveAddressStream>,),
) -> Answered<Option<IpAddress>> {
    let resources = &mut call.component().resources;
    let stream: &mut ResolveAddressStream = resources.get_mut(this.rep)?;
    Ok(Ok(stream.addresses.pop_front().map(IpAddress::from)))
}

pub(crate) fn subscribe(
    call: &mut Call<'_>,
    (this,): (Borrow<ResolveAddressStream>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<ResolveAddressStream>(this.rep)?;
    resources.push_child(Pollable, this.rep).map(Own::new)
}
