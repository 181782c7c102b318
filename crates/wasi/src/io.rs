//! System calls on the host's descriptors: started again after a signal, and writes made to their
//! end.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::errno::{Errno, Result};
use dormouse_model::Interest;

/// Whether a descriptor can be read or written now.
#[derive(Clone, Copy)]
pub(crate) struct Readiness {
    /// A read or a write would not wait.
    pub(crate) ready: bool,
    /// The other end has gone.
    pub(crate) hangup: bool,
}

impl Readiness {
    /// What the host's descriptor tells. Where there is none, nothing ever waits.
    pub(crate) fn of(fd: Option<BorrowedFd<'_>>, interest: Interest) -> Self {
        let (ready, hangup) = match fd {
            None => (true, false),
            Some(fd) => {
                let mut fds = [PollFd::new(&fd, poll_flags(interest))];
                match poll(&mut fds, Some(&Timespec::default())) {
                    Ok(0) | Err(Errno::INTR) => (false, false),
                    Ok(_) => (true, fds[0].revents().contains(PollFlags::HUP)),
                    // What cannot be polled tells its state when it is used.
                    Err(_) => (true, false),
                }
            }
        };
        Self { ready, hangup }
    }
}

/// The event of `poll` that an interest is in.
pub(crate) fn poll_flags(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    }
}

/// How many bytes can be read from a pipe, a terminal or a socket without waiting.
pub(crate) fn available(fd: BorrowedFd<'_>) -> u64 {
    rustix::io::ioctl_fionread(fd).unwrap_or(0)
}

/// Makes a system call, again as often as a signal interrupts it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// How many bytes all buffers hold.
pub(crate) fn total(buffers: &[IoSlice<'_>]) -> u64 {
    buffers.iter().map(|buffer| buffer.len() as u64).sum()
}

/// Writes all buffers, or as much as there is room for, and gives the number of bytes. An error
/// after the first byte is left to the next call. `write` gets the rest of the buffers and how many
/// bytes are written already. The caller has checked that the sum of the buffers fits a `u32`.
///
/// A pipe of the process's may be non-blocking, because another process shares it: then this waits.
pub(crate) fn write_all(
    fd: BorrowedFd<'_>,
    mut buffers: &mut [IoSlice<'_>],
    write: impl Fn(&[IoSlice<'_>], u64) -> Result<usize>,
) -> Result<u32> {
    let mut done = 0u32;
    // Empty buffers at the front go away, so that an empty rest is the end.
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        match write(buffers, u64::from(done)) {
            Ok(0) => break,
            Ok(count) => {
                // At most the sum of the buffers, which fits.
                done += count as u32;
                IoSlice::advance_slices(&mut buffers, count);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
                retry(|| poll(&mut fds, None))?;
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}
