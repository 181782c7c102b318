//! Opening a named pipe for writing, which waits until another program reads from it.
//!
//! No event tells that a reader has come. So the pipe is opened without waiting, again and again,
//! which fails until there is a reader. The first file that could be opened is kept: to the reader
//! it is a writer, and closing it would be the end of the reader's input.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use cap_std::fs::{Dir, File, OpenOptions};

use crate::errno::{Errno, Result, errno};

/// The time until a reader is looked for again. It doubles each time, from the first to the last.
const FIRST_INTERVAL: Duration = Duration::from_millis(1);
const LAST_INTERVAL: Duration = Duration::from_millis(32);

/// A named pipe that the guest opens for writing and that nobody reads from yet.
pub(crate) struct FifoOpening {
    dir: Dir,
    path: String,
    options: OpenOptions,
    opened: RefCell<Option<File>>,
    interval: Cell<Duration>,
}

impl FifoOpening {
    pub(super) fn new(dir: &Dir, path: &str, options: OpenOptions) -> Result<Self> {
        Ok(Self {
            dir: dir.try_clone().map_err(errno)?,
            path: path.to_string(),
            options,
            opened: RefCell::new(None),
            interval: Cell::new(FIRST_INTERVAL),
        })
    }

    /// Whether the call has an answer now: the pipe is open, or cannot be opened for another
    /// reason.
    pub(crate) fn is_over(&self) -> bool {
        let mut opened = self.opened.borrow_mut();
        if opened.is_some() {
            return true;
        }
        self.interval
            .set((self.interval.get() * 2).min(LAST_INTERVAL));
        match self.dir.open_with(&self.path, &self.options) {
            Ok(file) => {
                *opened = Some(file);
                true
            }
            Err(error) => !has_no_reader(&error),
        }
    }

    /// The time after which [`is_over`](Self::is_over) should be asked again.
    pub(crate) fn interval(&self) -> Duration {
        self.interval.get()
    }

    /// The open pipe, if there is a reader by now.
    pub(crate) fn into_file(self) -> Option<File> {
        self.opened.into_inner()
    }
}

/// Whether a pipe could not be opened because nobody reads from it.
pub(super) fn has_no_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
}
