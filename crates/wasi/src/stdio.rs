//! Standard input, output and error. Where they lead is given anew at each resume; a snapshot holds
//! only which descriptors of the guest's stand for them.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::errno::{Errno, Result};
use crate::io::{available, retry, total, write_all};

/// Where standard input comes from.
#[derive(Debug, Default)]
pub enum Input {
    /// From the process.
    #[default]
    Inherit,
    /// From nowhere: it is at its end.
    Null,
    /// From these bytes. A suspend loses the bytes that have not been read: they are not in the
    /// snapshot.
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
    /// To the embedding program.
    Sink(Arc<dyn Sink>),
}

/// Takes what a guest writes to an output stream.
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Takes one write of the guest's, as the buffers that it consists of. It must not block.
    fn write(&self, buffers: &[IoSlice<'_>]);
}

/// One of the three standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The three streams of one guest.
pub(crate) struct Streams {
    pub(crate) stdin: Input,
    /// How much of [`Input::Bytes`] has been read.
    consumed: usize,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Streams {
    /// The streams of a guest.
    pub(crate) fn new(stdin: Input, stdout: Output, stderr: Output) -> Self {
        Self {
            stdin,
            consumed: 0,
            stdout,
            stderr,
        }
    }

    /// The host's descriptor behind a stream, if there is one.
    pub(crate) fn fd(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
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
    pub(crate) fn available(&self) -> u64 {
        match &self.stdin {
            Input::Bytes(bytes) => bytes.len().saturating_sub(self.consumed) as u64,
            _ => self.fd(Stream::Stdin).map_or(0, available),
        }
    }

    /// Reads from standard input. It waits unless there is something to read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
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

    /// Writes all buffers and gives the number of bytes, whose sum the caller has checked to fit a
    /// `u32`.
    pub(crate) fn write(&self, stream: Stream, buffers: &mut [IoSlice<'_>]) -> Result<u32> {
        let output = match stream {
            Stream::Stdin => return Err(Errno::BADF),
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        let total = total(buffers) as u32;
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
