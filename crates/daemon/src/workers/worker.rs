//! What a worker does with one task: load it, run it to its next wait, freeze it.
//!
//! ```text
//!   Load --> thaw or start --.
//!   Step --------------------+--> step --> Parked (short wait) | Preempted | Asked
//!                            |         `-> freeze --> Stored (hibernated)
//!   Freeze ------------------'         `-> Stored (exited, failed, or armed anew)
//! ```

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use crate::blobs::programs::Programs;
use crate::blobs::snapshot_bases::{LARGEST_SMALL_BYTES, SnapshotBases};
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::model::error::{Error, ErrorKind};
use crate::model::{MonotonicTime, TaskId, TaskSpec, TaskState, Wait, When};
use crate::options::Options;
use crate::sockets::Sockets;
use crate::store::{OutputPiece, SnapshotChange, Store, TaskRow, Update};
use crate::stored::damaged;
use crate::stored::encoding::to_bytes;
use crate::stored::history::Run;
use crate::stored::status::Status;
use crate::task::{ModuleRef, Step, Task, TaskHandle, Watched, reactor};
use crate::throttled_log::warn_throttled;
use crate::time::clocks::Time;
use crate::time::restart::{self, SETTLED_RUN};
use crate::time::schedule;
use crate::workers::crash_marks::CrashMarks;
use crate::workers::guest::{LoadedTask, NotRevived};
use crate::workers::messages::{WorkerJob, WorkerReport};
use crate::workers::output::{Following, Tail};

/// Topic of the log: tasks whose row in the store is damaged.
const READING_ROWS: &str = "damaged";

/// How long a guest may run while others are ready.
const TIME_SLICE: Duration = Duration::from_millis(10);

/// A stored task that waits neither for a time nor for a socket is looked at again after so long.
const UNWATCHED_POLL: Duration = Duration::from_secs(1);

/// The memory for making a snapshot is not counted if it has at most this many bytes of pages.
const LARGEST_UNCOUNTED_BYTES: usize = 1 << 20;

/// How much memory it takes to make a snapshot, beside the guest's own.
fn beside(pages: usize) -> usize {
    match pages <= LARGEST_SMALL_BYTES {
        // The pages, the flat form, and both compressed.
        true => 4 * pages,
        // Chunks on their way, and what they are compressed with.
        false => 32 << 20,
    }
}

/// What workers share.
pub(crate) struct Worker {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) programs: Arc<Programs>,
    pub(crate) bases: Arc<SnapshotBases>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) time: Arc<Time>,
    pub(crate) options: Arc<Options>,
    pub(crate) following: Following,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) marks: Arc<CrashMarks>,
    /// How many jobs wait for a thread.
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) started: Box<dyn Fn(WorkerReport) + Send + Sync>,
}

impl Worker {
    pub(crate) fn work(&self, job: WorkerJob) -> WorkerReport {
        match job {
            WorkerJob::Load {
                id,
                handle,
                knocked,
            } => match self.load(id, handle, knocked) {
                Ok(report) => report,
                Err(error) => WorkerReport::NotLoaded {
                    id,
                    error: error.to_string(),
                },
            },
            WorkerJob::Step(guest) => self.run(guest),
            WorkerJob::Freeze(mut guest, state) => match self.freeze(&mut guest, state) {
                Ok(update) => {
                    self.keep(&guest, update.state);
                    WorkerReport::Store {
                        update: Box::new(update),
                        keeps: None,
                    }
                }
                Err(error) => unable(guest, &error),
            },
        }
    }

