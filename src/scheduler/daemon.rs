//! Many tasks in one process: what a server, or a program that embeds the library, asks of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

use super::bases::Bases;
use super::commands::{Ask, Command};
use super::driver::{Driver, Message};
use super::guest::Worker;
use super::info::{Outputs, Piece, TaskInfo};
use super::journal::Journal;
use super::metrics::Metrics;
use super::output::Fresh;
use super::programs::{Programs, blob};
use super::shared::{Moved, Shared};
use super::spec::{Spec, Status, to_bytes};
use super::workers::Pool;
use super::{Error as Refused, calendar};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::model::{Digest, TaskId, TaskState};
use crate::store::{Change, Filter, Insert, Logged, Sizes, Store, Verdict};
use crate::task::{Engine, Runtime, RuntimeOptions, Snapshot, SnapshotLimits};

/// How long a lease lasts after the last sign of life, in nanoseconds.
const LEASE: u64 = 15_000_000_000;

/// So many new tasks may be on their way to the disk; more have to wait.
const SUBMITTING: usize = 16_384;

/// How a daemon is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads for guests; `None` is as many as there are cores.
    pub workers: Option<usize>,
    /// A wait that is known to last so long is slept through in the store, not in memory.
    pub hibernate_after: Duration,
    /// Bytes of the memories of instances that wait in memory; beyond it they are put to sleep.
    pub max_warm_memory: u64,
    /// How large a memory of a guest may get, in bytes, where the task does not say.
    pub memory_limit: Option<u64>,
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
    shared: Arc<Shared>,
    programs: Arc<Programs>,
    bases: Arc<Bases>,
    inbox: mpsc::UnboundedSender<Message>,
    next: AtomicU64,
    submitting: Arc<Semaphore>,
    lease: crate::store::Lease,
}

