//! Sending and receiving.

use std::io::IoSlice;
use std::net::SocketAddr;

use dormouse_model::{Interest, Wait};

use super::address;
use super::descriptor::{Form, socket, socket_mut, wait_for};
use crate::errno::Errno as Os;
use crate::guest::Ctx;
use crate::guest::rights;
use crate::p1::errno::Errno;
use crate::p1::memory::{Iovec, MAX_IOVECS, Memory, Result, arg};
use crate::sock::{Received, Socket};

/// `riflags` of the specification.
const PEEK: u32 = 1 << 0;
const WAITALL: u32 = 1 << 1;
/// `roflags` of the specification.
const TRUNCATED: u16 = 1 << 0;

/// The size of the buffer by way of which several of the guest's are filled or sent, in bytes. No
/// datagram is larger.
const SCRATCH_BYTES: usize = 64 << 10;

/// How many buffers one receive fills, and one datagram is taken from. None of them is empty, so
/// that a datagram in more buffers is too large anyway.
const MAX_DATAGRAM_IOVECS: usize = SCRATCH_BYTES;

/// `sock_recv`; gives the wait where nothing has arrived yet.
pub(in crate::p1) fn sock_recv(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let number = arg(a, 0);
    socket(&ctx.table, number, rights::FD_READ)?;
    memory.check_result(arg(a, 4))?;
    memory.bytes(arg(a, 5), 2)?;
    let iovecs = iovecs(memory, a)?;
    let received = match receive(ctx, number, &iovecs, arg(a, 3), memory, woken)? {
        Receive::Done(received) => received,
        Receive::Waits(wait) => return Ok(Some(wait)),
    };
    memory.write_u32(arg(a, 4), received.count as u32)?;
    memory.write(arg(a, 5), &roflags(&received))?;
    Ok(None)
}

/// `sock_recv_from`; gives the wait where nothing has arrived yet. The second form has a place for
/// the sender's port.
pub(in crate::p1) fn sock_recv_from(
    ctx: &mut Ctx,
    a: &[u64],
    form: Form,
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let number = arg(a, 0);
    socket(&ctx.table, number, rights::FD_READ)?;
    let (port, count, flags) = match form {
        Form::First => (None, arg(a, 5), arg(a, 6)),
        Form::Second => (Some(arg(a, 5)), arg(a, 6), arg(a, 7)),
    };
    memory.check_result(count)?;
    memory.bytes(flags, 2)?;
    address::check_sender(memory, arg(a, 3), port)?;
    let iovecs = iovecs(memory, a)?;
    let received = match receive(ctx, number, &iovecs, arg(a, 4), memory, woken)? {
        Receive::Done(received) => received,
        Receive::Waits(wait) => return Ok(Some(wait)),
    };
    if let Some(sender) = received.from {
        address::write_sender(memory, arg(a, 3), port, sender)?;
    }
    memory.write_u32(count, received.count as u32)?;
    memory.write(flags, &roflags(&received))?;
    Ok(None)
}

/// `fd_read` on a socket.
pub(in crate::p1) fn read_socket(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let iovecs = iovecs(memory, a)?;
    memory.check_result(arg(a, 3))?;
    match receive(ctx, arg(a, 0), &iovecs, 0, memory, woken)? {
        Receive::Done(received) => {
            memory.write_u32(arg(a, 3), received.count as u32)?;
            Ok(None)
        }
        Receive::Waits(wait) => Ok(Some(wait)),
    }
}

/// What a receive comes to.
enum Receive {
    Done(Received),
    Waits(Wait),
}

impl Receive {
    /// Bytes of a stream.
    fn bytes(count: u32) -> Self {
        Self::Done(Received {
            count: count as usize,
            truncated: false,
            from: None,
        })
    }
}

