//! Opening a named pipe to write to it, which waits until somebody reads from it.
//!
//! No event tells that a reader has come. It is told by opening without waiting, again and again, which fails
//! until then. What has been opened so is kept: to the reader it is a writer, and one that went away again would be
//! the end of its input.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use cap_std::fs::{Dir, File, OpenOptions};

use super::abi::{Memory, Result};
use super::ctx::Ctx;
use super::path;
use crate::model::Wait;

/// A reader is looked for after the first of these times, then after twice as long, and so on up to the second.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(32);

/// A named pipe that the guest opens to write to.
pub(super) struct Opening {
    dir: Dir,
    path: String,
    options: OpenOptions,
    opened: RefCell<Option<File>>,
    look: Cell<Duration>,
}

impl Opening {
    pub(super) fn new(dir: &Dir, path: &str, options: OpenOptions) -> Result<Self> {
        Ok(Self {
            dir: dir.try_clone()?,
            path: path.to_string(),
            options,
            opened: RefCell::new(None),
            look: Cell::new(FIRST_LOOK),
        })
    }

    /// Whether the call has an answer now: the pipe is open, or it never will be.
    fn is_over(&self) -> bool {
        let mut opened = self.opened.borrow_mut();
        if opened.is_some() {
            return true;
        }
        self.look.set((self.look.get() * 2).min(LAST_LOOK));
        match self.dir.open_with(&self.path, &self.options) {
            Ok(file) => {
                *opened = Some(file);
                true
            }
            Err(error) => !has_no_reader(&error),
        }
    }
}

/// Whether a pipe could not be opened because nobody reads from it.
pub(super) fn has_no_reader(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
}

impl Ctx {
    /// `path_open`; gives the wait where it is for a pipe that nobody reads from yet.
    pub(super) fn path_open(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        let before = self.opening.take().filter(|_| woken.is_some());
        let opened = before.and_then(|before| before.opened.into_inner());
        self.opening = path::open(&mut self.table, a, memory, opened)?;
        Ok(self.opening.as_ref().map(|_| Wait::Poll {
            deadline: None,
            fds: Vec::new(),
        }))
    }

    /// Whether the wait for a reader is over. After a resume it may be: the call looks.
    pub(super) fn reader_is_there(&self) -> bool {
        self.opening.as_ref().is_none_or(Opening::is_over)
    }

    /// How long a wait may be left alone, where nothing tells that it is over.
    pub fn look_again(&self, wait: &Wait) -> Option<Duration> {
        let opening = self.opening.as_ref().filter(|_| is_for_a_reader(wait));
        opening.map(|opening| opening.look.get())
    }
}

/// Whether a wait is for the reader of a named pipe: it has neither a deadline nor a descriptor.
pub(super) fn is_for_a_reader(wait: &Wait) -> bool {
    matches!(wait, Wait::Poll { deadline: None, fds } if fds.is_empty())
}
