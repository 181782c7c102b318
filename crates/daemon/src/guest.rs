//! What a worker does with one task: load it, run it to its next wait, write it down.
//!
//! ```text
//!   Load --> thaw or start --.
//!   Step --------------------+--> step --> Parked (short wait) | Preempted | Asked
//!                            |         `-> freeze --> Stored (hibernated)
//!   Freeze ------------------'         `-> Stored (exited, failed, or armed anew)
//! ```

mod revive;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

pub(super) use revive::NotRevived;

use super::bases::{Bases, SMALL};
use super::budget::{Budget, Share};
use super::complaints::complain;
use super::history::Run;
use super::job::{Job, Report};
use super::marks::Marks;
use super::metrics::Metrics;
use super::output::{Following, Tail};
use super::programs::Programs;
use super::restart::{Restart, SETTLED};
use super::sockets::Sockets;
use super::spec::{Spec, Status, to_bytes};
use super::time::Time;
use super::{Options, damaged, schedule};
use crate::model::error::{Error, ErrorKind};
use crate::model::{Digest, TaskId, TaskState, Wait, When};
use crate::store::{Entry, Part, Row, Store, Update};
use crate::task::{ModuleRef, Step, Task, TaskHandle, Watched, reactor};

/// How long a guest may go on when others are ready too.
const SLICE: Duration = Duration::from_millis(10);

/// What the log says about tasks whose row in the store is damaged.
const DAMAGED: &str = "damaged";

/// Nobody watches what a task in the store waits for, if it is not a time: it is looked at again after
/// so long, in nanoseconds.
const LOOK_AGAIN: u64 = 1_000_000_000;

/// A snapshot of fewer bytes of pages is made without a question.
const UNCOUNTED: usize = 1 << 20;

/// How much memory the making of a snapshot takes beside the guest.
fn beside(pages: usize) -> usize {
    match pages <= SMALL {
        // The pages, the flat form, and both compressed.
        true => 4 * pages,
        // Chunks on their way, and what they are compressed with.
        false => 32 << 20,
    }
}

/// A task in memory.
pub(super) struct Guest {
    pub(super) id: TaskId,
    /// The version that is stored.
    pub(super) version: u64,
    pub(super) task: Task,
    share: Arc<Share>,
    pub(super) tail: Tail,
    /// Bytes of its memories when it last stopped.
    pub(super) memory: u64,
    /// When its state was last stored.
    stored: Instant,
    spec: Spec,
    status: Status,
    program: Digest,
    base: Option<Digest>,
}

/// What workers share.
pub(super) struct Worker {
    pub(super) store: Arc<dyn Store>,
    pub(super) programs: Arc<Programs>,
    pub(super) bases: Arc<Bases>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) time: Arc<Time>,
    pub(super) options: Arc<Options>,
    pub(super) following: Following,
    pub(super) sockets: Arc<Sockets>,
    pub(super) budget: Arc<Budget>,
    pub(super) marks: Arc<Marks>,
    /// How many jobs wait for a thread.
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) started: Box<dyn Fn(Report) + Send + Sync>,
}

impl Worker {
    pub(super) fn work(&self, job: Job) -> Report {
        match job {
            Job::Load {
                id,
                handle,
                knocked,
            } => match self.load(id, handle, knocked) {
                Ok(report) => report,
                Err(error) => Report::Trouble {
                    id,
                    error: error.to_string(),
                },
            },
            Job::Step(guest) => self.run(guest),
            Job::Freeze(mut guest, state) => match self.freeze(&mut guest, state) {
                Ok(update) => {
                    self.keep(&guest, update.state);
                    Report::Store {
                        update: Box::new(update),
                        keeps: None,
                    }
                }
                Err(error) => unable(guest, &error),
            },
        }
    }

    /// Keeps the sockets of a guest that has just been written down and is about to go.
    fn keep(&self, guest: &Guest, state: TaskState) {
        let asleep = guest.task.asleep();
        // Nobody may ever knock, and its time is over all the same.
        let limit = self.limit_of_time(&guest.task).into_iter();
        let when = guest.status.when();
        let ends = When {
            steady: limit.chain(when.steady).min(),
            ..when
        };
        self.sockets.keep(guest.id, asleep, ends);
        if matches!(state, TaskState::Paused | TaskState::Moving) {
            self.sockets.pause(guest.id);
        }
    }

