//! `wasi:sockets/udp`.

use std::io::IoSlice;
use std::net::SocketAddr;

use dormouse_model::Interest;
use rustix::net::SocketType;

use super::network::{self, Answered, answer, check_network, family, open};
use super::types::{ErrorCode, IpAddressFamily, IpSocketAddress, is_of_family, is_of_peer};
use crate::errno::{Errno, Result as OsResult};
use crate::guest::Ctx;
use crate::p2::abi::{Borrow, ByteList, Own, record};
use crate::p2::call::Call;
use crate::p2::connection::{socket, socket_mut};
use crate::p2::resource::{
    IncomingDatagramStream, Network, OutgoingDatagramStream, Pollable, Resource, UdpSocket,
};
use crate::p2::stop::{Called, trap};
use crate::sock::Socket;

/// How many datagrams one call takes or gives at most, as with Wasmtime.
const MAX_DATAGRAMS: u32 = 16;
/// The most bytes that the datagrams of one call have together, and one more datagram.
const MAX_BYTES: usize = 64 << 10;
/// The most bytes that a datagram has.
const MAX_DATAGRAM_BYTES: usize = u16::MAX as usize;

record! { Lower:
    /// A datagram that has arrived.
    struct IncomingDatagram {
        data: Vec<u8>,
        remote_address: IpSocketAddress,
    }
}

record! { Lift:
    /// A datagram that is to be sent.
    struct OutgoingDatagram {
        data: ByteList,
        remote_address: Option<IpSocketAddress>,
    }
}

pub(crate) fn create_udp_socket(
    call: &mut Call<'_>,
    (family,): (IpAddressFamily,),
) -> Answered<Own<UdpSocket>> {
    let fd = match open(call, family, SocketType::DGRAM) {
        Ok(fd) => fd,
        Err(errno) => return answer(Err(errno)),
    };
    let socket = UdpSocket { fd, binds: false };
    let socket = call.component().resources.push(socket)?;
    Ok(Ok(Own::new(socket)))
}

/// The guest's descriptor of a socket.
fn fd(ctx: &Ctx, rep: u32) -> Called<u32> {
    Ok(ctx.component.resources.get::<UdpSocket>(rep)?.fd)
}

