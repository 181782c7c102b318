//! A task in memory, and why one is not.

use std::sync::Arc;

use tokio::time::Instant;

use crate::memory::{self, MemoryShare};
use crate::model::TaskSpec;
use crate::model::error::Error;
use crate::model::{Digest, TaskId, Wait};
use crate::stored::status::Status;
use crate::task::Task;
use crate::telemetry::RunSpan;
use crate::workers::output::Tail;

/// A task in memory.
pub(crate) struct LoadedTask {
    pub(crate) id: TaskId,
    /// The version that is stored.
    pub(crate) version: u64,
    pub(crate) task: Task,
    pub(super) share: Arc<MemoryShare>,
    pub(crate) tail: Tail,
    /// Bytes of its memories when it last stopped.
    pub(crate) memory: u64,
    /// When its state was last stored.
    pub(super) stored: Instant,
    pub(super) spec: TaskSpec,
    pub(super) status: Status,
    pub(super) program: Digest,
    pub(super) base: Option<Digest>,
    /// What is stored is that of an instance before this one, so that it is stored at its next wait.
    pub(super) is_outdated: bool,
    /// What a collector is told of this time in memory. It is told when this is dropped.
    pub(super) run_span: Option<Box<RunSpan>>,
}

impl LoadedTask {
    /// A task that has come into memory, with its ID, the version that is stored, and its module.
    pub(super) fn new(
        (id, version, program): (TaskId, u64, Digest),
        task: Task,
        share: Arc<MemoryShare>,
        tail: Tail,
        (spec, status): (TaskSpec, Status),
    ) -> Self {
        Self {
            id,
            version,
            task,
            share,
            tail,
            memory: 0,
            stored: Instant::now(),
            spec,
            status,
            program,
            base: None,
            is_outdated: false,
            run_span: None,
        }
    }
}

impl LoadedTask {
    /// It waits in memory from now on.
    pub(super) fn note_wait(&mut self, wait: &Wait) {
        if let Some(span) = &mut self.run_span {
            span.wait_begins(wait);
        }
    }
}

/// Why a task is not in memory.
pub(crate) enum NotRevived {
    /// There is no room for it now.
    Full,
    Failed(Error),
}

impl From<Error> for NotRevived {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<crate::Error> for NotRevived {
    fn from(error: crate::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<memory::NotAdmitted> for NotRevived {
    fn from(refused: memory::NotAdmitted) -> Self {
        match refused {
            memory::NotAdmitted::Full => Self::Full,
            memory::NotAdmitted::TooLarge(error) => {
                Self::Failed(crate::Error::NoMemory(error).into())
            }
        }
    }
}
