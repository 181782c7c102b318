//! What is stored of a guest that is over, and of any other.

use crate::model::error::Error;
use crate::model::{TaskState, When};
use crate::store::{OutputPiece, SnapshotChange, Update};
use crate::stored::encoding::to_bytes;
use crate::stored::history::Run;
use crate::time::restart::{self, SETTLED_RUN};
use crate::time::schedule;
use crate::workers::guest::LoadedTask;
use crate::workers::messages::WorkerReport;
use crate::workers::worker::Worker;

impl Worker {
    /// What to store of a guest that is over.
    pub(super) fn ended(
        &self,
        mut guest: Box<LoadedTask>,
        how: Result<u32, Error>,
    ) -> WorkerReport {
        let killed = guest.task.handle().is_killed();
        let now = self.time.now();
        let failed = !matches!(how, Ok(0));
        let mut state = TaskState::Exited;
        guest.status.changed = self.time.wall();
        guest.status.clear_wait();
        match how {
            Ok(code) => {
                guest.status.exit_code = Some(code);
                // What the guest was refused may be the reason.
                let refused = guest.task.last_refused_limit().filter(|_| code != 0);
                guest.status.error = refused.map(|limit| limit.to_string());
            }
            Err(error) => {
                state = TaskState::Failed;
                guest.status.exit_code = None;
                guest.status.error = Some(error.to_string());
            }
        }
        if let Some(span) = &mut guest.run_span {
            span.exits(guest.status.exit_code, guest.status.error.as_deref(), state);
        }
        let wall = self.time.wall();
        guest.status.history.add(Run {
            number: guest.status.runs,
            started: wall.checked_sub(guest.task.age()),
            ended: wall,
            exit_code: guest.status.exit_code,
            error: guest.status.error.clone(),
            output: Some(guest.task.output_bytes()),
        });
        let next = match killed {
            true => None,
            false => schedule::after_run(&guest.spec, &guest.status, &self.time),
        };
        let policy = guest.spec.restart.unwrap_or_default();
        // Its schedule may start it before a restart would.
        guest.status.wall = next;
        guest.status.wakes = match policy.applies(failed) && !killed {
            true => {
                if guest.task.age() > SETTLED_RUN {
                    guest.status.restarts = 0;
                }
                let wait = restart::wait(guest.status.restarts);
                guest.status.restarts = guest.status.restarts.saturating_add(1);
                Some(now.saturating_add(wait))
            }
            false => None,
        };
        let when = guest.status.when();
        if !when.is_never() {
            state = TaskState::Hibernated;
        }
        match self.update(&guest, state, when, SnapshotChange::Clear) {
            Ok(update) => WorkerReport::Store {
                update: Box::new(update),
                keeps: None,
            },
            Err(error) => {
                log::error!("task {}: {error}", guest.id);
                WorkerReport::Lost { id: guest.id }
            }
        }
    }

    pub(super) fn update(
        &self,
        guest: &LoadedTask,
        state: TaskState,
        due: When,
        snapshot: SnapshotChange,
    ) -> Result<Update, Error> {
        match state {
            TaskState::Hibernated => {}
            TaskState::Paused | TaskState::Moving => self.sockets.pause(guest.id),
            _ => self.sockets.close(guest.id),
        }
        let output: Vec<OutputPiece> = guest.tail.take(guest.version);
        Ok(Update {
            id: guest.id,
            expected: guest.version,
            state,
            due: match state {
                TaskState::Hibernated => due,
                _ => When::NEVER,
            },
            status: to_bytes(&guest.status)?,
            spec: None,
            snapshot,
            output,
            output_limit: self.options.output_limit,
            held: false,
            target: None,
        })
    }
}
