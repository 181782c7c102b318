//! `fdflags` of the specification.

use rustix::fs::OFlags;

pub(crate) const APPEND: u16 = 1 << 0;
pub(crate) const DSYNC: u16 = 1 << 1;
pub(crate) const NONBLOCK: u16 = 1 << 2;
pub(crate) const RSYNC: u16 = 1 << 3;
pub(crate) const SYNC: u16 = 1 << 4;
/// The flags that are fixed when a file is opened.
pub(crate) const FIXED: u16 = DSYNC | RSYNC | SYNC;
/// Every flag that there is.
pub(crate) const ALL: u16 = APPEND | NONBLOCK | FIXED;

/// The operating system's flags.
pub(crate) fn status(flags: u16) -> OFlags {
    let mut status = OFlags::empty();
    status.set(OFlags::APPEND, flags & APPEND != 0);
    status.set(OFlags::DSYNC, flags & DSYNC != 0);
    status.set(OFlags::SYNC, flags & (SYNC | RSYNC) != 0);
    status.set(OFlags::NONBLOCK, flags & NONBLOCK != 0);
    status
}
