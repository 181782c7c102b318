//! `fd_read`, `fd_write`, `fd_pread` and `fd_pwrite`.

use dormouse_model::{Interest, Wait};

use super::errno::Errno;
use super::memory::{Memory, Result, arg, arg64};
use super::sock::{read_socket, write_socket};
use crate::guest::Ctx;
use crate::guest::table::{Kind, Table};
use crate::guest::{fdflags, rights, wait};
use crate::io::total;
use crate::quota::Quota;

/// `fd_read`; gives the wait where there is nothing to read yet.
pub(super) fn fd_read(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let number = arg(a, 0);
    let descriptor = ctx.table.with(number, rights::FD_READ)?;
    if let Kind::Socket(socket) = &descriptor.kind {
        return match socket.is_listening() {
            true => Err(Errno::Badf),
            false => read_socket(ctx, a, memory, woken),
        };
    }
    let iovecs = memory.iovecs(arg(a, 1), arg(a, 2))?;
    memory.check_result(arg(a, 3))?;
    // Filling a second buffer might have to wait, so that a read which may wait fills only one.
    let first = &iovecs[..iovecs.len().min(1)];
    let ready = first.is_empty() || ctx.readiness(number, Interest::Read).ready;
    let total = match &descriptor.kind {
        // Files in memory are read in `tmpfs.rs`.
        Kind::Dir(_) | Kind::Socket(_) | Kind::Memory(_) => return Err(Errno::Badf),
        _ if !ready => Err(Errno::Again),
        Kind::File(open) => {
            let iovecs = if open.waits { first } else { &iovecs };
            memory.fill(iovecs, |buffer| open.read(buffer))
        }
        Kind::Stream(_) => memory.fill(first, |buffer| ctx.resources.streams.read(buffer)),
    };
    match total {
        // This also happens if another process that shares the pipe has read first.
        Err(Errno::Again) if descriptor.flags & fdflags::NONBLOCK == 0 => {
            Ok(Some(wait::for_fd(number, Interest::Read)))
        }
        total => memory.write_u32(arg(a, 3), total?).map(|()| None),
    }
}

/// `fd_write`; gives the wait where a connection has no room yet.
pub(super) fn fd_write(
    ctx: &mut Ctx,
    a: &[u64],
    memory: &mut Memory<'_>,
    woken: Option<&Wait>,
) -> Result<Option<Wait>> {
    let descriptor = ctx.table.with(arg(a, 0), rights::FD_WRITE)?;
    if let Kind::Socket(socket) = &descriptor.kind {
        return match socket.is_listening() {
            true => Err(Errno::Badf),
            false => write_socket(ctx, a, memory, woken),
        };
    }
    memory.check_result(arg(a, 3))?;
    let mut buffers = memory.slices(arg(a, 1), arg(a, 2))?;
    let quota = &mut ctx.resources.quota;
    let count = match &descriptor.kind {
        Kind::Dir(_) | Kind::Socket(_) | Kind::Memory(_) => return Err(Errno::Badf),
        Kind::File(open) => {
            if quota.limits_files() && !open.waits {
                let appends = descriptor.flags & fdflags::APPEND != 0;
                let at = open.write_offset(appends, None)?;
                let bytes = total(&buffers);
                quota.charge_write(bytes, at.saturating_add(bytes))?;
            }
            open.write(&mut buffers)?
        }
        Kind::Stream(stream) => {
            quota.charge_output(total(&buffers))?;
            ctx.resources.streams.write(*stream, &mut buffers)?
        }
    };
    memory.write_u32(arg(a, 3), count).map(|()| None)
}

pub(super) fn fd_pread(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let open = table.positioned(arg(a, 0), rights::FD_READ)?;
    let iovecs = memory.iovecs(arg(a, 1), arg(a, 2))?;
    memory.check_result(arg(a, 4))?;
    let mut offset = arg64(a, 3);
    let total = memory.fill(&iovecs, |buffer| {
        let count = open.read_at(buffer, offset)?;
        offset = offset.saturating_add(count as u64);
        Ok(count)
    })?;
    memory.write_u32(arg(a, 4), total)
}

pub(super) fn fd_pwrite(
    table: &Table,
    quota: &mut Quota,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let open = table.positioned(arg(a, 0), rights::FD_WRITE)?;
    memory.check_result(arg(a, 4))?;
    let mut buffers = memory.slices(arg(a, 1), arg(a, 2))?;
    let offset = arg64(a, 3);
    if quota.limits_files() && !open.waits {
        let appends = table.get(arg(a, 0))?.flags & fdflags::APPEND != 0;
        let at = open.write_offset(appends, Some(offset))?;
        let bytes = total(&buffers);
        quota.charge_write(bytes, at.saturating_add(bytes))?;
    }
    let total = open.write_at(&mut buffers, offset)?;
    memory.write_u32(arg(a, 4), total)
}
