//! Many tasks in one process: what a server, or a program that embeds the library, asks of them.

mod look;
mod submit;

pub(super) use submit::check_name;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

use super::Error as Refused;
use super::bases::Bases;
use super::budget::{self, Budget, Parts, Used};
use super::commands::{Ask, Command};
use super::driver::{Driver, INSTANCES, Message};
use super::ending::NotStored;
use super::guest::Worker;
use super::journal::{Journal, Tenure};
use super::marks::Marks;
use super::metrics::Metrics;
use super::moving::Moving;
use super::programs::Programs;
use super::shared::Shared;
use super::sockets::Kept;
use super::spec::{More, Spec, check_limits};
use super::time::Time;
use super::workers::Pool;
use crate::model::clock::{Clock, SystemClock};
use crate::model::error::Error;
use crate::model::{Digest, Limits, TaskId};
use crate::store::{Change, Store, Verdict};
use crate::task::{Engine, Runtime, RuntimeOptions};

/// How long a lease lasts after the last sign of life, in nanoseconds.
const LEASE: u64 = 15_000_000_000;

/// So many new tasks may be on their way to the disk; more have to wait.
const SUBMITTING: usize = 16_384;

/// How a daemon is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads for guests; `None` is as many as there are cores.
    pub workers: Option<usize>,
    /// At most so many of them, while all compute.
    pub max_workers: usize,
    /// A wait that is known to last so long is slept through in the store, not in memory.
    pub hibernate_after: Duration,
    /// Bytes of the memories of instances that wait in memory; beyond it they are put to sleep.
    pub max_warm_memory: u64,
    /// Bytes of memory of all guests and of the daemon's own together; `None` is seven eighths of what the control
    /// groups and the machine have. Guests wait for room.
    pub memory: Option<u64>,
    /// The file that says which tasks are being run, so that one that makes the daemon die again and again is set
    /// aside; `None` notes nothing.
    pub marks: Option<std::path::PathBuf>,
    /// In how many deaths of the daemon in a row a task may be run without being stored; 0 is any number.
    pub set_aside_after: u32,
    /// How much a task may take, where it does not say.
    pub limits: Limits,
    /// Bytes of output that are kept of each task; the oldest go first.
    pub output_limit: u64,
    /// A task that waits in memory again and again is written down at least so often.
    pub checkpoint: Duration,
    /// How long a task that is over is kept in the list; `None` is for ever.
    pub retain: Option<Duration>,
    /// The engine for tasks that do not name one.
    pub engine: Engine,
    /// Which daemon this is, in exported snapshots.
    pub identity: String,
    /// Where resumable modules and machine code are; `None` is the user's cache directory.
    pub cache: Option<std::path::PathBuf>,
    /// The clock; `None` is the system's.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Default for Options {
    /// What `dormouse serve` does when it is not told otherwise, on the first engine of the build.
    fn default() -> Self {
        Self {
            workers: None,
            max_workers: 64,
            hibernate_after: Duration::from_secs(1),
            max_warm_memory: 256 << 20,
            memory: None,
            marks: None,
            set_aside_after: 3,
            limits: Limits::daemon(),
            output_limit: 1 << 20,
            checkpoint: Duration::from_secs(10),
            retain: None,
            engine: Engine::available().next().unwrap_or(Engine::Wasmtime),
            identity: "embedded".into(),
            cache: None,
            clock: None,
        }
    }
}

/// A task to submit.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// Digest of the resumable module, as [`Daemon::add_module`] gave it.
    pub module: Option<Digest>,
    /// What it is started with.
    pub spec: Spec,
    /// A name that no other task has.
    pub name: Option<String>,
    /// When to start, in nanoseconds since the Unix epoch; `None` is now, or by its schedule.
    pub at: Option<u64>,
}

/// Many tasks in one process.
pub struct Daemon {
    pub(super) shared: Arc<Shared>,
    pub(super) programs: Arc<Programs>,
    pub(super) bases: Arc<Bases>,
    inbox: mpsc::UnboundedSender<Message>,
    pub(super) next: AtomicU64,
    submitting: Arc<Semaphore>,
    tenure: Arc<Tenure>,
    pub(super) moving: Moving,
    pub(super) marks: Arc<Marks>,
}

impl Daemon {
    /// Takes a store over and starts to work. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the store cannot be read, or threads cannot be started.
    pub fn start(store: Arc<dyn Store>, options: Options) -> Result<Arc<Self>, Error> {
        Self::start_with(store, options, Vec::new())
    }

