//! Reading and writing the files behind a guest's descriptors, on the host and in memory.

use std::io::IoSlice;

use crate::errno::{Errno, Result};
use crate::guest::Ctx;
use crate::guest::rights::{FD_READ, FD_WRITE};
use crate::guest::table::{Descriptor, Kind};

/// How many bytes one read gives at most, as with Wasmtime.
const MAX_READ: u64 = 64 << 10;

/// An open descriptor.
pub(crate) fn descriptor(ctx: &Ctx, fd: u32) -> Result<&Descriptor> {
    ctx.table.get(fd).map_err(|_| Errno::BADF)
}

/// Fails unless a descriptor has a right.
fn need(descriptor: &Descriptor, right: u64) -> Result<()> {
    match descriptor.rights & right {
        0 => Err(Errno::BADF),
        _ => Ok(()),
    }
}

/// Reads from a file at an offset. No bytes are the end of the file.
pub(crate) fn read_at(ctx: &Ctx, fd: u32, length: u64, offset: u64) -> Result<Vec<u8>> {
    let descriptor = descriptor(ctx, fd)?;
    need(descriptor, FD_READ)?;
    let mut bytes = vec![0; length.min(MAX_READ) as usize];
    let count = match &descriptor.kind {
        Kind::File(open) => open.read_at(&mut bytes, offset)?,
        Kind::Memory(node) => {
            i64::try_from(offset).map_err(|_| Errno::INVAL)?;
            let now = ctx.resources.clock.wall();
            node.read_at(&mut bytes, offset, now)? as usize
        }
        Kind::Stream(_) | Kind::Dir(_) | Kind::Socket(_) => return Err(Errno::BADF),
    };
    bytes.truncate(count);
    Ok(bytes)
}

/// Writes to a file at an offset, or at its end, as much as there is room for, and gives the number
/// of bytes.
pub(crate) fn write_at(ctx: &mut Ctx, fd: u32, bytes: &[u8], offset: Option<u64>) -> Result<u64> {
    let written = write_some(ctx, fd, bytes, offset);
    match written {
        Ok(_) => ctx.resources.quota.grant(),
        Err(Errno::NOSPC) if descriptor(ctx, fd).is_ok_and(Descriptor::is_memory) => {
            ctx.refuse_tmpfs();
        }
        Err(_) => {}
    }
    written
}

fn write_some(ctx: &mut Ctx, fd: u32, bytes: &[u8], offset: Option<u64>) -> Result<u64> {
    let descriptor = ctx.table.get(fd).map_err(|_| Errno::BADF)?;
    need(descriptor, FD_WRITE)?;
    let mut buffers = [IoSlice::new(bytes)];
    let count = match &descriptor.kind {
        Kind::File(open) => {
            let quota = &mut ctx.resources.quota;
            if quota.limits_files() && !open.waits {
                let at = open.write_offset(offset.is_none(), offset)?;
                let count = bytes.len() as u64;
                quota.charge_write(count, at.saturating_add(count))?;
            }
            match offset {
                Some(offset) => open.write_at(&mut buffers, offset)?,
                None => open.append(&mut buffers)?,
            }
        }
        Kind::Memory(node) => {
            let now = ctx.resources.clock.wall();
            let at = offset.unwrap_or(0);
            i64::try_from(at).map_err(|_| Errno::INVAL)?;
            node.write_at(&buffers, at, offset.is_none(), now)?.0
        }
        Kind::Stream(_) | Kind::Dir(_) | Kind::Socket(_) => return Err(Errno::BADF),
    };
    Ok(count.into())
}

/// Writes all bytes to a file. Those that were written before an error stay.
pub(crate) fn write_all(
    ctx: &mut Ctx,
    fd: u32,
    mut bytes: &[u8],
    mut offset: Option<u64>,
) -> Result<()> {
    while !bytes.is_empty() {
        let count = write_at(ctx, fd, bytes, offset)?;
        if count == 0 {
            return Err(Errno::IO);
        }
        offset = offset.map(|offset| offset.saturating_add(count));
        bytes = bytes.get(count as usize..).unwrap_or_default();
    }
    Ok(())
}
