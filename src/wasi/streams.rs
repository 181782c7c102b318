//! The host's side of a guest: standard streams and directories. None of it is ever written down.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno as Os;

use crate::model::Interest;

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
}

/// A directory that a guest may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDir {
    /// Its name for the guest.
    pub guest: String,
    /// Its path on the host.
    pub host: PathBuf,
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
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

impl Streams {
    fn output(&mut self, stream: Stream) -> &mut Output {
        match stream {
            Stream::Stderr => &mut self.stderr,
            _ => &mut self.stdout,
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

    /// Whether a stream can be read or written now, and whether its other end has gone.
    pub(super) fn readiness(&self, stream: Stream, interest: Interest) -> (bool, bool) {
        let Some(fd) = self.fd(stream) else {
            return (true, false);
        };
        let flags = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        let mut fds = [PollFd::new(&fd, flags)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(0) => (false, false),
            Ok(_) => (true, fds[0].revents().contains(PollFlags::HUP)),
            // What cannot be polled tells its state when it is used.
            Err(_) => (true, false),
        }
    }

    /// How many bytes can be read without waiting.
    pub(super) fn available(&self) -> u64 {
        match &self.stdin {
            Input::Bytes(bytes) => bytes.len() as u64,
            _ => self
                .fd(Stream::Stdin)
                .and_then(|fd| rustix::io::ioctl_fionread(fd).ok())
                .unwrap_or(0),
        }
    }

    /// Reads from standard input. Call it when it is ready, or it may wait.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Os> {
        match &mut self.stdin {
            Input::Null => Ok(0),
            Input::Bytes(bytes) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                bytes.drain(..count);
                Ok(count)
            }
            Input::File(file) => retry(|| rustix::io::read(&*file, &mut *buffer)),
            Input::Inherit => retry(|| rustix::io::read(rustix::stdio::stdin(), &mut *buffer)),
        }
    }

    /// Writes all of it.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match self.output(stream) {
            Output::Null => Ok(()),
            Output::Capture(buffer) => {
                let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                buffer.extend_from_slice(bytes);
                Ok(())
            }
            Output::File(file) => write_all(file.as_fd(), bytes),
            Output::Inherit if stream == Stream::Stderr => {
                write_all(rustix::stdio::stderr(), bytes)
            }
            Output::Inherit => write_all(rustix::stdio::stdout(), bytes),
        }
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Os>) -> Result<T, Os> {
    loop {
        match call() {
            Err(Os::INTR) => {}
            result => return result,
        }
    }
}

/// A pipe of the process's may be non-blocking, because somebody else shares it: then wait.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry(|| rustix::io::write(fd, bytes)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Os::AGAIN) => {
                let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
                retry(|| poll(&mut fds, None))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