    /// Like [`start`](Self::start), with the sockets that the tasks had in a process before this one.
    pub fn start_with(
        store: Arc<dyn Store>,
        options: Options,
        kept: Vec<Kept>,
    ) -> Result<Arc<Self>, Error> {
        let clock = options.clock.clone();
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        // It is that of this moment.
        super::calendar::zone();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = options.workers.unwrap_or(cores).max(1);
        let size = options.memory.unwrap_or_else(budget::available);
        let (outbox, inbox) = mpsc::unbounded_channel();
        let room = outbox.clone();
        // The driver has gone.
        let budget = Budget::new(size, move || drop(room.send(Message::Room)));
        budget::trim::settle();
        let runtime = Runtime::new(RuntimeOptions {
            cache: options.cache.clone(),
            pool: u32::try_from(2 * INSTANCES).ok(),
            limits: options.limits,
            ..RuntimeOptions::default()
        })?;
        let holder = format!("process {}", std::process::id());
        let time = Arc::new(Time::new(clock, store.number()?, store.stamp()?));
        let tenure = Tenure::claim(store.clone(), holder, &time.stamp(), LEASE)?;
        let tenure = Arc::new(tenure);
        let (marks, found) = Marks::open(options.marks.clone());
        marks.set_aside(&*store, &tenure, &time, options.set_aside_after, found)?;
        let marks = Arc::new(marks);
        let metrics = Arc::new(Metrics::new());
        for (state, count) in store.counts()? {
            metrics.add(state, i64::try_from(count).unwrap_or(i64::MAX));
        }
        let threads = |error: std::io::Error| {
            Error::from(Refused::Request(format!("cannot start a thread: {error}")))
        };
        let (journal, _) =
            Journal::start(store.clone(), tenure.clone(), time.clone(), metrics.clone())
                .map_err(threads)?;
        let programs = Arc::new(Programs::new(runtime, store.clone()));
        let (most, pack) = (budget.parts.own / 4, store.last_pack()? + 1);
        let bases = Bases::new(store.clone(), journal.clone(), most, pack);
        let bases = Arc::new(bases);
        let most = options.max_workers;
        let options = Arc::new(options);
        let following = broadcast::channel(4096).0;
        let next = AtomicU64::new(store.last_id()?.0 + 1);
        let shared = Arc::new(Shared::new(
            store.clone(),
            journal,
            metrics.clone(),
            time.clone(),
            options.clone(),
            following.clone(),
            budget.clone(),
        ));
        for kept in kept {
            shared.sockets.adopt(kept);
        }
        let report = |outbox: &mpsc::UnboundedSender<Message>| {
            let outbox = outbox.clone();
            // The driver has gone.
            move |report| drop(outbox.send(Message::Report(report)))
        };
        let worker = || Worker {
            store: store.clone(),
            programs: programs.clone(),
            bases: bases.clone(),
            metrics: metrics.clone(),
            time: time.clone(),
            options: options.clone(),
            following: following.clone(),
            sockets: shared.sockets.clone(),
            budget: budget.clone(),
            marks: marks.clone(),
            waiting: Arc::default(),
            started: Box::new(report(&outbox)),
        };
        let pool = Pool::start(workers, most, worker(), report(&outbox)).map_err(threads)?;
        let moving = Moving::new(worker());
        let driver = Driver::new(shared.clone(), pool, inbox, outbox.clone());
        tokio::spawn(driver.run());
        let daemon = Arc::new(Self {
            shared,
            programs,
            bases,
            inbox: outbox,
            next,
            submitting: Arc::new(Semaphore::new(SUBMITTING)),
            tenure,
            moving,
            marks,
        });
        tokio::spawn(super::upkeep::run(Arc::downgrade(&daemon)));
        Ok(daemon)
    }

