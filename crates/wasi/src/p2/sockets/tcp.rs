//! `wasi:sockets/tcp`: opening, binding, listening, accepting and connecting.

use std::net::SocketAddr;

use rustix::net::{Shutdown, SocketType};

use super::network::{Answered, answer, check_network, count_descriptor, family, insert, open};
use super::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, ShutdownType, is_of_family, is_of_peer, is_unicast,
};
use crate::errno::{Errno, Result as OsResult};
use crate::guest::rights;
use crate::guest::table::Descriptor;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::connection::{self, socket, socket_mut};
use crate::p2::resource::{
    InputStream, Network, OutputStream, Pollable, Reading, TcpOperation, TcpSocket, Writing,
};
use crate::p2::stop::Called;
use crate::sock::options::REUSEADDR;

/// How many pending connections a socket has that does not say, as with Rust's standard library.
const DEFAULT_BACKLOG: i32 = 128;

impl TcpSocket {
    fn new(fd: u32) -> Self {
        Self {
            fd,
            operation: None,
            backlog: DEFAULT_BACKLOG,
            failed: None,
            reading: Reading::None,
            writing: Writing::None,
        }
    }
}

fn tcp<'a>(call: &'a mut Call<'_>, this: &Borrow<TcpSocket>) -> Called<&'a mut TcpSocket> {
    call.ctx.component.resources.get_mut(this.rep)
}

/// The guest's descriptor of a socket, or the error with which it failed to connect.
pub(super) fn usable(call: &mut Call<'_>, this: &Borrow<TcpSocket>) -> Called<OsResult<u32>> {
    let tcp = tcp(call, this)?;
    Ok(match tcp.failed {
        Some(errno) => Err(Errno::from_raw_os_error(errno)),
        None => Ok(tcp.fd),
    })
}

pub(crate) fn create_tcp_socket(
    call: &mut Call<'_>,
    (family,): (IpAddressFamily,),
) -> Answered<Own<TcpSocket>> {
    let fd = match open(call, family, SocketType::STREAM) {
        Ok(fd) => fd,
        Err(errno) => return answer(Err(errno)),
    };
    let socket = call.component().resources.push(TcpSocket::new(fd))?;
    Ok(Ok(Own::new(socket)))
}

