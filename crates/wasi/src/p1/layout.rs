//! Structures of the specification, encoded and decoded.

use dormouse_model::Timestamp;

use super::errno::Errno;
use super::memory::Result;
use crate::fs::{EntryV1, NewTime, NewTimes, Stat};

/// A `filestat`.
pub(super) fn filestat(stat: &Stat) -> [u8; 64] {
    let fields = [
        (0, stat.device),
        (8, stat.inode),
        (16, u64::from(u8::from(stat.filetype))),
        (24, stat.links),
        (32, stat.size),
        (40, stat.accessed.as_nanos()),
        (48, stat.modified.as_nanos()),
        (56, stat.changed.as_nanos()),
    ];
    let mut bytes = [0; 64];
    for (offset, value) in fields {
        bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// An `fdstat`.
pub(super) fn fdstat(filetype: u8, flags: u16, rights: u64, inheriting: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[0] = filetype;
    bytes[2..4].copy_from_slice(&flags.to_le_bytes());
    bytes[8..16].copy_from_slice(&rights.to_le_bytes());
    bytes[16..24].copy_from_slice(&inheriting.to_le_bytes());
    bytes
}

/// A `prestat` of a directory whose name has this length.
pub(super) fn prestat(name_length: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[4..].copy_from_slice(&name_length.to_le_bytes());
    bytes
}

/// A `dirent` with its name behind it. `next` is the cookie of the entry after it.
pub(super) fn dirent(entry: &EntryV1, next: u64) -> Vec<u8> {
    let mut bytes = vec![0; 24];
    bytes[..8].copy_from_slice(&next.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.inode.to_le_bytes());
    bytes[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
    bytes[20] = entry.filetype.into();
    bytes.extend_from_slice(entry.name.as_bytes());
    bytes
}

/// New times of a file, from the arguments of `fd_filestat_set_times` and
/// `path_filestat_set_times`.
pub(super) fn new_times(accessed: u64, modified: u64, fstflags: u32) -> Result<NewTimes> {
    const ACCESSED: u32 = 1;
    const ACCESSED_NOW: u32 = 2;
    const MODIFIED: u32 = 4;
    const MODIFIED_NOW: u32 = 8;
    let time = |nanos, set, now| match (fstflags & set != 0, fstflags & now != 0) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(NewTime::At(Timestamp::from_nanos(nanos))),
        (false, true) => Ok(NewTime::Now),
        (false, false) => Ok(NewTime::Keep),
    };
    Ok(NewTimes {
        accessed: time(accessed, ACCESSED, ACCESSED_NOW)?,
        modified: time(modified, MODIFIED, MODIFIED_NOW)?,
    })
}
