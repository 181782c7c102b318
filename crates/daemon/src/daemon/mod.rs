//! The handle to a daemon: what a server, or a program that embeds the library, asks of it.
//!
//! | file | what stands there |
//! | --- | --- |
//! | this one | [`Daemon`], and what is asked of one task |
//! | `active_moves` | moves that are under way |
//! | `start` | makes the daemon's parts and joins them |
//! | `submit` | how tasks come into a daemon |
//! | `copies` | how they do so as snapshot files, and go out of it as copies |
//! | `traced` | the spans of a submission and of a move |
//! | `look` | lists, output and events |
//! | `info` | a task as it is shown |
//! | `cluster` | what is asked about the other nodes of a store that several share |
//! | `check` | whether everything in a store can be used |
//! | `upkeep` | what is removed now and then |

mod active_moves;
pub(crate) mod check;
mod cluster;
mod copies;
pub(crate) mod info;
mod look;
pub(crate) mod parts;
mod start;
pub(crate) mod submit;
mod traced;
mod upkeep;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use self::active_moves::ActiveMoves;
use crate::blobs::programs::Programs;
use crate::blobs::snapshot_bases::SnapshotBases;
use crate::driver::Message;
use crate::driver::commands::{Ask, Command};
use crate::driver::not_stored::NotStored;
use crate::driver::state::DaemonState;
use crate::error::Error as Refused;
use crate::journal::tenure::Tenure;
use crate::memory::{MemoryUsed, parts::BudgetParts};
use crate::metrics::Metrics;
use crate::model::error::Error;
use crate::model::{TaskId, Timestamp};
use crate::nodes::ids::Ids;
use crate::options::Options;
use crate::sockets::TaskSockets;
use crate::spec::{LimitChanges, check_limits};
use crate::store::{Change, Verdict};
use crate::workers::crash_marks::CrashMarks;

/// Many tasks in one process.
pub struct Daemon {
    pub(super) shared: Arc<DaemonState>,
    pub(super) programs: Arc<Programs>,
    pub(super) bases: Arc<SnapshotBases>,
    inbox: mpsc::UnboundedSender<Message>,
    pub(super) ids: Arc<Ids>,
    /// Places for new tasks on their way to the disk.
    submitting: Arc<Semaphore>,
    tenure: Arc<Tenure>,
    pub(super) moving: ActiveMoves,
    pub(super) marks: Arc<CrashMarks>,
}

impl Daemon {
    /// Stops a task at its next call that may block, and keeps it until told otherwise.
    ///
    /// # Errors
    /// If there is no such task, or it is over.
    pub async fn pause(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Pause).await
    }

    /// Lets a paused task go on.
    ///
    /// # Errors
    /// If there is no such task, or it is not paused.
    pub async fn resume(&self, id: TaskId) -> Result<(), Error> {
        self.resume_with(id, LimitChanges::default()).await
    }

    /// Lets a paused task go on with other limits, which it has from then on.
    ///
    /// # Errors
    /// If there is no such task, it is not paused, or a limit is not one of a task's.
    pub async fn resume_with(&self, id: TaskId, more: LimitChanges) -> Result<(), Error> {
        check_limits(&more.limits)?;
        self.ask(id, Ask::Resume(more)).await
    }

    /// Starts a task at once that waits for a start: its first one, the next one of its schedule,
    /// which keeps its times, or a restart.
    ///
    /// # Errors
    /// If there is no such task, a run of it is under way, or it is over or paused.
    pub async fn start_now(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Start).await
    }

    /// Ends a task.
    ///
    /// # Errors
    /// If there is no such task, or it is over.
    pub async fn kill(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Kill).await
    }

    /// Takes a task that is over or paused out of the list, with its output.
    ///
    /// # Errors
    /// If there is no such task, or it is not over.
    pub async fn remove(&self, id: TaskId) -> Result<(), Error> {
        self.ask(id, Ask::Remove).await
    }

    pub(super) async fn ask(&self, id: TaskId, ask: Ask) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Command(Command { id, ask, reply }));
        answer.await.map_err(|_| Error::from(Refused::Closing))?
    }

    /// The daemon's counters and measurements.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The parts of the memory budget, and how much of them is used.
    pub fn memory(&self) -> (BudgetParts, MemoryUsed) {
        let budget = &self.shared.budget;
        (budget.parts, budget.used())
    }

    /// The wall clock's time.
    pub fn now(&self) -> Timestamp {
        self.shared.time.wall()
    }

    /// The daemon's options.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Completes when another daemon has taken the store over: this one cannot change anything any
    /// longer.
    pub async fn until_lost(&self) {
        self.shared.until_lost().await;
    }

    /// Puts everything that runs to sleep, and returns the tasks of which that could not be stored.
    /// A guest that computes is waited for, and so is a disk that has no room. What a guest did
    /// since its last suspend is lost if the caller does not wait this long.
    pub async fn close(&self) -> Vec<NotStored> {
        let (closed, done) = oneshot::channel();
        self.send(Message::Close(closed));
        // An error means that the driver has ended.
        done.await.unwrap_or_default()
    }

    /// The tasks in memory of which something is not stored, for a caller that does not wait for
    /// [`close`](Self::close) any longer; `None` where that is done.
    pub async fn not_stored(&self) -> Option<Vec<NotStored>> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Left(reply));
        answer.await.ok()
    }

    /// Notes that the process ends regularly: tasks that are still being run are not to blame.
    pub fn ended(&self) {
        self.marks.end();
    }

    /// Takes all sockets of tasks out of this daemon, for its successor process. Call it after
    /// [`close`](Self::close); a second call returns none.
    pub fn drain_sockets(&self) -> Vec<TaskSockets> {
        self.shared.sockets.drain()
    }

    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Verdict>, Error> {
        let (done, answer) = oneshot::channel();
        self.shared.journal.put(changes, move |result| {
            // An error means that the caller no longer waits.
            let _ = done.send(result);
        });
        let answer = answer.await.map_err(|_| Error::from(Refused::Closing))?;
        Ok(answer?)
    }

    fn send(&self, message: Message) {
        // The driver ends only after it was closed; then the reply is dropped, which the caller
        // sees.
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

/// Runs work that blocks on a thread where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refused::Damaged(format!("a part of the daemon failed: {error}")).into()),
    }
}