pub(crate) fn start_bind(
    call: &mut Call<'_>,
    (this, network, address): (Borrow<UdpSocket>, Borrow<Network>, IpSocketAddress),
) -> Answered<()> {
    check_network(call, &network)?;
    let address = SocketAddr::from(address);
    let udp: UdpSocket = *call.component().resources.get(this.rep)?;
    if udp.binds {
        return Ok(Err(ErrorCode::ConcurrencyConflict));
    }
    if has_streams(call, this.rep) {
        return Ok(Err(ErrorCode::InvalidState));
    }
    let grants = &call.ctx.resources.grants.clone();
    let bound = socket_mut(call.ctx, udp.fd).and_then(|socket| {
        if socket.is_bound() {
            return Ok(Err(ErrorCode::InvalidState));
        }
        if !is_of_family(address.ip(), socket.is_v6()) {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        match socket.bind(address, grants) {
            Err(Errno::AFNOSUPPORT) => Ok(Err(ErrorCode::InvalidArgument)),
            bound => bound.map(Ok),
        }
    });
    match bound {
        Ok(Ok(())) => {
            call.component()
                .resources
                .get_mut::<UdpSocket>(this.rep)?
                .binds = true;
            Ok(Ok(()))
        }
        Ok(Err(code)) => Ok(Err(code)),
        Err(errno) => answer(Err(errno)),
    }
}

pub(crate) fn finish_bind(call: &mut Call<'_>, (this,): (Borrow<UdpSocket>,)) -> Answered<()> {
    let resources = &mut call.component().resources;
    let udp: &mut UdpSocket = resources.get_mut(this.rep)?;
    match std::mem::take(&mut udp.binds) {
        true => Ok(Ok(())),
        false => Ok(Err(ErrorCode::NotInProgress)),
    }
}

/// Whether there are streams of the socket's.
fn has_streams(call: &Call<'_>, rep: u32) -> bool {
    let mut children = call.ctx.component.resources.children_of(rep);
    children.any(|child| {
        matches!(
            child,
            Resource::IncomingDatagramStream(_) | Resource::OutgoingDatagramStream(_)
        )
    })
}

pub(crate) fn stream(
    call: &mut Call<'_>,
    (this, peer): (Borrow<UdpSocket>, Option<IpSocketAddress>),
) -> Answered<(Own<IncomingDatagramStream>, Own<OutgoingDatagramStream>)> {
    let fd = fd(call.ctx, this.rep)?;
    if has_streams(call, this.rep) {
        return trap("UDP streams not dropped yet");
    }
    let grants = &call.ctx.resources.grants.clone();
    let connected = socket_mut(call.ctx, fd).and_then(|socket| {
        if !socket.is_bound() {
            return Err(Errno::NOTCONN);
        }
        let Some(peer) = peer.map(SocketAddr::from) else {
            return match socket.peer() {
                Some(_) => socket.disconnect(),
                None => Ok(()),
            };
        };
        if !is_of_family(peer.ip(), socket.is_v6()) || !is_of_peer(peer) {
            return Err(Errno::INVAL);
        }
        match socket.connect(peer, grants) {
            // Another way leads to this peer than to the last one.
            Err(Errno::INVAL) => {
                socket.disconnect()?;
                socket.connect(peer, grants)
            }
            connected => connected,
        }
    });
    if let Err(errno) = connected {
        return answer(Err(errno));
    }
    let peer = socket(call.ctx, fd).ok().and_then(Socket::peer);
    let resources = &mut call.component().resources;
    let socket = this.rep;
    let incoming = resources.push_child(IncomingDatagramStream { socket, peer }, socket)?;
    let outgoing = OutgoingDatagramStream { socket, permit: 0 };
    let outgoing = resources.push_child(outgoing, socket)?;
    Ok(Ok((Own::new(incoming), Own::new(outgoing))))
}

pub(crate) fn local_address(
    call: &mut Call<'_>,
    (this,): (Borrow<UdpSocket>,),
) -> Answered<IpSocketAddress> {
    with_socket(call, &this, |socket| match socket.is_bound() {
        true => socket.local_address().map(IpSocketAddress::from),
        false => Err(Errno::NOTCONN),
    })
}

pub(crate) fn remote_address(
    call: &mut Call<'_>,
    (this,): (Borrow<UdpSocket>,),
) -> Answered<IpSocketAddress> {
    with_socket(call, &this, |socket| {
        socket
            .peer()
            .map(IpSocketAddress::from)
            .ok_or(Errno::NOTCONN)
    })
}

pub(crate) fn address_family(
    call: &mut Call<'_>,
    (this,): (Borrow<UdpSocket>,),
) -> Called<IpAddressFamily> {
    let fd = fd(call.ctx, this.rep)?;
    Ok(family(call.ctx, fd))
}

fn with_socket<T>(
    call: &mut Call<'_>,
    this: &Borrow<UdpSocket>,
    ask: impl FnOnce(&Socket) -> OsResult<T>,
) -> Answered<T> {
    let fd = fd(call.ctx, this.rep)?;
    answer(socket(call.ctx, fd).and_then(ask))
}

fn with_socket_mut(
    call: &mut Call<'_>,
    this: &Borrow<UdpSocket>,
    set: impl FnOnce(&mut Socket) -> OsResult<()>,
) -> Answered<()> {
    let fd = fd(call.ctx, this.rep)?;
    answer(socket_mut(call.ctx, fd).and_then(set))
}

pub(crate) fn unicast_hop_limit(
    call: &mut Call<'_>,
    (this,): (Borrow<UdpSocket>,),
) -> Answered<u8> {
    with_socket(call, &this, network::hop_limit)
}

pub(crate) fn set_unicast_hop_limit(
    call: &mut Call<'_>,
    (this, value): (Borrow<UdpSocket>, u8),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| network::set_hop_limit(socket, value))
}

pub(crate) fn receive_buffer_size(
    call: &mut Call<'_>,
    (this,): (Borrow<UdpSocket>,),
) -> Answered<u64> {
    with_socket(call, &this, network::receive_buffer_size)
}

pub(crate) fn set_receive_buffer_size(
    call: &mut Call<'_>,
    (this, value): (Borrow<UdpSocket>, u64),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| {
        network::set_receive_buffer_size(socket, value)
    })
}

pub(crate) fn send_buffer_size(
    call: &mut Call<'_>,
    (this,): (Borrow<UdpSocket>,),
) -> Answered<u64> {
    with_socket(call, &this, network::send_buffer_size)
}

pub(crate) fn set_send_buffer_size(
    call: &mut Call<'_>,
    (this, value): (Borrow<UdpSocket>, u64),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| {
        network::set_send_buffer_size(socket, value)
    })
}