impl Daemon {
    /// Takes a store over and starts to work. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the store cannot be read, or threads cannot be started.
    pub fn start(store: Arc<dyn Store>, options: Options) -> Result<Arc<Self>, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = options.workers.unwrap_or(cores).max(1);
        let runtime = Runtime::new(RuntimeOptions {
            cache: options.cache.clone(),
            // A guest takes tens of KiB of bookkeeping here, and as much memory as it uses.
            pool: Some(1000),
            ..RuntimeOptions::default()
        })?;
        let holder = format!("process {}", std::process::id());
        let lease = store.claim(&holder, clock.realtime(), LEASE)?;
        let metrics = Arc::new(Metrics::new());
        for (state, count) in store.counts()? {
            metrics.add(state, i64::try_from(count).unwrap_or(i64::MAX));
        }
        let threads = |error: std::io::Error| {
            Error::from(Refused::Request(format!("cannot start a thread: {error}")))
        };
        let (journal, _) = Journal::start(store.clone(), lease, clock.clone(), metrics.clone())
            .map_err(threads)?;
        let programs = Arc::new(Programs::new(runtime, store.clone()));
        let bases = Arc::new(Bases::new(store.clone(), journal.clone()));
        let options = Arc::new(options);
        let following = broadcast::channel(4096).0;
        let next = AtomicU64::new(store.last_id()?.0 + 1);
        let shared = Arc::new(Shared::new(
            store.clone(),
            journal,
            metrics.clone(),
            clock.clone(),
            options.clone(),
            following.clone(),
        ));
        let (outbox, inbox) = mpsc::unbounded_channel();
        let report = |outbox: &mpsc::UnboundedSender<Message>| {
            let outbox = outbox.clone();
            // The driver has gone.
            move |report| drop(outbox.send(Message::Report(report)))
        };
        let worker = Worker {
            store,
            programs: programs.clone(),
            bases: bases.clone(),
            metrics,
            clock,
            options,
            following,
            started: Box::new(report(&outbox)),
        };
        let pool = Pool::start(workers, worker, report(&outbox)).map_err(threads)?;
        let driver = Driver::new(shared.clone(), pool, inbox, outbox.clone());
        tokio::spawn(driver.run());
        let daemon = Arc::new(Self {
            shared,
            programs,
            bases,
            inbox: outbox,
            next,
            submitting: Arc::new(Semaphore::new(SUBMITTING)),
            lease,
        });
        tokio::spawn(super::upkeep::run(Arc::downgrade(&daemon)));
        Ok(daemon)
    }

    /// Makes a module resumable, compiles it and keeps it; gives the digest by which tasks name it.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub async fn add_module(&self, source: Vec<u8>) -> Result<Digest, Error> {
        let (programs, engine) = (self.programs.clone(), self.shared.options.engine);
        let (program, change) = blocking(move || programs.add(&source, engine)).await?;
        self.commit(vec![change]).await?;
        Ok(program.digest())
    }

    /// Submits tasks; when this returns, they are stored. Gives their numbers, or for each the reason
    /// why it was refused.
    ///
    /// # Errors
    /// Where none could be stored.
    pub async fn submit(
        &self,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Result<TaskId, Error>>, Error> {
        let wanted = u32::try_from(submissions.len().min(SUBMITTING)).unwrap_or(u32::MAX);
        // Closed never.
        let _permit = self.submitting.acquire_many(wanted).await;
        let now = self.shared.clock.realtime();
        let mut inserts = Vec::with_capacity(submissions.len());
        let mut results: Vec<Result<TaskId, Error>> = Vec::with_capacity(submissions.len());
        let mut checked: Option<Digest> = None;
        for submission in submissions {
            let insert = self.plan(submission, now, &mut checked);
            match insert {
                Ok(insert) => {
                    results.push(Ok(insert.id));
                    inserts.push(insert);
                }
                Err(error) => results.push(Err(error)),
            }
        }
        let (names, dues): (Vec<_>, Vec<_>) = inserts
            .iter()
            .map(|insert| ((insert.id, insert.name.clone()), (insert.id, insert.due)))
            .unzip();
        let changes = inserts.into_iter().map(Change::Insert).collect();
        let verdicts = self.commit(changes).await?;
        let mut added = Vec::with_capacity(dues.len());
        for (((id, name), due), verdict) in names.into_iter().zip(dues).zip(verdicts) {
            let refused = match verdict {
                Verdict::Done => {
                    added.push(due);
                    self.shared.metrics.add(TaskState::Hibernated, 1);
                    self.shared.tell(id, Some(TaskState::Hibernated));
                    continue;
                }
                Verdict::NameTaken => Refused::NameTaken(name.unwrap_or_default()),
                Verdict::Conflict => Refused::NoModule("that the task names".into()),
            };
            for result in &mut results {
                if matches!(result, Ok(found) if *found == id) {
                    *result = Err(refused.into());
                    break;
                }
            }
        }
        self.shared.metrics.submitted.inc_by(added.len() as u64);
        self.send(Message::Added(added));
        Ok(results)
    }

    fn plan(
        &self,
        submission: Submission,
        now: u64,
        checked: &mut Option<Digest>,
    ) -> Result<Insert, Error> {
        let Submission {
            module,
            spec,
            name,
            at,
        } = submission;
        let module = module.ok_or_else(|| Refused::Request("the task names no module".into()))?;
        if *checked != Some(module) {
            self.programs.check(&module)?;
            *checked = Some(module);
        }
        check_name(name.as_deref())?;
        let engine = spec.engine(self.shared.options.engine)?;
        if !engine.is_available() {
            let text = format!("this daemon was built without {engine}");
            return Err(Refused::Request(text).into());
        }
        let zero = spec.env.iter().flat_map(|(name, value)| [name, value]);
        if spec.args.iter().chain(zero).any(|text| text.contains('\0')) {
            let text = "an argument or a variable holds a zero byte";
            return Err(Refused::Request(text.into()).into());
        }
        let due = match (&spec.every, at) {
            (Some(every), at) => {
                let first = calendar::next(every, at.unwrap_or(now))?;
                first.ok_or_else(|| Refused::Request(format!("{every:?} never holds")))?
            }
            (None, at) => at.unwrap_or(now),
        };
        let status = Status {
            submitted: now,
            changed: now,
            wakes: (due > now).then_some(due),
            ..Status::default()
        };
        Ok(Insert {
            id: TaskId(self.next.fetch_add(1, Ordering::Relaxed)),
            state: TaskState::Hibernated,
            due: Some(due),
            name,
            module,
            spec: to_bytes(&spec)?,
            status: to_bytes(&status)?,
            snapshot: None,
        })
    }

    /// A new task from a snapshot, which goes on as soon as its wait is over.
    ///
    /// # Errors
    /// Says what is wrong with the snapshot.
    pub async fn import(
        &self,
        bytes: Vec<u8>,
        mut spec: Spec,
        name: Option<String>,
    ) -> Result<TaskId, Error> {
        check_name(name.as_deref())?;
        let (programs, bases, engine) = (
            self.programs.clone(),
            self.bases.clone(),
            spec.engine(self.shared.options.engine)?,
        );
        let work = move || {
            let mut snapshot = Snapshot::decode(&bytes, &SnapshotLimits::default())?;
            let program = programs.runtime().load_snapshot(&snapshot)?;
            program.compile(programs.runtime(), engine, &crate::task::quiet)?;
            let program = programs.keep(program);
            snapshot.module = crate::task::ModuleRef::ByDigest;
            let frozen = bases.pack(program.digest(), &snapshot.flatten()?, None)?;
            Ok::<_, Error>((snapshot, blob(&program), frozen))
        };
        let (snapshot, module, frozen) = blocking(work).await?;
        let now = self.shared.clock.realtime();
        if spec.args.is_empty() {
            spec.args = snapshot.arguments()?;
        }
        let id = TaskId(self.next.fetch_add(1, Ordering::Relaxed));
        let due = snapshot.meta.wakes.unwrap_or(now);
        let status = Status {
            submitted: now,
            changed: now,
            wait: Some(snapshot.meta.wait),
            wakes: snapshot.meta.wakes,
            forked_from: snapshot.meta.origin,
            ..Status::default()
        };
        let insert = Insert {
            id,
            state: TaskState::Hibernated,
            due: Some(due),
            name: name.clone(),
            module: snapshot.meta.module,
            spec: to_bytes(&spec)?,
            status: to_bytes(&status)?,
            snapshot: Some(frozen),
        };
        let verdicts = self.commit(vec![module, Change::Insert(insert)]).await?;
        match verdicts.last() {
            Some(Verdict::Done) => {}
            _ => return Err(Refused::NameTaken(name.unwrap_or_default()).into()),
        }
        self.shared.metrics.add(TaskState::Hibernated, 1);
        self.shared.tell(id, Some(TaskState::Hibernated));
        self.send(Message::Added(vec![(id, Some(due))]));
        Ok(id)
    }

    /// A task as a snapshot file that needs nothing else. The task itself goes on: whoever resumes the
    /// file has a copy of it.
    ///
    /// # Errors
    /// Where the task has not been asleep yet.
    pub async fn export(&self, id: TaskId) -> Result<Vec<u8>, Error> {
        self.ask(id, Ask::Settle).await?;
        let (shared, programs, bases) = (
            self.shared.clone(),
            self.programs.clone(),
            self.bases.clone(),
        );
        blocking(move || {
            let found = shared.store.load(id)?;
            let (row, frozen) = found.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            let frozen = frozen.ok_or(Refused::NoSnapshot(id))?;
            let mut snapshot = Snapshot::unflatten(&bases.unpack(&frozen)?)?;
            snapshot.module = programs.get(&row.module)?.embedded();
            let daemon = &shared.options.identity;
            snapshot.meta.origin = Some(format!("{daemon}/{id}@{}", row.version));
            snapshot.encode()
        })
        .await
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
        self.ask(id, Ask::Resume).await
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

    async fn ask(&self, id: TaskId, ask: Ask) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Command(Command { id, ask, reply }));
        answer.await.map_err(|_| Error::from(Refused::Closing))?
    }

    /// The number of a task that is given by number or by name.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn find(&self, text: &str) -> Result<TaskId, Error> {
        let store = self.shared.store.clone();
        let name = text.to_string();
        let found = match text.parse() {
            Ok(number) => Some(TaskId(number)),
            Err(_) => blocking(move || Ok(store.named(&name)?)).await?,
        };
        found.ok_or_else(|| Refused::NoTask(text.to_string()).into())
    }

    /// What is known of a task.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn task(&self, id: TaskId) -> Result<TaskInfo, Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let row = shared.store.task(id)?;
            let row = row.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            Ok(TaskInfo::of(row, &shared)?)
        })
        .await
    }

    /// Tasks, the newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<Vec<TaskInfo>, Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let rows = shared.store.list(&filter)?;
            let infos = rows.into_iter().map(|row| TaskInfo::of(row, &shared));
            Ok(infos.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A task's output from a place on: what is stored, up to `limit` bytes, and if that is all, what is
    /// not yet. Pieces that are not stored yet have no place: after a crash they are taken back, and the
    /// guest writes them again.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn output(&self, id: TaskId, from: u64, limit: u64) -> Result<Outputs, Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let mut pieces: Vec<Piece> = Vec::new();
            let mut next = from;
            loop {
                let tail = shared.view(id).and_then(|view| view.tail);
                let fresh = tail.map(|tail| (tail.peek(), tail.number()));
                let stored = shared.store.output(id, next, limit)?;
                let (none, size) = (
                    stored.is_empty(),
                    stored.iter().map(Logged::len).sum::<u64>(),
                );
                next = stored.last().map_or(next, |logged| logged.place + 1);
                pieces.extend(stored.into_iter().map(|logged| Piece {
                    place: Some(logged.place),
                    entry: logged.entry,
                }));
                // What was stored since the tail was looked at must not be there twice.
                if !none && size < limit {
                    continue;
                }
                let ((fresh, written), tail) = fresh.unwrap_or_default();
                if none {
                    let fresh = fresh.into_iter().map(|entry| Piece { place: None, entry });
                    pieces.extend(fresh);
                }
                return Ok(Outputs {
                    pieces,
                    next,
                    more: !none,
                    tail,
                    written,
                });
            }
        })
        .await
    }

    /// Output of all tasks as it is written.
    pub fn follow(&self) -> broadcast::Receiver<Fresh> {
        self.shared.following.subscribe()
    }

    /// Changes of state as they happen.
    pub fn watch(&self) -> broadcast::Receiver<Moved> {
        self.shared.moves.subscribe()
    }

    /// How many tasks are due in each of `count` spans of `step` nanoseconds from `from` on.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn timeline(&self, from: u64, step: u64, count: usize) -> Result<Vec<u64>, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.due_counts(from, step, count)?)).await
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn sizes(&self) -> Result<Sizes, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.sizes()?)).await
    }

    /// What is counted and measured.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The time, in nanoseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        self.shared.clock.realtime()
    }

    /// How it is set up.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Completes when another daemon has taken the store over: this one can change nothing any more.
    pub async fn until_lost(&self) {
        self.shared.until_lost().await;
    }

    /// Puts everything that runs to sleep. A guest that computes is waited for; what it did since its
    /// last suspend is lost if the caller does not wait so long.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        self.send(Message::Close(closed));
        // An error means that the driver has gone.
        let _ = done.await;
    }

    /// Removes tasks that have been over for too long, and blobs that nobody refers to.
    pub(super) async fn tidy(&self) -> Result<(), Error> {
        let now = self.now();
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
        let (store, lease) = (self.shared.store.clone(), self.lease);
        // What was put within the last hour may be about to be referred to.
        let before = now.saturating_sub(3_600_000_000_000);
        let removed = blocking(move || Ok(store.prune(&lease, now, before)?)).await?;
        if removed > 0 {
            log::info!("{removed} blobs that no task refers to were removed");
            self.bases.forget();
        }
        Ok(())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Verdict>, Error> {
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

/// A name must not be taken for a number, and must fit into a line.
fn check_name(name: Option<&str>) -> Result<(), Refused> {
    let Some(name) = name else { return Ok(()) };
    let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let fits = !name.is_empty() && name.len() <= 100 && name.chars().all(plain);
    match fits && name.parse::<u64>().is_err() {
        true => Ok(()),
        false => Err(Refused::Request(format!(
            "{name:?} cannot be a name; take letters, digits, '.', '_' and '-', at most 100 bytes, \
             and not a number"
        ))),
    }
}

/// Does what blocks on a thread where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refused::Damaged(format!("a part of the daemon failed: {error}")).into()),
    }
}
