//! What a worker does with one task: load it, run it to its next wait, freeze it.
//!
//! ```text
//!   Load --> thaw or start --.
//!   Step --------------------+--> step --> Parked (short wait) | Preempted | Asked
//!                            |         `-> freeze --> Stored (hibernated)
//!   Freeze ------------------'         `-> Stored (exited, failed, or armed anew)
//! ```

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::time::Instant;

use crate::blobs::programs::Programs;
use crate::blobs::snapshot_bases::{LARGEST_SMALL_BYTES, SnapshotBases};
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::model::error::{Error, ErrorKind};
use crate::model::{MonotonicTime, TaskId, TaskSpec, TaskState, TraceContext, Wait, When};
use crate::nodes::ids::Ids;
use crate::nodes::placement::Placement;
use crate::options::Options;
use crate::sockets::Sockets;
use crate::store::{SnapshotChange, Store, StoredSnapshot, TaskRow, Update};
use crate::stored::damaged;
use crate::stored::encoding::to_bytes;
use crate::stored::history::Run;
use crate::stored::status::Status;
use crate::task::{Gate, HttpConnection, ModuleRef, Step, Task, TaskHandle, Watched, reactor};
use crate::throttled_log::warn_throttled;
use crate::time::clocks::Time;
use crate::time::schedule;
use crate::workers::crash_marks::CrashMarks;
use crate::workers::guest::{LoadedTask, NotRevived};
use crate::workers::messages::{ClaimedTask, WorkerJob, WorkerReport};
use crate::workers::output::{Following, Tail};
use crate::workers::tenant_places::TaskQuotas;

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
    /// What guests do outside of themselves waits until it is open.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Which tasks can be run here, where several nodes share the store.
    pub(crate) placement: Option<Arc<Placement>>,
    /// Tells the driver what happens within a job.
    pub(crate) tell: Box<dyn Fn(WorkerReport) + Send + Sync>,
    /// Numbers of new tasks.
    pub(crate) ids: Arc<Ids>,
    pub(crate) task_quotas: TaskQuotas,
}

