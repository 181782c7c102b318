//! `wasi:sockets/ip-name-lookup`. A name is looked up at once, by the host's resolver, if the guest's
//! grants let it be looked up.

use std::net::IpAddr;

use super::network::{Answered, check_network};
use super::types::{ErrorCode, IpAddress};
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::resource::{Network, Pollable, ResolveAddressStream};
use crate::p2::stop::Called;
use crate::sock::{LookupError, host_addresses};

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
    host_addresses(name, &call.ctx.resources.grants).map_err(|error| match error {
        LookupError::NotName => ErrorCode::InvalidArgument,
        // As with Wasmtime where a guest may look nothing up.
        LookupError::NotGranted => ErrorCode::PermanentResolverFailure,
        LookupError::NotNumeric | LookupError::Resolver(_) => ErrorCode::NameUnresolvable,
    })
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
