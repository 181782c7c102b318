//! Directories: opening, what the host gave, and listings.

use std::io;
use std::os::fd::AsFd;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::{self as os, OFlags};

use super::abi::{Memory, Result, arg, arg64};
use super::errno::Errno;
use super::fd::{DirFd, Kind, Table};
use super::file::filetype_of;
use super::rights;
use super::state::EntryV1;

pub(super) fn prestat_get(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let name = preopen_name(table, arg(a, 0))?;
    let mut prestat = [0; 8];
    prestat[4..].copy_from_slice(&(name.len() as u32).to_le_bytes());
    memory.write(arg(a, 1), &prestat)
}

pub(super) fn prestat_dir_name(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
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

/// Fills the buffer with entries from the cookie on; a cookie is the place in the listing, which
/// is made anew for cookie zero and kept until then.
pub(super) fn readdir(table: &mut Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    memory.check_result(arg(a, 4))?;
    table.dir(arg(a, 0), rights::FD_READDIR)?;
    let Kind::Dir(dir) = &mut table.get_mut(arg(a, 0))?.kind else {
        return Err(Errno::Notdir);
    };
    if arg64(a, 3) == 0 || dir.listing.is_none() {
        dir.listing = Some(list(dir)?);
    }
    fill(dir.listing.as_deref().unwrap_or_default(), a, memory)
}

/// Fills the buffer of an `fd_readdir` from a listing.
pub(super) fn fill(listing: &[EntryV1], a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let (buffer, length, cookie) = (arg(a, 1), arg(a, 2), arg64(a, 3));
    let start = usize::try_from(cookie).map_err(|_| Errno::Inval)?;
    let mut used = 0u32;
    for (place, entry) in listing.iter().enumerate().skip(start) {
        let mut bytes = [0; 24].to_vec();
        bytes[..8].copy_from_slice(&(place as u64 + 1).to_le_bytes());
        bytes[8..16].copy_from_slice(&entry.inode.to_le_bytes());
        bytes[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
        bytes[20] = entry.filetype;
        bytes.extend_from_slice(entry.name.as_bytes());
        // An entry that does not fit is cut off: a full buffer tells the guest that there is more.
        bytes.truncate((length - used) as usize);
        memory.write(buffer.checked_add(used).ok_or(Errno::Fault)?, &bytes)?;
        used += bytes.len() as u32;
        if used == length {
            break;
        }
    }
    memory.write_u32(arg(a, 4), used)
}

/// Opens a directory below another. Not by `Dir::open_dir`, which opens for paths only (`O_PATH`):
/// such a one can neither be flushed nor given times.
pub(super) fn open_below(dir: &Dir, path: &str) -> io::Result<Dir> {
    let mut options = OpenOptions::new();
    let flags = OFlags::DIRECTORY.bits() as i32;
    let opened = dir.open_with(path, options.read(true).custom_flags(flags))?;
    Ok(Dir::from_std_file(opened.into_std()))
}

fn list(dir: &DirFd) -> Result<Vec<EntryV1>> {
    let mut entries = Vec::new();
    // Opens it once more, so that the place in the listing is nobody else's.
    for entry in os::Dir::read_from(dir.dir.as_fd())? {
        let entry = entry?;
        // The specification has no names that are not UTF-8.
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        entries.push(EntryV1 {
            name: name.to_string(),
            inode: entry.ino(),
            filetype: filetype_of(entry.file_type()),
        });
    }
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(entries)
}
