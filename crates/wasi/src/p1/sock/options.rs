//! `sock_getsockopt` and `sock_setsockopt`.
//!
//! The two timeouts are not options of the host's sockets, which never wait.

use std::time::Duration;

use super::descriptor::{DATAGRAM, STREAM, socket, socket_mut};
use crate::guest::Ctx;
use crate::p1::errno::Errno;
use crate::p1::memory::{Memory, Result, arg};
use crate::sock::Socket;
use crate::sock::options::{BINDTODEVICE, ERROR, RCVTIMEO, SNDTIMEO, TYPE};

/// How much is read of an option's value, in bytes. All values are shorter.
const MAX_VALUE_BYTES: u32 = 64;

pub(in crate::p1) fn sock_getsockopt(ctx: &Ctx, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let socket = socket(&ctx.table, arg(a, 0), 0)?;
    let name = option(a)?;
    let (address, size) = (arg(a, 3), arg(a, 4));
    let room = memory.u32(size)?;
    memory.bytes(address, room)?;
    let value = value(socket, name)?;
    if value.len() > room as usize {
        return Err(Errno::Inval);
    }
    memory.write(address, &value)?;
    memory.write_u32(size, value.len() as u32)
}

fn value(socket: &Socket, name: u8) -> Result<Vec<u8>> {
    let number = |value: u32| Ok(value.to_le_bytes().to_vec());
    match name {
        TYPE if socket.is_datagram() => number(DATAGRAM),
        TYPE => number(STREAM),
        RCVTIMEO => Ok(timeval(socket.receive_timeout)),
        SNDTIMEO => Ok(timeval(socket.send_timeout)),
        ERROR => {
            let errno = socket.take_error()?.map_or(Errno::Success, Errno::from);
            number(errno.raw().into())
        }
        _ => Ok(socket.option(name)?),
    }
}

pub(in crate::p1) fn sock_setsockopt(ctx: &mut Ctx, a: &[u64], memory: &Memory<'_>) -> Result<()> {
    let name = option(a)?;
    let length = arg(a, 4);
    let value = match length {
        0 if name == BINDTODEVICE => Vec::new(),
        _ => memory
            .bytes(arg(a, 3), length.min(MAX_VALUE_BYTES))?
            .to_vec(),
    };
    let socket = socket_mut(&mut ctx.table, arg(a, 0))?;
    match name {
        RCVTIMEO => socket.receive_timeout = timeout(&value)?,
        SNDTIMEO => socket.send_timeout = timeout(&value)?,
        _ => socket.set_option(name, value)?,
    }
    Ok(())
}

/// The number of the option. There is only one level.
fn option(a: &[u64]) -> Result<u8> {
    match (arg(a, 1), u8::try_from(arg(a, 2))) {
        (0, Ok(name)) if name <= BINDTODEVICE => Ok(name),
        _ => Err(Errno::Inval),
    }
}

/// A timeout from C's `timeval` with 64-bit seconds and microseconds, where zero means no timeout.
fn timeout(value: &[u8]) -> Result<Option<Duration>> {
    let word = |at: usize| {
        let bytes = value
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(i64::from_le_bytes).ok_or(Errno::Inval)
    };
    let (seconds, micros) = (word(0)?, word(8)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::Dom);
    }
    // As on Linux, negative seconds count as none.
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let time = Duration::from_secs(seconds) + Duration::from_micros(micros as u64);
    Ok((!time.is_zero()).then_some(time))
}

/// A timeout as C's `timeval`.
fn timeval(time: Option<Duration>) -> Vec<u8> {
    let time = time.unwrap_or_default();
    let mut value = time.as_secs().to_le_bytes().to_vec();
    value.extend(u64::from(time.subsec_micros()).to_le_bytes());
    value
}