    /// When the task's limit of time is reached, by the steady clock.
    fn limit_of_time(&self, task: &Task) -> Option<u64> {
        let left = u64::try_from(task.time_left()?.as_nanos()).ok()?;
        Some(self.time.now().saturating_add(left))
    }

    fn load(&self, id: TaskId, handle: TaskHandle, knocked: Option<u64>) -> Result<Report, Error> {
        let started = Instant::now();
        let now = self.time.now();
        let Some((row, frozen)) = self.store.load(id)? else {
            return Ok(Report::Stale { id, due: None });
        };
        let startable = matches!(row.state, TaskState::Ready | TaskState::Hibernated);
        let due = match row.due {
            Some(due) if startable && (due <= now || knocked.is_some()) => knocked.unwrap_or(due),
            due => {
                let due = due.filter(|_| startable);
                return Ok(Report::Stale { id, due });
            }
        };
        let (spec, mut status) = match damaged::read(&row) {
            Ok(read) => read,
            // It stays in the store as it is.
            Err(error) => {
                let error = error.to_string();
                complain(DAMAGED, &error, || error.clone());
                return Ok(Report::Stale { id, due: None });
            }
        };
        let limit = self.options.output_limit;
        let tail = Tail::new(id, limit, self.time.clone(), self.following.clone());
        let base = frozen.as_ref().and_then(|frozen| frozen.base);
        let is_new = frozen.is_none();
        if is_new {
            status.runs += 1;
            schedule::begin_run(&mut status, &self.time);
            // One that is started once need not carry it through all of its sleeps: its snapshot says it.
            let again = spec.every.is_some() || spec.restart.is_some();
            status.history.started = again.then(|| self.time.wall());
        }
        let (task, share) = match self.revive(&row, &spec, frozen, &tail, handle.clone()) {
            Ok(revived) => revived,
            Err(NotRevived::Full) => return Ok(Report::Crowded { id, loaded: false }),
            Err(NotRevived::Failed(_)) if handle.is_evicted() && !handle.is_killed() => {
                return Ok(Report::Crowded { id, loaded: true });
            }
            // Nothing of it is lost, and it is tried again.
            Err(NotRevived::Failed(error)) if error.passes() => return Err(error),
            Err(NotRevived::Failed(error)) if is_new && error.kind() == ErrorKind::Limit => {
                return self.set_aside(&row, &status, &error, TaskState::Failed);
            }
            Err(NotRevived::Failed(error)) => {
                return self.set_aside(&row, &status, &error, TaskState::Paused);
            }
        };
        // They are the guest's now.
        self.sockets.drop_kept(id);
        (self.started)(Report::Started {
            id,
            tail: tail.clone(),
        });
        self.metrics.resume.observe(started.elapsed().as_secs_f64());
        let late = self.time.now().saturating_sub(due);
        if base.is_some() || row.snapshot_bytes > 0 {
            self.metrics.wake_latency.observe(late as f64 * 1e-9);
            self.metrics.wakes.inc();
        }
        let guest = Box::new(Guest {
            id,
            version: row.version,
            task,
            share,
            tail,
            memory: 0,
            stored: Instant::now(),
            spec,
            status,
            program: row.module,
            base,
        });
        // One that is to be paused would only use up what is left until it is ended. It is written down again,
        // with its sockets.
        Ok(match !is_new && guest.task.exhausted() {
            true => self.work(Job::Freeze(guest, TaskState::Paused)),
            false => self.run(guest),
        })
    }

