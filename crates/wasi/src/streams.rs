//! The host's side of a guest: standard streams and directories. None of it is ever written down.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno as Os;

use super::abi::Result;
use super::clock::Clocks;
use super::errno::Errno;
use super::random::Randomness;
use super::sock::{Grants, HeldSocket, Listener};
use super::transfer::{retry, write_all};
use crate::model::{Interest, Limits};

/// Where standard input comes from.
#[derive(Debug, Default)]
pub enum Input {
    /// From the process.
    #[default]
    Inherit,
    /// From nowhere: it is at its end.
    Null,
    /// From these bytes. What has not been read at a suspend is not part of the snapshot.
    Bytes(Vec<u8>),
    /// From a file, a pipe or a terminal.
    File(File),
}

/// Where an output stream goes.
#[derive(Debug, Default)]
pub enum Output {
    /// To the process's own stream.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// Into a buffer.
    Capture(Arc<Mutex<Vec<u8>>>),
    /// To a file, a pipe or a terminal.
    File(File),
    /// To whoever collects it.
    Sink(Arc<dyn Sink>),
}

/// Collects what a guest writes.
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Takes one write of a guest's, in its pieces. Must not wait.
    fn write(&self, pieces: &[IoSlice<'_>]);
}

/// A directory that a guest may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDir {
    /// Its name for the guest.
    pub guest: String,
    /// Its path on the host.
    pub host: PathBuf,
    /// Whether the guest may write there.
    pub access: Access,
}

/// Whether a guest may write to a directory of the host's, and to what lies in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// As it was when the guest was suspended. A new guest may write.
    #[default]
    Kept,
    /// It may only read.
    ReadOnly,
    /// It may write.
    ReadWrite,
}

impl Access {
    /// Whether it may only read, where it was so or not before.
    pub(super) fn is_read_only(self, before: bool) -> bool {
        match self {
            Self::Kept => before,
            Self::ReadOnly => true,
            Self::ReadWrite => false,
        }
    }
}

/// Everything of the host's that a guest is given.
#[derive(Debug, Default)]
pub struct Bindings {
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Directories.
    pub dirs: Vec<HostDir>,
    /// Listening sockets. A new guest finds them from descriptor 3 on, before its directories.
    pub listeners: Vec<Listener>,
    /// How much the guest may take. What of it is no matter of its calls is left to others.
    pub limits: Limits,
    /// What it may connect to, and where it may listen.
    pub grants: Grants,
    /// What its clocks tell. `None`: at a resume what they told before, else the host's time.
    pub clocks: Option<Clocks>,
    /// Where its random numbers come from. `None`: at a resume as before, else the host.
    pub random: Option<Randomness>,
    /// At a resume: sockets that were kept for the guest while it slept. Those that its snapshot does not
    /// name are closed.
    pub held: Vec<HeldSocket>,
}

/// One of the three standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Stream {
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The three streams of one guest.
pub(super) struct Streams {
    pub(super) stdin: Input,
    /// How much of [`Input::Bytes`] has been read.
    consumed: usize,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

impl Streams {
    pub(super) fn new(stdin: Input, stdout: Output, stderr: Output) -> Self {
        Self {
            stdin,
            consumed: 0,
            stdout,
            stderr,
        }
    }

    /// The host's descriptor of a stream, where it has one.
    pub(super) fn fd(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match (stream, &self.stdin, &self.stdout, &self.stderr) {
            (Stream::Stdin, Input::Inherit, ..) => Some(rustix::stdio::stdin()),
            (Stream::Stdin, Input::File(file), ..) => Some(file.as_fd()),
            (Stream::Stdout, _, Output::Inherit, _) => Some(rustix::stdio::stdout()),
            (Stream::Stdout, _, Output::File(file), _) => Some(file.as_fd()),
            (Stream::Stderr, .., Output::Inherit) => Some(rustix::stdio::stderr()),
            (Stream::Stderr, .., Output::File(file)) => Some(file.as_fd()),
            _ => None,
        }
    }

    /// How many bytes of standard input can be read without waiting.
    pub(super) fn available(&self) -> u64 {
        match &self.stdin {
            Input::Bytes(bytes) => bytes.len().saturating_sub(self.consumed) as u64,
            _ => self.fd(Stream::Stdin).map_or(0, available),
        }
    }

    /// Reads from standard input. Call it when it is ready, or it may wait.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match &self.stdin {
            Input::Null => Ok(0),
            Input::Bytes(bytes) => {
                let rest = bytes.get(self.consumed..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                self.consumed += count;
                Ok(count)
            }
            Input::File(file) => retry(|| rustix::io::read(file, &mut *buffer)),
            Input::Inherit => retry(|| rustix::io::read(rustix::stdio::stdin(), &mut *buffer)),
        }
    }

    /// Writes all of it, and gives how much it was.
    pub(super) fn write(&self, stream: Stream, buffers: &mut [IoSlice<'_>]) -> Result<u32> {
        let output = match stream {
            Stream::Stdin => return Err(Errno::Badf),
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        // The sum of the buffers was checked to fit.
        let total = buffers.iter().map(|buffer| buffer.len() as u32).sum();
        match (output, self.fd(stream)) {
            (Output::Capture(captured), _) => {
                let mut captured = captured.lock().unwrap_or_else(PoisonError::into_inner);
                for buffer in buffers {
                    captured.extend_from_slice(buffer);
                }
                Ok(total)
            }
            (Output::Sink(sink), _) => {
                sink.write(buffers);
                Ok(total)
            }
            (_, Some(fd)) => write_all(fd, buffers, |rest, _| rustix::io::writev(fd, rest)),
            (_, None) => Ok(total),
        }
    }
}

/// Whether a host descriptor can be read or written now, and whether its other end has gone.
/// Without one, nothing ever waits.
pub(super) fn readiness(fd: Option<BorrowedFd<'_>>, interest: Interest) -> (bool, bool) {
    let Some(fd) = fd else {
        return (true, false);
    };
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    let mut fds = [PollFd::new(&fd, flags)];
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(0) | Err(Os::INTR) => (false, false),
        Ok(_) => (true, fds[0].revents().contains(PollFlags::HUP)),
        // What cannot be polled tells its state when it is used.
        Err(_) => (true, false),
    }
}

/// How many bytes can be read from a pipe or a terminal without waiting.
pub(super) fn available(fd: BorrowedFd<'_>) -> u64 {
    rustix::io::ioctl_fionread(fd).unwrap_or(0)
}
