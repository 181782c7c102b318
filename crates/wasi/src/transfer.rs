//! Reading and writing (`fd_read`, `fd_write`, `fd_pread`, `fd_pwrite`).

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{self as os, Errno as Os};

use super::abi::{Memory, Result, arg, arg64};
use super::caps::Caps;
use super::ctx::Ctx;
use super::errno::Errno;
use super::fd::{self, Kind, Table};
use super::rights;
use super::streams::readiness;
use crate::model::{FdInterest, Interest, Wait};

impl Ctx {
    /// `fd_read`; gives the wait where there is nothing to read yet.
    pub(super) fn fd_read(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let number = arg(a, 0);
        let descriptor = self.table.with(number, rights::FD_READ)?;
        if let Kind::Socket(socket) = &descriptor.kind {
            return match socket.is_listening() {
                true => Err(Errno::Badf),
                false => self.read_socket(a, memory, woken),
            };
        }
        let buffers = memory.buffers(arg(a, 1), arg(a, 2))?;
        memory.check_result(arg(a, 3))?;
        // A second buffer might have to wait, so that such a read fills only one.
        let first = buffers.iter().position(|(_, length)| *length > 0);
        let first = first.map_or(&buffers[..0], |place| &buffers[place..=place]);
        let ready = first.is_empty() || readiness(self.waitable(number), Interest::Read).0;
        let total = match &descriptor.kind {
            // What is in memory has been answered elsewhere.
            Kind::Dir(_) | Kind::Socket(_) | Kind::Memory(_) => return Err(Errno::Badf),
            _ if !ready => Err(Errno::Again),
            Kind::File(open) => {
                let buffers = if open.waits { first } else { &buffers };
                scatter(memory, buffers, |buffer| os::read(&open.file, buffer))
            }
            Kind::Stream(_) => scatter(memory, first, |buffer| self.streams.read(buffer)),
        };
        match total {
            // Somebody else who shares the pipe may also have been faster.
            Err(Errno::Again) if descriptor.flags & fd::NONBLOCK == 0 => Ok(Some(Wait::Poll {
                deadline: None,
                fds: vec![FdInterest {
                    fd: number,
                    interest: Interest::Read,
                }],
            })),
            total => memory.write_u32(arg(a, 3), total?).map(|()| None),
        }
    }

    /// `fd_write`; gives the wait where a connection has no room yet.
    pub(super) fn fd_write(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let descriptor = self.table.with(arg(a, 0), rights::FD_WRITE)?;
        if let Kind::Socket(socket) = &descriptor.kind {
            return match socket.is_listening() {
                true => Err(Errno::Badf),
                false => self.write_socket(a, memory, woken),
            };
        }
        memory.check_result(arg(a, 3))?;
        let mut buffers = memory.slices(arg(a, 1), arg(a, 2))?;
        let count = match &descriptor.kind {
            Kind::Dir(_) | Kind::Socket(_) | Kind::Memory(_) => return Err(Errno::Badf),
            Kind::File(open) => {
                if self.caps.limits_files() && !open.waits {
                    let at = place(&open.file, descriptor.flags, None)?;
                    let bytes = total(&buffers);
                    self.caps.write(bytes, at.saturating_add(bytes))?;
                }
                let write = |rest: &[IoSlice<'_>], _| os::writev(&open.file, rest);
                write_all(open.file.as_fd(), &mut buffers, write)?
            }
            Kind::Stream(stream) => {
                self.caps.output(total(&buffers))?;
                self.streams.write(*stream, &mut buffers)?
            }
        };
        memory.write_u32(arg(a, 3), count).map(|()| None)
    }
}

pub(super) fn pread(table: &Table, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let open = table.positioned(arg(a, 0), rights::FD_READ)?;
    let buffers = memory.buffers(arg(a, 1), arg(a, 2))?;
    memory.check_result(arg(a, 4))?;
    let mut at = arg64(a, 3);
    let total = scatter(memory, &buffers, |buffer| {
        let count = os::pread(&open.file, buffer, at)?;
        at = at.saturating_add(count as u64);
        Ok(count)
    })?;
    memory.write_u32(arg(a, 4), total)
}

pub(super) fn pwrite(
    table: &Table,
    caps: &mut Caps,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let open = table.positioned(arg(a, 0), rights::FD_WRITE)?;
    memory.check_result(arg(a, 4))?;
    let mut buffers = memory.slices(arg(a, 1), arg(a, 2))?;
    let start = arg64(a, 3);
    if caps.limits_files() && !open.waits {
        let at = place(&open.file, table.get(arg(a, 0))?.flags, Some(start))?;
        let bytes = total(&buffers);
        caps.write(bytes, at.saturating_add(bytes))?;
    }
    let total = write_all(open.file.as_fd(), &mut buffers, |rest, done| {
        os::pwritev(&open.file, rest, start.saturating_add(done))
    })?;
    memory.write_u32(arg(a, 4), total)
}

fn total(buffers: &[IoSlice<'_>]) -> u64 {
    buffers.iter().map(|buffer| buffer.len() as u64).sum()
}

/// Where in a file a write is going to begin: at its end, if it appends, whatever it asks for.
fn place(file: &cap_std::fs::File, flags: u16, asked: Option<u64>) -> Result<u64> {
    match asked {
        _ if flags & fd::APPEND != 0 => {
            Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0))
        }
        Some(at) => Ok(at),
        None => Ok(rustix::fs::tell(file)?),
    }
}

/// Fills buffers until one is not filled; an error after the first byte is told at the next call.
fn scatter(
    memory: &mut Memory<'_>,
    buffers: &[(u32, u32)],
    mut read: impl FnMut(&mut [u8]) -> os::Result<usize>,
) -> Result<u32> {
    let mut total = 0u32;
    for (address, length) in buffers {
        let buffer = memory.bytes_mut(*address, *length)?;
        let count = match retry(|| read(&mut *buffer)) {
            Ok(count) => count as u32,
            Err(errno) if total == 0 => return Err(errno.into()),
            Err(_) => break,
        };
        total = total.saturating_add(count);
        if count < *length {
            break;
        }
    }
    Ok(total)
}

/// Writes all buffers, or what there is room for; an error after the first byte is told at the next
/// call. `write` gets what is left and how much is done.
///
/// A pipe of the process's may be non-blocking, because somebody else shares it: then this waits.
pub(super) fn write_all(
    fd: BorrowedFd<'_>,
    mut buffers: &mut [IoSlice<'_>],
    write: impl Fn(&[IoSlice<'_>], u64) -> os::Result<usize>,
) -> Result<u32> {
    let mut done = 0u32;
    // Empty buffers at the front go away, so that what is left is empty at the end.
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        match write(buffers, u64::from(done)) {
            Ok(0) => break,
            Ok(count) => {
                // No more is written than there is, whose sum was checked to fit.
                done += count as u32;
                IoSlice::advance_slices(&mut buffers, count);
            }
            Err(Os::INTR) => {}
            Err(Os::AGAIN) => {
                let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
                retry(|| poll(&mut fds, None))?;
            }
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}

pub(super) fn retry<T>(mut call: impl FnMut() -> os::Result<T>) -> os::Result<T> {
    loop {
        match call() {
            Err(Os::INTR) => {}
            result => return result,
        }
    }
}