    /// The host lacks what the task needs. Its snapshot is all there is of it, so that it is kept, and
    /// the user is told.
    fn set_aside(
        &self,
        row: &Row,
        status: &Status,
        error: &Error,
        state: TaskState,
    ) -> Result<Report, Error> {
        let mut status = status.clone();
        status.error = Some(format!("cannot be resumed: {error}"));
        status.changed = self.time.wall();
        if state == TaskState::Failed {
            status.history.add(Run {
                number: status.runs,
                ended: status.changed,
                error: status.error.clone(),
                ..Run::default()
            });
        }
        let update = Update {
            id: row.id,
            expected: row.version,
            state,
            due: When::NEVER,
            status: to_bytes(&status)?,
            spec: None,
            snapshot: Part::Keep,
            output: Vec::new(),
            output_limit: self.options.output_limit,
        };
        self.sockets.close(row.id);
        Ok(Report::Store {
            update: Box::new(update),
            keeps: None,
        })
    }

    /// Runs a guest to its next wait, or until its turn is over.
    fn run(&self, mut guest: Box<Guest>) -> Report {
        let started = Instant::now();
        loop {
            let wait = match guest.task.step() {
                Ok(Step::Exited(code)) => return self.ended(guest, Ok(code)),
                Err(error) => {
                    let handle = guest.task.handle();
                    return match handle.is_evicted() && !handle.is_killed() {
                        true => self.evicted(guest),
                        false => self.ended(guest, Err(error)),
                    };
                }
                Ok(Step::Parked(wait)) => wait,
            };
            guest.memory = guest.task.memory_size();
            if guest.task.handle().is_asked() {
                return Report::Asked(guest);
            }
            let old = guest.stored.elapsed() >= self.options.checkpoint;
            let ready = wait == Wait::Yield || guest.task.is_ready();
            if ready && !old {
                match started.elapsed() < SLICE {
                    true => continue,
                    false => return Report::Preempted(guest),
                }
            }
            let far = guest
                .task
                .remaining()
                .is_some_and(|left| left >= self.options.hibernate_after);
            if !far && !old {
                match started.elapsed() < SLICE && reactor::linger(&guest.task, &self.waiting) {
                    true => continue,
                    false => return Report::Parked(guest),
                }
            }
            return match self.freeze(&mut guest, TaskState::Hibernated) {
                Ok(update) => {
                    // It may have reached a limit at this very moment, and be paused.
                    let goes = far || update.state != TaskState::Hibernated;
                    if goes {
                        self.keep(&guest, update.state);
                    }
                    Report::Store {
                        update: Box::new(update),
                        keeps: (!goes).then_some(guest),
                    }
                }
                Err(error) => unable(guest, &error),
            };
        }
    }

    /// What to store of a parked guest.
    fn freeze(&self, guest: &mut Guest, state: TaskState) -> Result<Update, Error> {
        let started = Instant::now();
        #[cfg(test)]
        super::faults::hit(&self.options.identity, super::faults::Stage::Suspend)?;
        let mut snapshot = guest.task.freeze_head()?;
        snapshot.module = ModuleRef::ByDigest;
        let size = snapshot.stored_bytes();
        let _making = (size > UNCOUNTED).then(|| self.budget.making(beside(size) as u64));
        let (frozen, flat, stored) = match size <= SMALL {
            true => {
                guest.task.fill_pages(&mut snapshot)?;
                let flat = snapshot.flatten()?;
                guest.task.snapshot_check()(flat.len() as u64)?;
                let frozen = self.bases.pack(guest.program, &flat, guest.base)?;
                (frozen, flat.len(), 0)
            }
            false => {
                guest.task.snapshot_check()(size as u64)?;
                let task = &mut guest.task;
                let mut pages = |into: &mut dyn Write| task.write_pages(&snapshot, into);
                let (frozen, stored) =
                    self.bases
                        .pack_large(guest.program, &snapshot, &mut pages, guest.base)?;
                (frozen, size, stored)
            }
        };
        guest.base = frozen.base;
        self.metrics.suspends.inc();
        self.metrics.snapshot_flat.inc_by(flat as u64);
        let stored = stored + frozen.bytes.len();
        self.metrics.snapshot_stored.inc_by(stored as u64);
        self.metrics
            .suspend
            .observe(started.elapsed().as_secs_f64());
        let now = self.time.now();
        let ends = guest.task.ends();
        guest.stored = Instant::now();
        guest.status.changed = self.time.wall();
        guest.status.wait = Some(snapshot.meta.wait);
        guest.status.wakes = ends.after.map(|after| now.saturating_add(after));
        guest.status.wall = ends.at;
        guest.status.sleeps += 1;
        // It goes on when somebody gives it more.
        let reached = guest.task.reached();
        let state = match reached {
            Some(_) => TaskState::Paused,
            None => state,
        };
        guest.status.error = reached.map(|reached| reached.to_string());
        let watches = guest.task.asleep().watches;
        guest.status.watched = u32::try_from(watches.len()).unwrap_or(u32::MAX);
        guest.status.listens = watches
            .into_iter()
            .filter_map(|watch| match watch.what {
                Watched::Listener(address) => Some(address),
                Watched::Socket(_) => None,
            })
            .collect();
        let mut due = match (&guest.status.wait, guest.status.when()) {
            (_, when) if !when.is_never() => when,
            // Nobody knocks while the daemon is down: the next one looks at it at once.
            (Some(Wait::Poll { .. }), _) if guest.status.watched > 0 => When::steady(now),
            (Some(Wait::Poll { .. }), _) => When::steady(now.saturating_add(LOOK_AGAIN)),
            _ => When::steady(now),
        };
        let limit = self.limit_of_time(&guest.task);
        due.steady = limit.into_iter().chain(due.steady).min();
        self.update(guest, state, due, Part::Set(frozen))
    }

