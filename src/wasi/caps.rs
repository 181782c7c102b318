//! What a guest may take of its host through its calls, and how much it has taken.
//!
//! Where a program expects an error at a limit it is told so and goes on; one that goes on asking has
//! reached the limit in the end. Any other limit is reached at once, and whoever runs the guest decides.

use super::abi::Result;
use super::ctx::Ctx;
use super::errno::Errno;
use crate::model::{Limit, Limits, OnLimit, Reached};

/// A guest that is refused the same so often in a row does not listen.
const PATIENCE: u64 = 1000;

/// What a guest may take, and what it has taken.
#[derive(Debug, Default)]
pub(super) struct Caps {
    limits: Limits,
    /// Bytes written to the standard streams.
    output: u64,
    /// Bytes written to files.
    writes: u64,
    reached: Option<Reached>,
    told: Option<Reached>,
    refusals: u64,
}

impl Caps {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Bytes are going to be written to a standard stream.
    pub(super) fn output(&mut self, bytes: u64) -> Result<()> {
        let output = self.output.saturating_add(bytes);
        self.check(Limit::Output, output, Errno::Fbig)?;
        self.output = output;
        Ok(())
    }

    /// Whether a write to a file has to be looked at.
    pub(super) fn limits_files(&self) -> bool {
        self.limits.get(Limit::FileSize).is_some() || self.limits.get(Limit::Writes).is_some()
    }

    /// Bytes are going to be written to a file, up to `end`.
    pub(super) fn write(&mut self, bytes: u64, end: u64) -> Result<()> {
        let writes = self.writes.saturating_add(bytes);
        self.size(end)?;
        self.check(Limit::Writes, writes, Errno::Fbig)?;
        self.writes = writes;
        Ok(())
    }

    /// A file is going to have this size.
    pub(super) fn size(&mut self, size: u64) -> Result<()> {
        self.check(Limit::FileSize, size, Errno::Fbig)
    }

    fn check(&mut self, limit: Limit, wanted: u64, errno: Errno) -> Result<()> {
        if wanted <= self.limits.value(limit) {
            return Ok(());
        }
        let reached = self.limits.reached(limit).with(wanted);
        let pauses = self.limits.on_limit == OnLimit::Pause;
        match pauses && wanted <= self.limits.grace(limit) {
            true => {
                self.reached = Some(reached);
                Ok(())
            }
            false => {
                self.reached = Some(reached.hard());
                Err(errno)
            }
        }
    }

    /// The guest has been told that it cannot have more.
    pub(super) fn refuse(&mut self, limit: Limit) {
        self.refuse_at(limit, self.limits.value(limit));
    }

    /// The same for a limit that is lower here than elsewhere.
    pub(super) fn refuse_at(&mut self, limit: Limit, value: u64) {
        let mut reached = self.limits.reached(limit);
        reached.setting.value = value;
        self.refusals += 1;
        if self.refusals >= PATIENCE {
            self.refusals = 0;
            self.reached = Some(reached.clone());
        }
        self.told = Some(reached);
    }

    /// It has got what it asked for.
    pub(super) fn granted(&mut self) {
        self.refusals = 0;
    }
}

impl Ctx {
    /// The limit that the last call has reached, once.
    pub fn take_reached(&mut self) -> Option<Reached> {
        self.caps.reached.take()
    }

    /// The last limit that the guest was told of.
    pub fn told(&self) -> Option<Reached> {
        self.caps.told.clone()
    }

    /// Bytes written to standard streams and to files since the guest was first started.
    pub fn written(&self) -> (u64, u64) {
        (self.caps.output, self.caps.writes)
    }

    /// Goes on counting from here.
    pub fn set_written(&mut self, output: u64, writes: u64) {
        (self.caps.output, self.caps.writes) = (output, writes);
    }
}