/// Receives. With `WAITALL` that is in pieces: what has been received already is kept as a number
/// while the guest waits for the rest.
fn receive(
    ctx: &mut Ctx,
    number: u32,
    iovecs: &[Iovec],
    riflags: u32,
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Receive> {
    if riflags & !(PEEK | WAITALL) != 0 {
        return Err(Errno::Inval);
    }
    // The sum was checked to fit.
    let total: u32 = iovecs.iter().map(|iovec| iovec.length).sum();
    let before = std::mem::take(&mut ctx.received);
    let socket = socket_mut(&mut ctx.table, number)?;
    if let Some(errno) = socket.pending_error.take() {
        return Err(errno.into());
    }
    let peek = riflags & PEEK != 0;
    // A peek does not wait for all: it would see the same bytes again and again.
    let all = riflags & WAITALL != 0 && !peek && !socket.is_datagram();
    let mut done = match all && woken.is_some() {
        true => before.min(total),
        false => 0,
    };
    if total == done && !socket.is_datagram() {
        return Ok(Receive::bytes(done));
    }
    loop {
        match receive_once(socket, &behind(iovecs, done), peek, memory) {
            Ok(received) => {
                done += received.count as u32;
                if !all || received.count == 0 || done == total {
                    return Ok(Receive::Done(Received {
                        count: done as usize,
                        ..received
                    }));
                }
            }
            Err(Os::AGAIN) => break,
            Err(errno) if done > 0 => {
                socket.pending_error = Some(errno);
                return Ok(Receive::bytes(done));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    match wait_for(ctx, number, Interest::Read, woken, Errno::Again) {
        Ok(wait) => {
            ctx.received = done;
            Ok(Receive::Waits(wait))
        }
        Err(_) if done > 0 => Ok(Receive::bytes(done)),
        Err(errno) => Err(errno),
    }
}

/// Receives once into buffers.
fn receive_once(
    socket: &mut Socket,
    iovecs: &[Iovec],
    peek: bool,
    memory: &mut Memory<'_>,
) -> crate::errno::Result<Received> {
    // All buffers were checked to lie in memory.
    let outside = |_| Os::FAULT;
    if let [iovec] = iovecs {
        let buffer = memory.bytes_mut(iovec.address, iovec.length);
        return socket.receive(buffer.map_err(outside)?, peek);
    }
    let total: usize = iovecs.iter().map(|iovec| iovec.length as usize).sum();
    let mut scratch = vec![0; total.min(SCRATCH_BYTES)];
    let received = socket.receive(&mut scratch, peek)?;
    let mut left = &scratch[..received.count];
    for iovec in iovecs {
        let (piece, rest) = left.split_at(left.len().min(iovec.length as usize));
        memory.write(iovec.address, piece).map_err(outside)?;
        left = rest;
    }
    Ok(received)
}

/// `sock_send`; gives the wait where there is no room yet. It sends as much as there is room for.
pub(in crate::p1) fn sock_send(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    if arg(a, 3) != 0 {
        return Err(Errno::Inval);
    }
    send(ctx, a, None, arg(a, 4), memory, woken)
}

/// `sock_send_to`; gives the wait where there is no room yet.
pub(in crate::p1) fn sock_send_to(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let socket = socket(&ctx.table, arg(a, 0), rights::FD_WRITE)?;
    if arg(a, 5) != 0 {
        return Err(Errno::Inval);
    }
    let to = address::read(memory, arg(a, 3), arg(a, 4))?;
    let to = socket.destination(to, &ctx.resources.grants)?;
    send(ctx, a, Some(to), arg(a, 6), memory, woken)
}

/// `fd_write` on a socket.
pub(in crate::p1) fn write_socket(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    send(ctx, a, None, arg(a, 3), memory, woken)
}

fn send(
    ctx: &mut Ctx,
    a: &[u64],
    to: Option<SocketAddr>,
    result: u32,
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let number = arg(a, 0);
    let socket = socket(&ctx.table, number, rights::FD_WRITE)?;
    memory.check_result(result)?;
    let count = match socket.is_datagram() {
        true => send_datagram(socket, a, memory, to),
        false => {
            let slices = memory.slices(arg(a, 1), arg(a, 2))?;
            socket.send(&slices, to).map_err(Errno::from)
        }
    };
    match count {
        Err(Errno::Again) => wait_for(ctx, number, Interest::Write, woken, Errno::Again).map(Some),
        // The sum of the buffers was checked to fit.
        count => memory.write_u32(result, count? as u32).map(|()| None),
    }
}

/// Sends a datagram, which goes out whole in however many buffers it lies.
fn send_datagram(
    socket: &Socket,
    a: &[u64],
    memory: &Memory<'_>,
    to: Option<SocketAddr>,
) -> Result<usize> {
    let (iovecs, all) = memory.nonempty_iovecs(arg(a, 1), arg(a, 2), MAX_DATAGRAM_IOVECS)?;
    let slices = memory.slices_of(&iovecs)?;
    if all && slices.len() <= MAX_IOVECS {
        return Ok(socket.send(&slices, to)?);
    }
    let length: usize = slices.iter().map(|slice| slice.len()).sum();
    if !all || length > SCRATCH_BYTES {
        return Err(Errno::Msgsize);
    }
    let whole: Vec<u8> = slices
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
    Ok(socket.send(&[IoSlice::new(&whole)], to)?)
}

/// The buffers to receive into. With more of them than these, the receive is a short one.
fn iovecs(memory: &Memory<'_>, a: &[u64]) -> Result<Vec<Iovec>> {
    let (iovecs, _) = memory.nonempty_iovecs(arg(a, 1), arg(a, 2), MAX_DATAGRAM_IOVECS)?;
    Ok(iovecs)
}

/// What is left of buffers behind the first `done` bytes.
fn behind(iovecs: &[Iovec], done: u32) -> Vec<Iovec> {
    let mut skip = done;
    let rest = iovecs.iter().filter_map(|iovec| {
        let skipped = skip.min(iovec.length);
        skip -= skipped;
        // Inside the buffer, which lies in memory.
        (iovec.length > skipped).then_some(Iovec {
            address: iovec.address + skipped,
            length: iovec.length - skipped,
        })
    });
    rest.collect()
}

/// `roflags` of the specification.
fn roflags(received: &Received) -> [u8; 2] {
    match received.truncated {
        true => TRUNCATED.to_le_bytes(),
        false => [0, 0],
    }
}