    /// Stops a task at its next call that may block, and keeps it until told otherwise.
    ///
    /// # Errors
    /// Where there is no such task, or it is over.
    pub async fn pause(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Pause).await
    }

    /// Lets a paused task go on.
    ///
    /// # Errors
    /// Where there is no such task, or it is not paused.
    pub async fn resume(&self, id: TaskId) -> Result<(), Error> {
        self.resume_with(id, More::default()).await
    }

    /// Lets a paused task go on with other limits, which it has from then on.
    ///
    /// # Errors
    /// Where there is no such task, it is not paused, or a limit is none of a task's.
    pub async fn resume_with(&self, id: TaskId, more: More) -> Result<(), Error> {
        check_limits(&more.limits)?;
        self.ask(id, Ask::Resume(more)).await
    }

    /// Starts a task now that waits for its first start or for the next one of its schedule, which goes on.
    ///
    /// # Errors
    /// Where there is no such task, a run of it is under way, or it is over or paused.
    pub async fn start_now(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Start).await
    }

    /// Ends a task.
    ///
    /// # Errors
    /// Where there is no such task, or it is over.
    pub async fn kill(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Kill).await
    }

    /// Takes a task that is over or paused out of the list, with its output.
    ///
    /// # Errors
    /// Where there is no such task, or it is not over.
    pub async fn remove(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Remove).await
    }

    pub(super) async fn ask(&self, id: TaskId, ask: Ask) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Command(Command { id, ask, reply }));
        answer.await.map_err(|_| Error::from(Refused::Closing))?
    }

    /// What is counted and measured.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// How the memory is parted, and how much of it is used.
    pub fn memory(&self) -> (Parts, Used) {
        let budget = &self.shared.budget;
        (budget.parts, budget.used())
    }

    /// The wall clock's time, in nanoseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        self.shared.time.wall()
    }

    /// How it is set up.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Completes when another daemon has taken the store over: this one can change nothing any more.
    pub async fn until_lost(&self) {
        self.shared.until_lost().await;
    }

    /// Puts everything that runs to sleep, and gives the tasks of which that could not be stored. A guest that computes
    /// is waited for, and so is a disk that has no room; what a guest did since its last suspend is lost if the caller
    /// does not wait so long.
    pub async fn close(&self) -> Vec<NotStored> {
        let (closed, done) = oneshot::channel();
        self.send(Message::Close(closed));
        // An error means that the driver has gone.
        done.await.unwrap_or_default()
    }

    /// The tasks in memory of which something is not stored, for a caller that does not wait for [`close`](Self::close)
    /// any longer; `None` where that is done.
    pub async fn not_stored(&self) -> Option<Vec<NotStored>> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Left(reply));
        answer.await.ok()
    }

    /// The process ends now, by itself: tasks that are still being run are not to blame for it.
    pub fn ended(&self) {
        self.marks.end();
    }

    /// All sockets of tasks, for a process that goes on with them; after [`close`](Self::close).
    pub fn hand_over(&self) -> Vec<Kept> {
        self.shared.sockets.hand_over()
    }

    /// Removes tasks that have been over for too long, and blobs that nobody refers to.
    pub(super) async fn tidy(&self) -> Result<(), Error> {
        // By the steady clock: a wall clock that is far ahead for a moment must not remove anything.
        let now = self.shared.time.now();
        if let Some(retain) = self.shared.options.retain {
            let before = now.saturating_sub(u64::try_from(retain.as_nanos()).unwrap_or(u64::MAX));
            loop {
                let store = self.shared.store.clone();
                let over = blocking(move || Ok(store.finished(before, 1000)?)).await?;
                for (id, _) in &over {
                    // One that is being asked for something else is left for the next time.
                    let _ = self.remove(*id).await;
                }
                if over.len() < 1000 {
                    break;
                }
            }
        }
        let (store, tenure) = (self.shared.store.clone(), self.tenure.clone());
        // What was put within the last hour may be about to be referred to.
        let before = now.saturating_sub(3_600_000_000_000);
        let stamp = self.shared.time.stamp();
        let removed = blocking(move || {
            let lease = tenure.lease(&stamp)?;
            Ok(store.prune(&lease, &stamp, before)?)
        });
        let removed = removed.await?;
        if removed > 0 {
            log::info!("{removed} blobs that no task refers to were removed");
            self.bases.forget();
        }
        Ok(())
    }

    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Verdict>, Error> {
        let (done, answer) = oneshot::channel();
        self.shared.journal.put(changes, move |result| {
            // Whoever asked has gone.
            let _ = done.send(result);
        });
        let answer = answer.await.map_err(|_| Error::from(Refused::Closing))?;
        Ok(answer?)
    }

    fn send(&self, message: Message) {
        // The driver ends only after it was closed; then the reply is dropped, which says so.
        let _ = self.inbox.send(message);
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

/// Does what blocks on a thread where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refused::Damaged(format!("a part of the daemon failed: {error}")).into()),
    }
}
