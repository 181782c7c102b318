//! `fd_readdir`, `fd_prestat_get` and `fd_prestat_dir_name`.

use super::errno::Errno;
use super::layout;
use super::memory::{Memory, Result, arg, arg64};
use crate::fs::EntryV1;
use crate::guest::rights;
use crate::guest::table::{Kind, Table};

pub(super) fn fd_prestat_get(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let name = preopen_name(table, arg(a, 0))?;
    memory.write(arg(a, 1), &layout::prestat(name.len() as u32))
}

pub(super) fn fd_prestat_dir_name(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let name = preopen_name(table, arg(a, 0))?;
    match name.len() > arg(a, 2) as usize {
        true => Err(Errno::Nametoolong),
        false => memory.write(arg(a, 1), name.as_bytes()),
    }
}

fn preopen_name(table: &Table, fd: u32) -> Result<String> {
    match &table.get(fd)?.kind {
        Kind::Dir(dir) if dir.is_preopen => Ok(dir.preopen.clone()),
        Kind::Memory(open) => open.preopen_name().ok_or(Errno::Badf),
        _ => Err(Errno::Badf),
    }
}

pub(super) fn fd_readdir(table: &mut Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    memory.check_result(arg(a, 4))?;
    table.dir(arg(a, 0), rights::FD_READDIR)?;
    let Kind::Dir(dir) = &mut table.get_mut(arg(a, 0))?.kind else {
        return Err(Errno::Notdir);
    };
    fill(dir.entries(restarts(a))?, a, memory)
}

/// Whether an `fd_readdir` begins at the start, for which the listing is made anew.
pub(super) fn restarts(a: &[u64]) -> bool {
    arg64(a, 3) == 0
}

/// Fills the buffer of an `fd_readdir` from a listing, from the cookie on. A cookie is the place of
/// an entry in the listing.
pub(super) fn fill(listing: &[EntryV1], a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let (buffer, length, cookie) = (arg(a, 1), arg(a, 2), arg64(a, 3));
    let start = usize::try_from(cookie).map_err(|_| Errno::Inval)?;
    let mut used = 0u32;
    for (index, entry) in listing.iter().enumerate().skip(start) {
        let mut bytes = layout::dirent(entry, index as u64 + 1);
        // An entry that does not fit is cut off: a full buffer tells the guest that there are more.
        bytes.truncate((length - used) as usize);
        memory.write(buffer.checked_add(used).ok_or(Errno::Fault)?, &bytes)?;
        used += bytes.len() as u32;
        if used == length {
            break;
        }
    }
    memory.write_u32(arg(a, 4), used)
}
