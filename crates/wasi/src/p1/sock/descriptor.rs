//! The sockets behind descriptors, and waits for them.

use std::time::Duration;

use dormouse_model::{Deadline, FdInterest, Interest, Wait};

use crate::guest::Ctx;
use crate::guest::fdflags;
use crate::guest::table::{Kind, Table};
use crate::p1::errno::Errno;
use crate::p1::memory::Result;
use crate::sock::Socket;

/// `sock_type` of WasmEdge.
pub(super) const DATAGRAM: u32 = 1;
pub(super) const STREAM: u32 = 2;

/// The form of a call of which WasmEdge's extension has two, with different parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::p1) enum Form {
    First,
    Second,
}

/// The socket behind a descriptor that has the right.
pub(super) fn socket(table: &Table, number: u32, right: u64) -> Result<&Socket> {
    match &table.get(number)?.kind {
        Kind::Socket(socket) => table.with(number, right).map(|_| &**socket),
        _ => Err(Errno::Notsock),
    }
}

/// The socket behind a descriptor, to change it.
pub(super) fn socket_mut(table: &mut Table, number: u32) -> Result<&mut Socket> {
    match &mut table.get_mut(number)?.kind {
        Kind::Socket(socket) => Ok(&mut **socket),
        _ => Err(Errno::Notsock),
    }
}

/// The wait for a socket; the error `otherwise` if the guest does not want to wait, or has waited
/// for as long as it wants. `woken` is the wait that this very call gave before.
pub(super) fn wait_for(
    ctx: &Ctx,
    number: u32,
    interest: Interest,
    woken: Option<&Wait>,
    otherwise: Errno,
) -> Result<Wait> {
    if ctx.table.get(number)?.flags & fdflags::NONBLOCK != 0 {
        return Err(otherwise);
    }
    let clock = &ctx.resources.clock;
    let timeout = socket(&ctx.table, number, 0)?.timeout(interest);
    let deadline = match woken {
        // It counts from the first call.
        Some(Wait::Poll { deadline, .. }) => *deadline,
        _ => timeout.map(|timeout| clock.host_deadline_after(timeout)),
    };
    if deadline.is_some_and(|deadline: Deadline| clock.until(deadline) == Duration::ZERO) {
        return Err(otherwise);
    }
    Ok(Wait::Poll {
        deadline,
        fds: vec![FdInterest {
            fd: number,
            interest,
        }],
    })
}
