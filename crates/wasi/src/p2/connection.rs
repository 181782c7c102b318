//! The two streams of a connection: receiving, and sending what the guest writes.
//!
//! A write gives the kernel what it takes, and keeps the rest to be sent later. Whatever the guest
//! waits for next, it also waits for these sockets, so that the rest is sent.

use std::io::IoSlice;

use dormouse_model::{FdInterest, Interest};
use rustix::net::Shutdown;

use super::resource::{Reading, TcpSocket, Writing};
use super::stop::{Called, trap};
use crate::errno::{Errno, Result};
use crate::guest::Ctx;
use crate::guest::table::{Kind, Table};
use crate::sock::Socket;

/// How many bytes one read gives, and one write takes, at most, as with Wasmtime.
const MAX_BYTES: u32 = 64 << 10;

/// The end of a stream: by an error, if there is a number.
pub(crate) struct Ended(pub(crate) Option<i32>);

/// The socket behind a descriptor.
pub(crate) fn socket(ctx: &Ctx, fd: u32) -> Result<&Socket> {
    match ctx.table.get(fd).map(|open| &open.kind) {
        Ok(Kind::Socket(socket)) => Ok(socket),
        _ => Err(Errno::NOTSOCK),
    }
}

/// The socket behind a descriptor, to change it.
pub(crate) fn socket_mut(ctx: &mut Ctx, fd: u32) -> Result<&mut Socket> {
    socket_of(&mut ctx.table, fd)
}

/// The socket behind one of these descriptors, to change it.
pub(crate) fn socket_of(table: &mut Table, fd: u32) -> Result<&mut Socket> {
    match table.get_mut(fd).map(|open| &mut open.kind) {
        Ok(Kind::Socket(socket)) => Ok(socket),
        _ => Err(Errno::NOTSOCK),
    }
}

fn tcp(ctx: &mut Ctx, rep: u32) -> Called<&mut TcpSocket> {
    ctx.component.resources.get_mut(rep)
}

/// Receives what there is: nothing, if there is nothing yet.
pub(crate) fn receive(
    ctx: &mut Ctx,
    rep: u32,
    length: u64,
) -> Called<std::result::Result<Vec<u8>, Ended>> {
    let (fd, reading) = {
        let tcp = tcp(ctx, rep)?;
        (tcp.fd, tcp.reading)
    };
    if reading != Reading::Open {
        return Ok(Err(Ended(None)));
    }
    if length == 0 {
        return Ok(Ok(Vec::new()));
    }
    let mut bytes = vec![0; length.min(MAX_BYTES.into()) as usize];
    let received = socket_mut(ctx, fd).and_then(|socket| socket.receive(&mut bytes, false));
    let ended = match received {
        Ok(received) if received.count > 0 => {
            bytes.truncate(received.count);
            return Ok(Ok(bytes));
        }
        Err(Errno::AGAIN) => return Ok(Ok(Vec::new())),
        Ok(_) => Ended(None),
        Err(errno) => Ended(Some(errno.raw_os_error())),
    };
    tcp(ctx, rep)?.reading = Reading::Ended;
    Ok(Err(ended))
}

/// How many bytes may be written now.
pub(crate) fn permit(ctx: &mut Ctx, rep: u32) -> Called<std::result::Result<u64, Ended>> {
    send_rest(ctx, rep)?;
    let tcp = tcp(ctx, rep)?;
    let fd = tcp.fd;
    match &mut tcp.writing {
        Writing::None => return Ok(Err(Ended(None))),
        Writing::Ended(errno) => return Ok(Err(Ended(*errno))),
        Writing::Sending { .. } => return Ok(Ok(0)),
        Writing::Open { .. } => {}
    }
    let permit = match ctx.readiness(fd, Interest::Write).ready {
        true => MAX_BYTES,
        false => return Ok(Ok(0)),
    };
    self::tcp(ctx, rep)?.writing = Writing::Open { permit };
    Ok(Ok(permit.into()))
}

/// Writes as many bytes as were permitted.
pub(crate) fn write(
    ctx: &mut Ctx,
    rep: u32,
    bytes: &[u8],
) -> Called<std::result::Result<(), Ended>> {
    let tcp = tcp(ctx, rep)?;
    match &mut tcp.writing {
        Writing::Open { permit } if bytes.len() <= *permit as usize => {}
        Writing::None => return Ok(Err(Ended(None))),
        Writing::Ended(errno) => return Ok(Err(Ended(*errno))),
        Writing::Open { .. } | Writing::Sending { .. } => {
            return trap(format!("not permitted to write {} bytes", bytes.len()));
        }
    }
    if bytes.is_empty() {
        return Ok(Ok(()));
    }
    let fd = tcp.fd;
    let writing = match send(ctx, fd, bytes) {
        Ok(count) if count == bytes.len() => Writing::Open { permit: 0 },
        Ok(count) => Writing::Sending {
            rest: bytes.get(count..).unwrap_or_default().to_vec(),
            ends: false,
        },
        Err(errno) => Writing::Ended(end(errno)),
    };
    set(ctx, rep, writing)?;
    flush(ctx, rep)
}