    /// What to store of a guest that is over.
    fn ended(&self, mut guest: Box<Guest>, how: Result<u32, Error>) -> Report {
        let killed = guest.task.handle().is_killed();
        let now = self.time.now();
        let failed = !matches!(how, Ok(0));
        let mut state = TaskState::Exited;
        guest.status.changed = self.time.wall();
        guest.status.clear_wait();
        match how {
            Ok(code) => {
                guest.status.exit_code = Some(code);
                // What it was refused may be why.
                let told = guest.task.told().filter(|_| code != 0);
                guest.status.error = told.map(|told| told.to_string());
            }
            Err(error) => {
                state = TaskState::Failed;
                guest.status.exit_code = None;
                guest.status.error = Some(error.to_string());
            }
        }
        let wall = self.time.wall();
        guest.status.history.add(Run {
            number: guest.status.runs,
            started: Some(wall.saturating_sub(guest.task.age())),
            ended: wall,
            exit_code: guest.status.exit_code,
            error: guest.status.error.clone(),
            output: Some(guest.task.output_bytes()),
        });
        let next = match killed {
            true => None,
            false => schedule::after_run(&guest.spec, &mut guest.status, &self.time),
        };
        let restart = guest.spec.restart.unwrap_or_default();
        // Its schedule may have it start before it is started anew.
        guest.status.wall = next;
        guest.status.wakes = match restart.applies(failed) && !killed {
            true => {
                if guest.task.age() > SETTLED {
                    guest.status.restarts = 0;
                }
                let wait = Restart::wait(guest.status.restarts).as_nanos() as u64;
                guest.status.restarts = guest.status.restarts.saturating_add(1);
                Some(now.saturating_add(wait))
            }
            false => None,
        };
        let when = guest.status.when();
        if !when.is_never() {
            state = TaskState::Hibernated;
        }
        match self.update(&guest, state, when, Part::Clear) {
            Ok(update) => Report::Store {
                update: Box::new(update),
                keeps: None,
            },
            Err(error) => {
                log::error!("task {}: {error}", guest.id);
                Report::Lost { id: guest.id }
            }
        }
    }

    fn update(
        &self,
        guest: &Guest,
        state: TaskState,
        due: When,
        snapshot: Part,
    ) -> Result<Update, Error> {
        match state {
            TaskState::Hibernated => {}
            TaskState::Paused | TaskState::Moving => self.sockets.pause(guest.id),
            _ => self.sockets.close(guest.id),
        }
        let output: Vec<Entry> = guest.tail.take(guest.version);
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
        })
    }
}

fn unable(guest: Box<Guest>, error: &Error) -> Report {
    Report::Unable {
        guest,
        error: error.to_string(),
        passes: error.passes(),
    }
}
