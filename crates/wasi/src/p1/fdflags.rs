//! `fdflags` of the specification.

use rustix::fs::OFlags;

pub(super) const APPEND: u16 = 1 << 0;
pub(super) const DSYNC: u16 = 1 << 1;
pub(super) const NONBLOCK: u16 = 1 << 2;
pub(super) const RSYNC: u16 = 1 << 3;
pub(super) const SYNC: u16 = 1 << 4;
/// The flags that are fixed when a file is opened.
pub(super) const FIXED: u16 = DSYNC | RSYNC | SYNC;
/// Every flag that there is.
pub(super) const ALL: u16 = APPEND | NONBLOCK | FIXED;

/// The operating system's flags.
pub(super) fn status(flags: u16) -> OFlags {
    let mut status = OFlags::empty();
    status.set(OFlags::APPEND, flags & APPEND != 0);
    status.set(OFlags::DSYNC, flags & DSYNC != 0);
    status.set(OFlags::SYNC, flags & (SYNC | RSYNC) != 0);
    status.set(OFlags::NONBLOCK, flags & NONBLOCK != 0);
    status
}
