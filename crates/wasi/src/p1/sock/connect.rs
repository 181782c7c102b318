//! Opening sockets and connecting them.

use std::net::SocketAddr;

use dormouse_model::{Interest, Wait};
use rustix::net::Shutdown;

use super::address;
use super::descriptor::{DATAGRAM, Form, STREAM, socket, socket_mut, wait_for};
use crate::errno::Errno as Os;
use crate::guest::Ctx;
use crate::guest::table::Descriptor;
use crate::guest::{fdflags, rights};
use crate::p1::errno::Errno;
use crate::p1::memory::{Memory, Result, arg};
use crate::sock::{Family, Socket};

/// `sdflags` of the specification.
const RECEIVE: u32 = 1 << 0;
const SEND: u32 = 1 << 1;

/// `AF_UNIX` of WasmEdge.
const UNIX: u8 = 3;

pub(in crate::p1) fn sock_open(ctx: &mut Ctx, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    memory.check_result(arg(a, 2))?;
    let family = u8::try_from(arg(a, 0)).map_err(|_| Errno::Inval)?;
    let v6 = match address::family(family) {
        Some(family) => family == Family::V6,
        // WasmEdge offers these only to guests that name them.
        None if family == UNIX => return Err(Errno::Afnosupport),
        None => return Err(Errno::Inval),
    };
    let datagram = match arg(a, 1) {
        DATAGRAM => true,
        STREAM => false,
        _ => return Err(Errno::Inval),
    };
    ctx.table.check_room()?;
    let socket = Socket::open(v6, datagram)?;
    let number = ctx.table.insert(Descriptor::socket(socket, 0))?;
    memory.write_u32(arg(a, 2), number)
}

pub(in crate::p1) fn sock_bind(ctx: &mut Ctx, a: &[u64], memory: &Memory<'_>) -> Result<()> {
    let number = arg(a, 0);
    let address = address::read(memory, arg(a, 1), arg(a, 2))?;
    Ok(socket_mut(&mut ctx.table, number)?.bind(address, &ctx.resources.grants)?)
}

pub(in crate::p1) fn sock_listen(ctx: &mut Ctx, a: &[u64]) -> Result<()> {
    let (number, backlog) = (arg(a, 0), arg(a, 1) as i32);
    Ok(socket_mut(&mut ctx.table, number)?.listen(backlog, &ctx.resources.grants)?)
}

/// `sock_accept`; gives the wait where no connection is pending. The second form, which is also
/// that of the specification, has flags for the new descriptor.
pub(in crate::p1) fn sock_accept(
    ctx: &mut Ctx,
    a: &[u64],
    form: Form,
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let number = arg(a, 0);
    let (flags, result) = match form {
        Form::First => (0, arg(a, 1)),
        Form::Second => (arg(a, 1), arg(a, 2)),
    };
    memory.check_result(result)?;
    let listener = socket(&ctx.table, number, rights::SOCK_ACCEPT)?;
    let flags = u16::try_from(flags).map_err(|_| Errno::Inval)?;
    if flags & !fdflags::NONBLOCK != 0 {
        return Err(Errno::Inval);
    }
    ctx.table.check_room()?;
    let inheriting = ctx.table.get(number)?.inheriting;
    let accepted = match listener.accept() {
        Err(Os::AGAIN) => {
            return wait_for(ctx, number, Interest::Read, woken, Errno::Again).map(Some);
        }
        accepted => accepted?,
    };
    let mut descriptor = Descriptor::socket(accepted, flags);
    descriptor.given_up = rights::CONNECTION & !inheriting;
    descriptor.rights &= inheriting;
    let connection = ctx.table.insert(descriptor)?;
    memory.write_u32(result, connection)?;
    Ok(None)
}

/// `sock_connect`; gives the wait until the peer has answered.
pub(in crate::p1) fn sock_connect(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let number = arg(a, 0);
    let goes_on = woken.is_some() && socket(&ctx.table, number, 0)?.is_connecting();
    let connected = match goes_on {
        true => socket_mut(&mut ctx.table, number)?.finish_connect(),
        false => {
            socket(&ctx.table, number, 0)?;
            let address = address::read(memory, arg(a, 1), arg(a, 2))?;
            socket_mut(&mut ctx.table, number)?.connect(address, &ctx.resources.grants)
        }
    };
    match connected {
        Ok(()) => Ok(None),
        Err(Os::INPROGRESS) => {
            let woken = woken.filter(|_| goes_on);
            wait_for(ctx, number, Interest::Write, woken, Errno::Inprogress).map(Some)
        }
        Err(errno) => Err(errno.into()),
    }
}

pub(in crate::p1) fn sock_shutdown(ctx: &Ctx, a: &[u64]) -> Result<()> {
    let socket = socket(&ctx.table, arg(a, 0), rights::SOCK_SHUTDOWN)?;
    let how = match arg(a, 1) {
        RECEIVE => Shutdown::Read,
        SEND => Shutdown::Write,
        both if both == RECEIVE | SEND => Shutdown::Both,
        _ => return Err(Errno::Inval),
    };
    Ok(socket.shutdown(how)?)
}

pub(in crate::p1) fn sock_getlocaladdr(
    ctx: &Ctx,
    a: &[u64],
    form: Form,
    memory: &mut Memory<'_>,
) -> Result<()> {
    let address = socket(&ctx.table, arg(a, 0), 0)?.local_address()?;
    write_address(a, form, memory, address)
}

pub(in crate::p1) fn sock_getpeeraddr(
    ctx: &Ctx,
    a: &[u64],
    form: Form,
    memory: &mut Memory<'_>,
) -> Result<()> {
    let address = socket(&ctx.table, arg(a, 0), 0)?.peer_address()?;
    write_address(a, form, memory, address)
}

fn write_address(
    a: &[u64],
    form: Form,
    memory: &mut Memory<'_>,
    address: SocketAddr,
) -> Result<()> {
    match form {
        Form::First => address::write_plain(memory, arg(a, 1), arg(a, 2), arg(a, 3), address),
        Form::Second => address::write_storage(memory, arg(a, 1), arg(a, 2), address),
    }
}
