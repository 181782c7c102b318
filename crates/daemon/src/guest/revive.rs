//! How a task comes into memory, if there is room for it, and what becomes of one for which there is none.

use std::io::Read;
use std::sync::Arc;

use super::super::budget::{self, Share};
use super::super::job::Report;
use super::super::output::Tail;
use super::super::programs::told;
use super::super::spec::Spec;
use super::{Guest, Worker};
use crate::model::clock::Clock;
use crate::model::error::Error;
use crate::model::{TaskState, When};
use crate::store::{Frozen, Part, Row, Stream};
use crate::task::{
    Bindings, Config, Engine, Growing, HostDir, Input, Restore, RestoreOptions, Setup, Task,
    TaskHandle,
};

/// Why a task is not in memory.
pub(in super::super) enum NotRevived {
    /// There is no room for it now.
    Full,
    Failed(Error),
}

impl From<Error> for NotRevived {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<super::super::Error> for NotRevived {
    fn from(error: super::super::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<budget::Refused> for NotRevived {
    fn from(refused: budget::Refused) -> Self {
        match refused {
            budget::Refused::Full => Self::Full,
            budget::Refused::TooLarge(error) => {
                Self::Failed(super::super::Error::NoMemory(error).into())
            }
        }
    }
}

impl Worker {
    /// A task from what is stored of it.
    pub(in super::super) fn revive(
        &self,
        row: &Row,
        spec: &Spec,
        frozen: Option<Frozen>,
        tail: &Tail,
        handle: TaskHandle,
    ) -> Result<(Task, Arc<Share>), NotRevived> {
        #[cfg(test)]
        super::super::faults::hit(&self.options.identity, frozen.is_none().into())?;
        let program = self.programs.get(&row.module)?;
        let engine = spec.engine(self.options.engine)?;
        let opened = frozen.map(|frozen| self.bases.open(&frozen)).transpose()?;
        let memory = opened.as_ref().map_or(0, |(head, _)| head.memory_size());
        // Before anything is taken from anywhere: it may have to wait.
        let unseen = engine == Engine::WasmEdge;
        let share = self.budget.admit(row.id, memory, &handle, unseen)?;
        let growth = Growing(Some(share.clone()));
        let dirs = spec.dirs.iter().map(|(host, guest)| HostDir {
            host: host.into(),
            guest: guest.clone(),
            access: spec.access(guest),
        });
        let bindings = Bindings {
            stdin: Input::Null,
            stdout: tail.output(Stream::Stdout),
            stderr: tail.output(Stream::Stderr),
            dirs: dirs.collect(),
            listeners: self.sockets.lend(row.id, &spec.listen)?,
            grants: spec.grants()?,
            clocks: spec.clocks()?,
            random: spec.random()?,
            held: self.sockets.held(row.id),
            ..Bindings::default()
        };
        let limits = spec.limits(&self.options.limits);
        let clock: Option<Arc<dyn Clock>> = Some(self.time.clone());
        let runtime = self.programs.runtime();
        let Some((mut snapshot, pages)) = opened else {
            let setup = Setup {
                config: Config {
                    args: spec.args.clone(),
                    env: spec.env.clone(),
                    tmpfs: spec.tmpfs(),
                },
                bindings,
                clock,
                limits,
                handle,
                growth,
            };
            let task = Task::new(runtime, &program, engine, setup, &told(&row.module))?;
            return Ok((task, share));
        };
        let mut pages: Box<dyn Read> = match pages {
            Some(pages) => Box::new(pages),
            None => Box::new(std::io::Cursor::new(std::mem::take(&mut snapshot.pages))),
        };
        let restore = Restore {
            bindings,
            options: RestoreOptions {
                accept_changed_files: spec.accept_changed_files,
            },
            clock,
            limits,
            handle,
            growth,
        };
        let told = &told(&row.module);
        let pages = &mut *pages;
        let task = Task::thaw_from(runtime, &program, engine, &snapshot, pages, restore, told)?;
        Ok((task, share))
    }

    /// There was no memory for a guest to go on. What it has done since its last snapshot is as if its process had
    /// died.
    pub(super) fn evicted(&self, mut guest: Box<Guest>) -> Report {
        let id = guest.id;
        let Some(too_large) = guest.share.too_large() else {
            return Report::Crowded { id, loaded: true };
        };
        guest.status.error = Some(too_large.to_string());
        guest.status.changed = self.time.wall();
        // Its output since then goes too.
        drop(guest.tail.take(guest.version));
        match self.update(&guest, TaskState::Paused, When::NEVER, Part::Keep) {
            Ok(update) => Report::Store {
                update: Box::new(update),
                keeps: None,
            },
            Err(error) => {
                log::error!("task {id}: {error}");
                Report::Lost { id }
            }
        }
    }
}