    /// Keeps the sockets of a guest that has just been frozen and is about to be dropped.
    fn keep(&self, guest: &LoadedTask, state: TaskState) {
        let asleep = guest.task.asleep();
        // The task's limit of time is reached even if no socket ever becomes ready.
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
    fn limit_of_time(&self, task: &Task) -> Option<MonotonicTime> {
        let left = task.time_left()?;
        Some(self.time.now().saturating_add(left))
    }

    /// Counts a run that begins.
    fn begin_run(&self, spec: &TaskSpec, status: &mut Status) {
        status.runs += 1;
        schedule::begin_run(status, &self.time);
        // For a task that is started once, the snapshot has the start; the status need not carry
        // it.
        let again = spec.schedule.every.is_some() || spec.restart.is_some();
        status.history.started = again.then(|| self.time.wall());
    }

    fn load(
        &self,
        id: TaskId,
        handle: TaskHandle,
        knocked: Option<MonotonicTime>,
    ) -> Result<WorkerReport, Error> {
        let started = Instant::now();
        let now = self.time.now();
        let Some((row, frozen)) = self.store.load(id)? else {
            return Ok(WorkerReport::Stale { id, due: None });
        };
        let startable = matches!(row.state, TaskState::Ready | TaskState::Hibernated);
        let due = row.due.filter(|_| startable);
        let Some(due) = due.filter(|due| *due <= now || knocked.is_some()) else {
            return Ok(WorkerReport::Stale { id, due });
        };
        let due = knocked.unwrap_or(due);
        let (spec, mut status) = match damaged::read(&row) {
            Ok(read) => read,
            // The task stays in the store as it is.
            Err(error) => {
                let error = error.to_string();
                warn_throttled(READING_ROWS, &error, || error.clone());
                return Ok(WorkerReport::Stale { id, due: None });
            }
        };
        let limit = self.options.output_limit;
        let (time, following) = (self.time.clone(), self.following.clone());
        let tail = Tail::new(id, row.version, limit, time, following);
        let base = frozen.as_ref().and_then(|frozen| frozen.base);
        let is_new = frozen.is_none();
        if is_new {
            self.begin_run(&spec, &mut status);
        }
        let (task, share) = match self.revive(&row, &spec, frozen, &tail, handle.clone()) {
            Ok(revived) => revived,
            Err(NotRevived::Full) => return Ok(WorkerReport::Crowded { id, loaded: false }),
            Err(NotRevived::Failed(_)) if handle.is_evicted() && !handle.is_killed() => {
                return Ok(WorkerReport::Crowded { id, loaded: true });
            }
            // Nothing of the task is lost, and loading it is tried again.
            Err(NotRevived::Failed(error)) if error.passes() => return Err(error),
            Err(NotRevived::Failed(error)) if is_new && error.kind() == ErrorKind::Limit => {
                return self.set_aside(&row, &status, &error, TaskState::Failed);
            }
            Err(NotRevived::Failed(error)) => {
                return self.set_aside(&row, &status, &error, TaskState::Paused);
            }
        };
        // The sockets are the guest's now.
        self.sockets.drop_kept(id);
        (self.started)(WorkerReport::Started {
            id,
            tail: tail.clone(),
        });
        self.metrics.resume.observe(started.elapsed().as_secs_f64());
        let late = self.time.now().saturating_duration_since(due);
        if base.is_some() || row.snapshot_bytes > 0 {
            self.metrics.wake_latency.observe(late.as_secs_f64());
            self.metrics.wakes.inc();
        }
        let guest = Box::new(LoadedTask {
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
        // A task that has reached a limit at which it is paused would use up what is left before it
        // is ended. It is frozen again, with its sockets.
        Ok(match !is_new && guest.task.exhausted() {
            true => self.work(WorkerJob::Freeze(guest, TaskState::Paused)),
            false => self.run(guest),
        })
    }

    /// The host lacks what the task needs. Its snapshot is all there is of the task, and stays; the
    /// status tells the user why the task does not run.
    fn set_aside(
        &self,
        row: &TaskRow,
        status: &Status,
        error: &Error,
        state: TaskState,
    ) -> Result<WorkerReport, Error> {
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
        let update = Update::of(row, state, When::NEVER, to_bytes(&status)?);
        self.sockets.close(row.id);
        Ok(WorkerReport::Store {
            update: Box::new(update),
            keeps: None,
        })
    }

    /// Runs a guest until it waits or until its turn is over.
    fn run(&self, mut guest: Box<LoadedTask>) -> WorkerReport {
        let started = Instant::now();
        loop {
            let wait = match guest.task.step() {
                Ok(Step::Exited(code)) => return self.ended(guest, Ok(code)),
                Err(error) => {
                    let handle = guest.task.handle();
                    return match handle.is_evicted() && !handle.is_killed() {
                        true => self.report_evicted(guest),
                        false => self.ended(guest, Err(error)),
                    };
                }
                Ok(Step::Parked(parked)) => parked.wait(),
            };
            guest.memory = guest.task.memory_size();
            if guest.task.handle().is_asked() {
                return WorkerReport::Asked(guest);
            }
            let old = guest.stored.elapsed() >= self.options.checkpoint;
            let ready = wait == Wait::Yield || guest.task.is_ready();
            if ready && !old {
                match started.elapsed() < TIME_SLICE {
                    true => continue,
                    false => return WorkerReport::Preempted(guest),
                }
            }
            let far = guest
                .task
                .known_length()
                .is_some_and(|left| left >= self.options.hibernate_after);
            if !far && !old {
                match started.elapsed() < TIME_SLICE && reactor::linger(&guest.task, &self.waiting)
                {
                    true => continue,
                    false => return WorkerReport::Parked(guest),
                }
            }
            return match self.freeze(&mut guest, TaskState::Hibernated) {
                Ok(update) => {
                    // The guest may have reached a limit just now, and be paused.
                    let goes = far || update.state != TaskState::Hibernated;
                    if goes {
                        self.keep(&guest, update.state);
                    }
                    WorkerReport::Store {
                        update: Box::new(update),
                        keeps: (!goes).then_some(guest),
                    }
                }
                Err(error) => unable(guest, &error),
            };
        }
    }

    /// What to store of a parked guest.
    fn freeze(&self, guest: &mut LoadedTask, state: TaskState) -> Result<Update, Error> {
        let started = Instant::now();
        #[cfg(test)]
        crate::workers::faults::hit(
            &self.options.identity,
            crate::workers::faults::Stage::Suspend,
        )?;
        let mut parked = guest.task.parked()?;
        let mut snapshot = parked.freeze_head()?;
        snapshot.module = ModuleRef::ByDigest;
        let size = snapshot.stored_bytes();
        let _reservation = (size > LARGEST_UNCOUNTED_BYTES)
            .then(|| self.budget.reserve_for_snapshot(beside(size) as u64));
        let (frozen, flat, stored) = match size <= LARGEST_SMALL_BYTES {
            true => {
                parked.fill_pages(&mut snapshot)?;
                let flat = snapshot.flatten()?;
                guest.task.snapshot_check()(flat.len() as u64)?;
                let frozen = self.bases.pack(guest.program, &flat, guest.base)?;
                (frozen, flat.len(), 0)
            }
            false => {
                guest.task.snapshot_check()(size as u64)?;
                let mut parked = guest.task.parked()?;
                let mut pages = |into: &mut dyn Write| parked.write_pages(&snapshot, into);
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
        // The task continues when it is given a higher limit.
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
            // Nothing watches the sockets while no daemon runs, so that the next daemon looks at
            // the task at once, whether or not its wait has an end.
            (Some(Wait::Poll { .. }), _) if guest.status.watched > 0 => When::steady(now),
            (_, when) if !when.is_never() => when,
            (Some(Wait::Poll { .. }), _) => When::steady(now.saturating_add(UNWATCHED_POLL)),
            _ => When::steady(now),
        };
        let limit = self.limit_of_time(&guest.task);
        due.steady = limit.into_iter().chain(due.steady).min();
        self.update(guest, state, due, SnapshotChange::Set(frozen))
    }

    /// What to store of a guest that is over.
    fn ended(&self, mut guest: Box<LoadedTask>, how: Result<u32, Error>) -> WorkerReport {
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
        })
    }
}

fn unable(guest: Box<LoadedTask>, error: &Error) -> WorkerReport {
    WorkerReport::Unable {
        guest,
        error: error.to_string(),
        passes: error.passes(),
    }
}