/// Begins an operation, unless another one is under way.
fn start(
    call: &mut Call<'_>,
    this: &Borrow<TcpSocket>,
    operation: TcpOperation,
    work: impl FnOnce(&mut Call<'_>, u32) -> OsResult<Result<(), ErrorCode>>,
) -> Answered<()> {
    let tcp = self::tcp(call, this)?;
    if tcp.operation.is_some() {
        return Ok(Err(ErrorCode::ConcurrencyConflict));
    }
    let fd = tcp.fd;
    if tcp.failed.is_some() {
        return Ok(Err(ErrorCode::InvalidState));
    }
    match work(call, fd) {
        Ok(Ok(())) => {
            self::tcp(call, this)?.operation = Some(operation);
            Ok(Ok(()))
        }
        Ok(Err(code)) => Ok(Err(code)),
        Err(errno) => answer(Err(errno)),
    }
}

/// Ends an operation that was begun.
fn finish(call: &mut Call<'_>, this: &Borrow<TcpSocket>, operation: TcpOperation) -> Answered<()> {
    let tcp = tcp(call, this)?;
    if tcp.operation != Some(operation) {
        return Ok(Err(ErrorCode::NotInProgress));
    }
    tcp.operation = None;
    Ok(Ok(()))
}

pub(crate) fn start_bind(
    call: &mut Call<'_>,
    (this, network, address): (Borrow<TcpSocket>, Borrow<Network>, IpSocketAddress),
) -> Answered<()> {
    check_network(call, &network)?;
    let address = SocketAddr::from(address);
    start(call, &this, TcpOperation::Bind, |call, fd| {
        let grants = &call.ctx.resources.grants.clone();
        let socket = socket_mut(call.ctx, fd)?;
        if socket.is_bound() || !socket.is_fresh() {
            return Ok(Err(ErrorCode::InvalidState));
        }
        if !is_unicast(address.ip()) || !is_of_family(address.ip(), socket.is_v6()) {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        // Connections of before may still hold the address.
        socket.set_option(REUSEADDR, 1u32.to_le_bytes().to_vec())?;
        match socket.bind(address, grants) {
            Err(Errno::AFNOSUPPORT) => Ok(Err(ErrorCode::InvalidArgument)),
            bound => bound.map(Ok),
        }
    })
}

pub(crate) fn finish_bind(call: &mut Call<'_>, (this,): (Borrow<TcpSocket>,)) -> Answered<()> {
    finish(call, &this, TcpOperation::Bind)
}

pub(crate) fn start_connect(
    call: &mut Call<'_>,
    (this, network, address): (Borrow<TcpSocket>, Borrow<Network>, IpSocketAddress),
) -> Answered<()> {
    check_network(call, &network)?;
    let address = SocketAddr::from(address);
    let mut failed = None;
    let started = start(call, &this, TcpOperation::Connect, |call, fd| {
        let grants = &call.ctx.resources.grants.clone();
        let socket = socket_mut(call.ctx, fd)?;
        if !socket.is_fresh() {
            return Ok(Err(ErrorCode::InvalidState));
        }
        let is_valid = is_unicast(address.ip())
            && is_of_peer(address)
            && is_of_family(address.ip(), socket.is_v6());
        if !is_valid {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        // The guest is told of an error when it finishes.
        failed = match socket.connect(address, grants) {
            Ok(()) | Err(Errno::INPROGRESS) => None,
            Err(errno) => Some(errno.raw_os_error()),
        };
        Ok(Ok(()))
    });
    if let Ok(Ok(())) = started {
        tcp(call, &this)?.failed = failed;
    }
    started
}

pub(crate) fn finish_connect(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<(Own<InputStream>, Own<OutputStream>)> {
    let tcp = tcp(call, &this)?;
    if tcp.operation != Some(TcpOperation::Connect) {
        return Ok(Err(ErrorCode::NotInProgress));
    }
    let (fd, failed) = (tcp.fd, tcp.failed);
    let connected = match failed {
        Some(errno) => Err(Errno::from_raw_os_error(errno)),
        None => socket_mut(call.ctx, fd).and_then(|socket| match socket.is_connecting() {
            true => socket.finish_connect(),
            // A connection that was lost while the guest slept is one that reads as reset.
            false => Ok(()),
        }),
    };
    if connected == Err(Errno::INPROGRESS) {
        return Ok(Err(ErrorCode::WouldBlock));
    }
    let tcp = self::tcp(call, &this)?;
    tcp.operation = None;
    if let Err(errno) = connected {
        tcp.failed = Some(errno.raw_os_error());
        return answer(Err(errno));
    }
    streams(call, this.rep).map(Ok)
}

/// The two streams of a connection.
fn streams(call: &mut Call<'_>, rep: u32) -> Called<(Own<InputStream>, Own<OutputStream>)> {
    let resources = &mut call.component().resources;
    let tcp: &mut TcpSocket = resources.get_mut(rep)?;
    tcp.reading = Reading::Open;
    tcp.writing = Writing::Open { permit: 0 };
    let input = resources.push_child(InputStream::Tcp(rep), rep)?;
    let output = resources.push_child(OutputStream::Tcp(rep), rep)?;
    Ok((Own::new(input), Own::new(output)))
}

pub(crate) fn start_listen(call: &mut Call<'_>, (this,): (Borrow<TcpSocket>,)) -> Answered<()> {
    let backlog = tcp(call, &this)?.backlog;
    start(call, &this, TcpOperation::Listen, |call, fd| {
        let grants = &call.ctx.resources.grants.clone();
        let socket = socket_mut(call.ctx, fd)?;
        match socket.is_bound() && socket.is_fresh() {
            true => socket.listen(backlog, grants).map(Ok),
            false => Ok(Err(ErrorCode::InvalidState)),
        }
    })
}

pub(crate) fn finish_listen(call: &mut Call<'_>, (this,): (Borrow<TcpSocket>,)) -> Answered<()> {
    finish(call, &this, TcpOperation::Listen)
}

pub(crate) fn accept(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<(Own<TcpSocket>, Own<InputStream>, Own<OutputStream>)> {
    let listener = tcp(call, &this)?.fd;
    if !socket(call.ctx, listener).is_ok_and(|socket| socket.is_listening()) {
        return Ok(Err(ErrorCode::InvalidState));
    }
    let accepted = accept_from(call, listener);
    let fd = match count_descriptor(call.ctx, accepted) {
        Ok(fd) => fd,
        Err(errno) => return answer(Err(errno)),
    };
    let accepted = call.component().resources.push(TcpSocket::new(fd))?;
    let (input, output) = streams(call, accepted)?;
    Ok(Ok((Own::new(accepted), input, output)))
}

fn accept_from(call: &mut Call<'_>, listener: u32) -> OsResult<u32> {
    call.ctx.table.check_room().map_err(|_| Errno::MFILE)?;
    let accepted = socket(call.ctx, listener)?.accept()?;
    let open = call.ctx.table.get(listener).map_err(|_| Errno::NOTSOCK)?;
    let mut descriptor = Descriptor::socket(accepted, 0);
    descriptor.given_up = rights::CONNECTION & !open.inheriting;
    descriptor.rights &= open.inheriting;
    insert(call.ctx, descriptor)
}

pub(crate) fn local_address(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<IpSocketAddress> {
    let fd = usable(call, &this)?;
    let socket = fd.and_then(|fd| socket(call.ctx, fd));
    answer(socket.and_then(
        |socket| match socket.is_bound() && !socket.is_connecting() {
            true => socket.local_address().map(IpSocketAddress::from),
            false => Err(Errno::NOTCONN),
        },
    ))
}

pub(crate) fn remote_address(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<IpSocketAddress> {
    let fd = usable(call, &this)?;
    let socket = fd.and_then(|fd| socket(call.ctx, fd));
    answer(socket.and_then(|socket| match socket.is_connection() {
        true => socket.peer_address().map(IpSocketAddress::from),
        false => Err(Errno::NOTCONN),
    }))
}

pub(crate) fn is_listening(call: &mut Call<'_>, (this,): (Borrow<TcpSocket>,)) -> Called<bool> {
    let fd = tcp(call, &this)?.fd;
    Ok(socket(call.ctx, fd).is_ok_and(|socket| socket.is_listening()))
}

pub(crate) fn address_family(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Called<IpAddressFamily> {
    let fd = tcp(call, &this)?.fd;
    Ok(family(call.ctx, fd))
}

pub(crate) fn subscribe(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<TcpSocket>(this.rep)?;
    resources.push_child(Pollable, this.rep).map(Own::new)
}

pub(crate) fn shutdown(
    call: &mut Call<'_>,
    (this, how): (Borrow<TcpSocket>, ShutdownType),
) -> Answered<()> {
    if tcp(call, &this)?.reading == Reading::None {
        return Ok(Err(ErrorCode::InvalidState));
    }
    let how = match how {
        ShutdownType::Receive => Shutdown::Read,
        ShutdownType::Send => Shutdown::Write,
        ShutdownType::Both => Shutdown::Both,
    };
    connection::shutdown(call.ctx, this.rep, how).map(Ok)
}