pub(crate) fn subscribe(
    call: &mut Call<'_>,
    (this,): (Borrow<UdpSocket>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<UdpSocket>(this.rep)?;
    resources.push_child(Pollable, this.rep).map(Own::new)
}

pub(crate) fn receive(
    call: &mut Call<'_>,
    (this, max): (Borrow<IncomingDatagramStream>, u64),
) -> Answered<Vec<IncomingDatagram>> {
    let stream: IncomingDatagramStream = *call.component().resources.get(this.rep)?;
    let fd = fd(call.ctx, stream.socket)?;
    let (mut datagrams, mut bytes) = (Vec::new(), 0);
    while (datagrams.len() as u64) < max.min(MAX_DATAGRAMS.into()) && bytes < MAX_BYTES {
        let mut data = vec![0; MAX_DATAGRAM_BYTES];
        let received = socket_mut(call.ctx, fd).and_then(|socket| socket.receive(&mut data, false));
        let from = match received {
            Ok(received) => {
                data.truncate(received.count);
                received.from
            }
            Err(Errno::AGAIN) => break,
            Err(_) if !datagrams.is_empty() => break,
            Err(errno) => return answer(Err(errno)),
        };
        // It may have come before the socket had this peer.
        let Some(from) = from.filter(|from| stream.peer.is_none_or(|peer| peer == *from)) else {
            continue;
        };
        data.shrink_to_fit();
        bytes += 1 + data.len();
        datagrams.push(IncomingDatagram {
            data,
            remote_address: from.into(),
        });
    }
    Ok(Ok(datagrams))
}

pub(crate) fn subscribe_incoming(
    call: &mut Call<'_>,
    (this,): (Borrow<IncomingDatagramStream>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<IncomingDatagramStream>(this.rep)?;
    resources.push_child(Pollable, this.rep).map(Own::new)
}

pub(crate) fn check_send(
    call: &mut Call<'_>,
    (this,): (Borrow<OutgoingDatagramStream>,),
) -> Answered<u64> {
    let stream: OutgoingDatagramStream = *call.component().resources.get(this.rep)?;
    let fd = fd(call.ctx, stream.socket)?;
    let permit = match call.ctx.readiness(fd, Interest::Write).ready {
        true => MAX_DATAGRAMS,
        false => 0,
    };
    let resources = &mut call.component().resources;
    resources
        .get_mut::<OutgoingDatagramStream>(this.rep)?
        .permit = permit;
    Ok(Ok(permit.into()))
}

pub(crate) fn send(
    call: &mut Call<'_>,
    (this, datagrams): (Borrow<OutgoingDatagramStream>, Vec<OutgoingDatagram>),
) -> Answered<u64> {
    let resources = &mut call.component().resources;
    let stream: &mut OutgoingDatagramStream = resources.get_mut(this.rep)?;
    if datagrams.is_empty() {
        return Ok(Ok(0));
    }
    if datagrams.len() > stream.permit as usize {
        return trap("unpermitted: argument exceeds permitted size");
    }
    stream.permit = 0;
    let fd = fd(
        call.ctx,
        call.ctx
            .component
            .resources
            .get::<OutgoingDatagramStream>(this.rep)?
            .socket,
    )?;
    let mut count = 0;
    for datagram in datagrams {
        match send_one(call, fd, datagram) {
            Ok(()) => count += 1,
            Err(Errno::AGAIN) => break,
            // The guest is told of what was sent.
            Err(_) if count > 0 => break,
            Err(errno) => return answer(Err(errno)),
        }
    }
    Ok(Ok(count))
}

fn send_one(call: &Call<'_>, fd: u32, datagram: OutgoingDatagram) -> OsResult<()> {
    let socket = socket(call.ctx, fd)?;
    if datagram.data.len() > MAX_DATAGRAM_BYTES {
        return Err(Errno::MSGSIZE);
    }
    let to = match (datagram.remote_address.map(SocketAddr::from), socket.peer()) {
        (Some(to), _) if !is_of_peer(to) || !is_of_family(to.ip(), socket.is_v6()) => {
            return Err(Errno::INVAL);
        }
        (Some(to), Some(peer)) if to != peer => return Err(Errno::INVAL),
        // A connected socket was granted its peer.
        (_, Some(_)) => None,
        (Some(to), None) => Some(socket.destination(to, &call.ctx.resources.grants)?),
        (None, None) => return Err(Errno::INVAL),
    };
    let bytes = call.memory.get(datagram.data.range()).unwrap_or_default();
    socket.send(&[IoSlice::new(bytes)], to).map(drop)
}

pub(crate) fn subscribe_outgoing(
    call: &mut Call<'_>,
    (this,): (Borrow<OutgoingDatagramStream>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<OutgoingDatagramStream>(this.rep)?;
    resources.push_child(Pollable, this.rep).map(Own::new)
}
