//! The network, and what the calls on sockets share.

use rustix::net::SocketType;

use super::types::{ErrorCode, IpAddressFamily};
use crate::errno::{Errno, Result as OsResult};
use crate::guest::Ctx;
use crate::guest::table::Descriptor;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::connection::socket;
use crate::p2::resource::Network;
use crate::p2::stop::Called;
use crate::sock::Socket;
use crate::sock::options::{HOP_LIMIT, ONLY_V6, RCVBUF, SNDBUF};
use dormouse_model::Limit;

/// What a call gives, or its error code.
pub(super) type Answered<T> = Called<Result<T, ErrorCode>>;

pub(crate) fn instance_network(call: &mut Call<'_>, (): ()) -> Called<Own<Network>> {
    call.component().resources.push(Network).map(Own::new)
}

/// Fails unless the guest has the network.
pub(super) fn check_network(call: &Call<'_>, network: &Borrow<Network>) -> Called<()> {
    let resources = &call.ctx.component.resources;
    resources.get::<Network>(network.rep).map(drop)
}

/// What a call gives that has made a system call.
pub(super) fn answer<T>(result: OsResult<T>) -> Answered<T> {
    Ok(result.map_err(ErrorCode::from))
}

/// Opens a new socket, and gives its descriptor.
pub(super) fn open(
    call: &mut Call<'_>,
    family: IpAddressFamily,
    kind: SocketType,
) -> OsResult<u32> {
    let is_v6 = family == IpAddressFamily::Ipv6;
    let opened = call.ctx.table.check_room().map_err(|_| Errno::MFILE);
    let opened = opened.and_then(|()| {
        let mut socket = Socket::open(is_v6, kind == SocketType::DGRAM)?;
        if is_v6 {
            socket.set_option(ONLY_V6, 1u32.to_le_bytes().to_vec())?;
        }
        insert(call.ctx, Descriptor::socket(socket, 0))
    });
    count_descriptor(call.ctx, opened)
}

/// Puts a descriptor into the guest's table.
pub(super) fn insert(ctx: &mut Ctx, descriptor: Descriptor) -> OsResult<u32> {
    ctx.table.insert(descriptor).map_err(|_| Errno::MFILE)
}

/// Counts that the guest has got a descriptor, or has got none because it has too many.
pub(super) fn count_descriptor(ctx: &mut Ctx, opened: OsResult<u32>) -> OsResult<u32> {
    let quota = &mut ctx.resources.quota;
    match opened {
        Ok(_) => quota.grant(),
        Err(Errno::MFILE) => quota.refuse(Limit::Files),
        Err(_) => {}
    }
    opened
}

/// The family of a socket's addresses.
pub(super) fn family(ctx: &Ctx, fd: u32) -> IpAddressFamily {
    match socket(ctx, fd).is_ok_and(Socket::is_v6) {
        true => IpAddressFamily::Ipv6,
        false => IpAddressFamily::Ipv4,
    }
}

/// An option that is a number.
pub(super) fn number(socket: &Socket, option: u8) -> OsResult<u32> {
    let value = socket.option(option)?;
    let value = value.first_chunk().copied().ok_or(Errno::INVAL)?;
    Ok(u32::from_le_bytes(value))
}

/// Sets an option that is a number.
pub(super) fn set_number(socket: &mut Socket, option: u8, value: u32) -> OsResult<()> {
    socket.set_option(option, value.to_le_bytes().to_vec())
}

/// How many routers a packet of the socket's may pass.
pub(super) fn hop_limit(socket: &Socket) -> OsResult<u8> {
    u8::try_from(number(socket, HOP_LIMIT)?).map_err(|_| Errno::OPNOTSUPP)
}

/// Sets how many routers a packet of the socket's may pass.
pub(super) fn set_hop_limit(socket: &mut Socket, value: u8) -> OsResult<()> {
    match value {
        0 => Err(Errno::INVAL),
        value => set_number(socket, HOP_LIMIT, value.into()),
    }
}

/// The size of the buffer for what the socket receives, in bytes.
pub(super) fn receive_buffer_size(socket: &Socket) -> OsResult<u64> {
    buffer_size(socket, RCVBUF)
}

/// Sets the size of the buffer for what the socket receives, in bytes.
pub(super) fn set_receive_buffer_size(socket: &mut Socket, size: u64) -> OsResult<()> {
    set_buffer_size(socket, RCVBUF, size)
}

/// The size of the buffer for what the socket sends, in bytes.
pub(super) fn send_buffer_size(socket: &Socket) -> OsResult<u64> {
    buffer_size(socket, SNDBUF)
}

/// Sets the size of the buffer for what the socket sends, in bytes.
pub(super) fn set_send_buffer_size(socket: &mut Socket, size: u64) -> OsResult<()> {
    set_buffer_size(socket, SNDBUF, size)
}

fn buffer_size(socket: &Socket, option: u8) -> OsResult<u64> {
    // Linux tells twice of what was set.
    Ok(u64::from(number(socket, option)?) / 2)
}

fn set_buffer_size(socket: &mut Socket, option: u8, size: u64) -> OsResult<()> {
    if size == 0 {
        return Err(Errno::INVAL);
    }
    let size = size.min(i32::MAX as u64) as u32;
    match set_number(socket, option, size) {
        // The size is only a wish.
        Err(Errno::NOBUFS) => Ok(()),
        set => set,
    }
}
