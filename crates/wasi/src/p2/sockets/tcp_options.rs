//! The options of TCP sockets.

use super::network::{self, Answered, answer, number, set_number};
use super::tcp::usable;
use super::types::ErrorCode;
use crate::errno::{Errno, Result as OsResult};
use crate::p2::abi::Borrow;
use crate::p2::call::Call;
use crate::p2::connection::{socket, socket_mut};
use crate::p2::resource::TcpSocket;
use crate::sock::Socket;
use crate::sock::options::{KEEP_COUNT, KEEP_IDLE, KEEP_INTERVAL, KEEPALIVE};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// The longest time that a connection is not probed, in seconds, as on Linux.
const MAX_SECONDS: u64 = i16::MAX as u64;
/// The most probes of a connection, as on Linux.
const MAX_PROBES: u32 = i8::MAX as u32;

/// What is asked of the socket, unless it is being connected.
fn with_socket<T>(
    call: &mut Call<'_>,
    this: &Borrow<TcpSocket>,
    ask: impl FnOnce(&Socket) -> OsResult<T>,
) -> Answered<T> {
    let fd = usable(call, this)?;
    let socket = fd.and_then(|fd| socket(call.ctx, fd));
    answer(socket.and_then(|socket| match socket.is_connecting() {
        true => Err(Errno::NOTCONN),
        false => ask(socket),
    }))
}

/// What is set on the socket, unless it is being connected.
fn with_socket_mut(
    call: &mut Call<'_>,
    this: &Borrow<TcpSocket>,
    set: impl FnOnce(&mut Socket) -> OsResult<()>,
) -> Answered<()> {
    let fd = usable(call, this)?;
    let socket = fd.and_then(|fd| socket_mut(call.ctx, fd));
    answer(socket.and_then(|socket| match socket.is_connecting() {
        true => Err(Errno::NOTCONN),
        false => set(socket),
    }))
}

/// A time in nanoseconds as whole seconds, of which there is at least one.
fn seconds(time: u64) -> OsResult<u32> {
    match time {
        0 => Err(Errno::INVAL),
        // It fits: it is at most `MAX_SECONDS`.
        time => Ok((time / SECOND).clamp(1, MAX_SECONDS) as u32),
    }
}

pub(crate) fn set_listen_backlog_size(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, u64),
) -> Answered<()> {
    if value == 0 {
        return Ok(Err(ErrorCode::InvalidArgument));
    }
    let backlog = i32::try_from(value).unwrap_or(i32::MAX);
    let fd = match usable(call, &this)? {
        Ok(fd) => fd,
        Err(errno) => return answer(Err(errno)),
    };
    let grants = &call.ctx.resources.grants.clone();
    let socket = match socket_mut(call.ctx, fd) {
        Ok(socket) => socket,
        Err(errno) => return answer(Err(errno)),
    };
    if socket.is_listening() {
        if socket.listen(backlog, grants).is_err() {
            return Ok(Err(ErrorCode::NotSupported));
        }
    } else if !socket.is_fresh() {
        return Ok(Err(ErrorCode::InvalidState));
    }
    let tcp: &mut TcpSocket = call.component().resources.get_mut(this.rep)?;
    tcp.backlog = backlog;
    Ok(Ok(()))
}

pub(crate) fn keep_alive_enabled(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<bool> {
    with_socket(call, &this, |socket| Ok(number(socket, KEEPALIVE)? != 0))
}

pub(crate) fn set_keep_alive_enabled(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, bool),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| {
        set_number(socket, KEEPALIVE, value.into())
    })
}

pub(crate) fn keep_alive_idle_time(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<u64> {
    with_socket(call, &this, |socket| {
        Ok(u64::from(number(socket, KEEP_IDLE)?) * SECOND)
    })
}

pub(crate) fn set_keep_alive_idle_time(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, u64),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| {
        set_number(socket, KEEP_IDLE, seconds(value)?)
    })
}

pub(crate) fn keep_alive_interval(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<u64> {
    with_socket(call, &this, |socket| {
        Ok(u64::from(number(socket, KEEP_INTERVAL)?) * SECOND)
    })
}

pub(crate) fn set_keep_alive_interval(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, u64),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| {
        set_number(socket, KEEP_INTERVAL, seconds(value)?)
    })
}

pub(crate) fn keep_alive_count(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<u32> {
    with_socket(call, &this, |socket| number(socket, KEEP_COUNT))
}

pub(crate) fn set_keep_alive_count(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, u32),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| match value {
        0 => Err(Errno::INVAL),
        value => set_number(socket, KEEP_COUNT, value.min(MAX_PROBES)),
    })
}

pub(crate) fn hop_limit(call: &mut Call<'_>, (this,): (Borrow<TcpSocket>,)) -> Answered<u8> {
    with_socket(call, &this, network::hop_limit)
}

pub(crate) fn set_hop_limit(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, u8),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| network::set_hop_limit(socket, value))
}

pub(crate) fn receive_buffer_size(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<u64> {
    with_socket(call, &this, network::receive_buffer_size)
}

pub(crate) fn set_receive_buffer_size(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, u64),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| {
        network::set_receive_buffer_size(socket, value)
    })
}

pub(crate) fn send_buffer_size(
    call: &mut Call<'_>,
    (this,): (Borrow<TcpSocket>,),
) -> Answered<u64> {
    with_socket(call, &this, network::send_buffer_size)
}

pub(crate) fn set_send_buffer_size(
    call: &mut Call<'_>,
    (this, value): (Borrow<TcpSocket>, u64),
) -> Answered<()> {
    with_socket_mut(call, &this, |socket| {
        network::set_send_buffer_size(socket, value)
    })
}