/// Whether all that was written has been sent or is going to be.
pub(crate) fn flush(ctx: &mut Ctx, rep: u32) -> Called<std::result::Result<(), Ended>> {
    match tcp(ctx, rep)?.writing {
        Writing::None => Ok(Err(Ended(None))),
        Writing::Ended(errno) => Ok(Err(Ended(errno))),
        Writing::Open { .. } | Writing::Sending { .. } => Ok(Ok(())),
    }
}

/// Ends one direction of a connection, or both. What was written is sent before.
pub(crate) fn shutdown(ctx: &mut Ctx, rep: u32, how: Shutdown) -> Called<()> {
    let tcp = tcp(ctx, rep)?;
    let fd = tcp.fd;
    if matches!(how, Shutdown::Read | Shutdown::Both) {
        tcp.reading = Reading::Ended;
        shut(ctx, fd, Shutdown::Read);
    }
    if matches!(how, Shutdown::Write | Shutdown::Both) {
        match &mut self::tcp(ctx, rep)?.writing {
            Writing::Sending { ends, .. } => *ends = true,
            Writing::Open { .. } => {
                set(ctx, rep, Writing::Ended(None))?;
                shut(ctx, fd, Shutdown::Write);
            }
            Writing::None | Writing::Ended(_) => {}
        }
    }
    Ok(())
}

fn shut(ctx: &Ctx, fd: u32, how: Shutdown) {
    // The peer may have gone already.
    let _ = socket(ctx, fd).and_then(|socket| socket.shutdown(how));
}

/// Sends what was written and not yet sent, by all sockets that have such bytes.
pub(crate) fn send_all_rests(ctx: &mut Ctx) {
    let unsent: Vec<u32> = ctx.component.unsent.iter().copied().collect();
    for rep in unsent {
        if send_rest(ctx, rep).is_err() {
            ctx.component.unsent.remove(&rep);
        }
    }
    let lingering = std::mem::take(&mut ctx.component.lingering);
    for (fd, rest) in lingering {
        match send(ctx, fd, &rest) {
            Ok(count) if count < rest.len() => {
                let rest = rest.get(count..).unwrap_or_default().to_vec();
                ctx.component.lingering.push((fd, rest.into()));
            }
            // All is sent, or nobody is there to take it.
            Ok(_) | Err(_) => {
                let _ = ctx.table.close(fd);
            }
        }
    }
}

/// What a wait of the guest's has to end by, so that all bytes are sent.
pub(crate) fn unsent(ctx: &Ctx) -> impl Iterator<Item = FdInterest> {
    let component = &ctx.component;
    let sockets = component.unsent.iter().filter_map(|rep| {
        let socket: &TcpSocket = component.resources.get(*rep).ok()?;
        Some(socket.fd)
    });
    let lingering = component.lingering.iter().map(|(fd, _)| *fd);
    sockets.chain(lingering).map(|fd| FdInterest {
        fd,
        interest: Interest::Write,
    })
}

/// Sends what a socket has still to send, as much as there is room for.
fn send_rest(ctx: &mut Ctx, rep: u32) -> Called<()> {
    let tcp = tcp(ctx, rep)?;
    let fd = tcp.fd;
    let Writing::Sending { rest, ends } = &mut tcp.writing else {
        ctx.component.unsent.remove(&rep);
        return Ok(());
    };
    let (mut rest, ends) = (std::mem::take(rest), *ends);
    let writing = match send(ctx, fd, &rest) {
        Ok(count) if count < rest.len() => {
            rest.drain(..count);
            Writing::Sending { rest, ends }
        }
        Ok(_) if ends => {
            shut(ctx, fd, Shutdown::Write);
            Writing::Ended(None)
        }
        Ok(_) => Writing::Open { permit: 0 },
        Err(errno) => Writing::Ended(end(errno)),
    };
    set(ctx, rep, writing)
}

fn set(ctx: &mut Ctx, rep: u32, writing: Writing) -> Called<()> {
    match writing {
        Writing::Sending { .. } => ctx.component.unsent.insert(rep),
        _ => ctx.component.unsent.remove(&rep),
    };
    tcp(ctx, rep)?.writing = writing;
    Ok(())
}

/// Sends as much as there is room for, and gives the number of bytes.
fn send(ctx: &Ctx, fd: u32, bytes: &[u8]) -> Result<usize> {
    let socket = socket(ctx, fd)?;
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = bytes.get(sent..).unwrap_or_default();
        match socket.send(&[IoSlice::new(rest)], None) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(count) => sent += count,
            Err(errno) => return Err(errno),
        }
    }
    Ok(sent)
}

/// How an error of a write ends the stream: a connection that is not any more is closed.
fn end(errno: Errno) -> Option<i32> {
    (errno != Errno::PIPE).then(|| errno.raw_os_error())
}