impl Worker {
    pub(crate) fn work(&self, job: WorkerJob) -> WorkerReport {
        match job {
            WorkerJob::Load {
                id,
                handle,
                knocked,
                claimed,
            } => match self.load(id, handle, knocked, claimed) {
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
    pub(super) fn begin_run(&self, spec: &TaskSpec, status: &mut Status) {
        status.runs += 1;
        schedule::begin_run(status, &self.time);
        // For a task that is started once, the snapshot has the start; the status need not carry
        // it.
        let again = spec.schedule.every.is_some() || spec.restart.is_some();
        status.history.started = again.then(|| self.time.wall());
    }

    /// What the store says of a task.
    fn stored(
        &self,
        id: TaskId,
        claimed: Option<Box<ClaimedTask>>,
    ) -> Result<Option<(TaskRow, Option<StoredSnapshot>)>, Error> {
        match claimed {
            Some(found) => Ok(Some((found.claimed.row, found.claimed.snapshot))),
            None => Ok(self.store.load(id)?),
        }
    }

    fn load(
        &self,
        id: TaskId,
        handle: TaskHandle,
        knocked: Option<MonotonicTime>,
        claimed: Option<Box<ClaimedTask>>,
    ) -> Result<WorkerReport, Error> {
        let started = Instant::now();
        let traced_from = self.traced_from(claimed.as_deref());
        let now = self.time.now();
        let Some((row, frozen)) = self.stored(id, claimed)? else {
            return Ok(WorkerReport::Stale { id, due: None });
        };
        let startable = matches!(row.state, TaskState::Ready | TaskState::Hibernated);
        let due = row.due.filter(|_| startable);
        let Some(due) = due.filter(|due| *due <= now || knocked.is_some()) else {
            return Ok(WorkerReport::Stale { id, due });
        };
        let due = knocked.unwrap_or(due);
        let placement = self.placement.as_ref();
        if placement.is_some_and(|placement| !placement.serves(row.class)) {
            return Ok(WorkerReport::Misplaced { id });
        }
        let (spec, mut status) = match damaged::read(&row) {
            Ok(read) => read,
            // The task stays in the store as it is.
            Err(error) => {
                let error = error.to_string();
                warn_throttled(READING_ROWS, &error, || error.clone());
                return Ok(WorkerReport::Stale { id, due: None });
            }
        };
        if let Some(most) = spec.network.instances() {
            return self.accept(&row, &spec, status, most);
        }
        let version = row.version;
        let limit = self.options.output_limit;
        let (time, following) = (self.time.clone(), self.following.clone());
        let is_new = frozen.is_none();
        let traced =
            traced_from.and_then(|times| self.traced(&row, &spec, &mut status, is_new, times));
        let traced = traced.unwrap_or_default();
        let tail = Tail::new(id, version, limit, time, following).telling(traced.lines);
        let connection = match status.accepted_by.filter(|_| frozen.is_none()) {
            None => None,
            Some(listener) => match self.accepted_connection(id, listener)? {
                None => return Ok(self.connection_failed(id, version, listener, (&tail, None))),
                connection => connection,
            },
        };
        let origin = status.trace.map(|trace| trace.origin);
        let told = (&tail, traced.context.or(origin));
        let stored = (&row, spec, status, frozen);
        let mut guest = match self.load_guest(stored, told, handle, connection)? {
            Ok(guest) => guest,
            Err(report) => return Ok(report),
        };
        guest.run_span = traced.span.map(|span| span.loaded());
        // The sockets are the guest's now.
        self.sockets.drop_kept(id);
        (self.tell)(WorkerReport::Started { id, tail });
        let trace = || guest.run_span.as_ref().map(|span| span.trace_id());
        self.metrics.resume.observe(started.elapsed(), trace());
        let late = self.time.now().saturating_duration_since(due);
        if guest.base.is_some() || row.snapshot_bytes > 0 {
            self.metrics.wake_latency.observe(late, trace());
            self.metrics.wakes.inc();
        }
        // A task that has reached a limit at which it is paused would use up what is left before it
        // is ended. It is frozen again, with its sockets.
        Ok(match !is_new && guest.task.exhausted() {
            true => self.work(WorkerJob::Freeze(guest, TaskState::Paused)),
            false => self.run(guest),
        })
    }

    /// Brings a task into memory; or else gives what is to be said of it.
    fn load_guest(
        &self,
        (row, spec, mut status, frozen): (&TaskRow, TaskSpec, Status, Option<StoredSnapshot>),
        (tail, context): (&Tail, Option<TraceContext>),
        handle: TaskHandle,
        connection: Option<HttpConnection>,
    ) -> Result<Result<Box<LoadedTask>, WorkerReport>, Error> {
        let (id, version, module) = (row.id, row.version, row.module);
        let base = frozen.as_ref().and_then(|frozen| frozen.base);
        let is_new = frozen.is_none();
        if is_new {
            self.begin_run(&spec, &mut status);
        }
        let which = (id, module);
        let revived = self.revive(
            which,
            &spec,
            frozen,
            (tail, context),
            handle.clone(),
            connection,
        );
        Ok(Err(match revived {
            Ok((task, share)) => {
                let which = (id, version, module);
                return Ok(Ok(Box::new(LoadedTask {
                    base,
                    ..LoadedTask::new(which, task, share, tail.clone(), (spec, status))
                })));
            }
            Err(NotRevived::Full) => WorkerReport::Crowded { id, loaded: false },
            Err(NotRevived::Failed(_)) if handle.is_evicted() && !handle.is_killed() => {
                WorkerReport::Crowded { id, loaded: true }
            }
            // Nothing of the task is lost, and loading it is tried again.
            Err(NotRevived::Failed(error)) if error.passes() => return Err(error),
            Err(NotRevived::Failed(error)) => match status.accepted_by {
                Some(listener) => {
                    self.connection_failed(id, version, listener, (tail, Some(&error)))
                }
                None if is_new && error.kind() == ErrorKind::Limit => {
                    self.set_aside(row, &status, &error, TaskState::Failed)?
                }
                None => self.set_aside(row, &status, &error, TaskState::Paused)?,
            },
        }))
    }

    /// The host lacks what the task needs. Its snapshot is all there is of the task, and stays; the
    /// status tells the user why the task does not run.
    pub(super) fn set_aside(
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
        if let Some(span) = &mut guest.run_span {
            span.wait_ends();
        }
        loop {
            let exited = match guest.task.step() {
                Ok(Step::Exited(code)) => Ok(code),
                Err(error) => {
                    let handle = guest.task.handle();
                    if handle.is_evicted() && !handle.is_killed() {
                        return self.report_evicted(guest);
                    }
                    Err(error)
                }
                Ok(Step::Parked(parked)) => {
                    let wait = parked.wait();
                    match self.parked(guest, wait, started) {
                        ControlFlow::Continue(again) => guest = again,
                        ControlFlow::Break(report) => return report,
                    }
                    continue;
                }
            };
            match self.exited(guest, exited) {
                ControlFlow::Continue(next) => guest = next,
                ControlFlow::Break(report) => return report,
            }
        }
    }

    /// A guest waits, in a turn that has begun then. Gives it back where it goes on at once.
    fn parked(
        &self,
        mut guest: Box<LoadedTask>,
        wait: Wait,
        started: Instant,
    ) -> ControlFlow<WorkerReport, Box<LoadedTask>> {
        use ControlFlow::{Break, Continue};
        guest.memory = guest.task.memory_size();
        if guest.task.handle().is_asked() {
            return Break(WorkerReport::Asked(guest));
        }
        let old = guest.is_outdated || guest.stored.elapsed() >= self.options.checkpoint;
        let ready = wait == Wait::Yield || guest.task.is_ready();
        if ready && !old {
            return match started.elapsed() < TIME_SLICE {
                true => Continue(guest),
                false => Break(WorkerReport::Preempted(guest)),
            };
        }
        let far = guest
            .task
            .known_length()
            .is_some_and(|left| left >= self.options.hibernate_after);
        if !far && !old {
            return match started.elapsed() < TIME_SLICE
                && reactor::linger(&guest.task, &self.waiting)
            {
                true => Continue(guest),
                false => {
                    guest.note_wait(&wait);
                    Break(WorkerReport::Parked(guest))
                }
            };
        }
        Break(match self.freeze(&mut guest, TaskState::Hibernated) {
            Ok(update) => {
                // The guest may have reached a limit just now, and be paused.
                let goes = far || update.state != TaskState::Hibernated;
                match goes {
                    true => self.keep(&guest, update.state),
                    false => guest.note_wait(&wait),
                }
                WorkerReport::Store {
                    update: Box::new(update),
                    keeps: (!goes).then_some(guest),
                }
            }
            Err(error) => unable(guest, &error),
        })
    }

    /// What to store of a parked guest.
    fn freeze(&self, guest: &mut LoadedTask, state: TaskState) -> Result<Update, Error> {
        let started = Instant::now();
        let traced_from = guest.run_span.as_mut().map(|span| span.wait_ends());
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
        let trace = guest.run_span.as_ref().map(|span| span.trace_id());
        self.metrics.suspend.observe(started.elapsed(), trace);
        let now = self.time.now();
        let ends = guest.task.ends();
        (guest.stored, guest.is_outdated) = (Instant::now(), false);
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
        if let (Some(span), Some(since)) = (&mut guest.run_span, traced_from) {
            let wait = guest.status.wait.as_ref();
            span.freezes(since, (flat, stored), wait, state);
        }
        note_sockets(guest);
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
}

/// Notes which sockets wake a guest that has just been frozen.
fn note_sockets(guest: &mut LoadedTask) {
    guest.status.awaits_request = guest.task.awaits_request();
    let watches = guest.task.asleep().watches;
    guest.status.watched = u32::try_from(watches.len()).unwrap_or(u32::MAX);
    guest.status.listens = watches
        .into_iter()
        .filter_map(|watch| match watch.what {
            Watched::Listener(address) => Some(address),
            Watched::Socket(_) => None,
        })
        .collect();
}

fn unable(guest: Box<LoadedTask>, error: &Error) -> WorkerReport {
    WorkerReport::Unable {
        guest,
        error: error.to_string(),
        passes: error.passes(),
    }
}
