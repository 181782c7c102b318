//! Group commit: what many workers have to store at one time becomes one transaction, and one flush of
//! the disk.
//!
//! ```text
//!   groups of changes --> [queue] --> the journal's thread --> one commit --> each group's answer
//!                                        ^          | disk full: a task's own state is tried again,
//!                                        `----------' what somebody asks for is refused
//! ```
//!
//! While nothing has to be stored, it gives the disk back what removed tasks have left, in short steps.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::complaints::{complain, works};
use super::metrics::Metrics;
use super::time::Time;
use crate::store::{Change, Error, Lease, Stamp, Store, Verdict};

/// A transaction takes at most so many changes.
const BATCH: usize = 2000;

/// After a commit has failed, it is tried again so much later.
const RETRY: Duration = Duration::from_millis(500);

/// The lease is renewed at least so often.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// After a commit, so long without another one is idle.
const IDLE: Duration = Duration::from_millis(100);

/// One step of giving room back takes about so long, and commits wait for it.
const STEP: Duration = Duration::from_millis(10);

/// So many chunks of snapshots that have gone are removed in one step.
const SWEPT: usize = 8;

/// A journal that is never idle takes a step now and then all the same.
const SELDOM: Duration = Duration::from_secs(5);

/// What the log says about changes that cannot be stored.
const CHANGES: &str = "changes";

/// What is told when a group is durable, or cannot become so.
pub(super) type Answer = Box<dyn FnOnce(Result<Vec<Verdict>, Error>) + Send>;

/// What is told once when a group cannot be stored for now, with the reason.
type Failing = Box<dyn FnOnce(String) + Send>;

/// Changes that belong together.
struct Group {
    changes: Vec<Change>,
    /// It must not be lost, so that it is tried until it can be stored.
    lasting: bool,
    failing: Option<Failing>,
    answer: Answer,
}

/// The right to change the store. On a full disk it cannot be written down at once; the lock on the store
/// holds already, so that it is had before the first change is.
pub(super) struct Tenure {
    store: Arc<dyn Store>,
    holder: String,
    lasts: u64,
    lease: Mutex<Option<Lease>>,
}

impl Tenure {
    /// Takes the store over.
    ///
    /// # Errors
    /// Where somebody else has it, or it cannot be used, and not only for now.
    pub(super) fn claim(
        store: Arc<dyn Store>,
        holder: String,
        now: &Stamp,
        lasts: u64,
    ) -> Result<Self, Error> {
        let tenure = Self {
            store,
            holder,
            lasts,
            lease: Mutex::default(),
        };
        match tenure.lease(now) {
            Err(error) if error.passes() => {
                log::warn!(
                    "{error}: tasks can be looked at, and nothing can be changed until that is over"
                );
            }
            claimed => drop(claimed?),
        }
        Ok(tenure)
    }

    pub(super) fn lease(&self, now: &Stamp) -> Result<Lease, Error> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = *lease {
            return Ok(lease);
        }
        let claimed = self.store.claim(&self.holder, now, self.lasts)?;
        Ok(*lease.insert(claimed))
    }
}

/// Where to send changes to. Groups are committed in the order in which they are sent.
#[derive(Clone)]
pub(super) struct Journal {
    groups: Sender<Group>,
}

impl Journal {
    /// Starts the journal's thread, which ends when every sender has gone.
    pub(super) fn start(
        store: Arc<dyn Store>,
        tenure: Arc<Tenure>,
        time: Arc<Time>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (groups, queue) = channel();
        let writer = Writer {
            store,
            tenure,
            time,
            metrics,
        };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&queue))?;
        Ok((Self { groups }, thread))
    }

    /// Stores what must not be lost: where it cannot be stored for now, `failing` is told so once, and it
    /// is tried until it can.
    pub(super) fn keep(
        &self,
        changes: Vec<Change>,
        failing: impl FnOnce(String) + Send + 'static,
        answer: impl FnOnce(Result<Vec<Verdict>, Error>) + Send + 'static,
    ) {
        self.send(Group {
            changes,
            lasting: true,
            failing: Some(Box::new(failing)),
            answer: Box::new(answer),
        });
    }

    /// Stores what somebody waits for, who can be told that it failed.
    pub(super) fn put(
        &self,
        changes: Vec<Change>,
        answer: impl FnOnce(Result<Vec<Verdict>, Error>) + Send + 'static,
    ) {
        self.send(Group {
            changes,
            lasting: false,
            failing: None,
            answer: Box::new(answer),
        });
    }

    fn send(&self, group: Group) {
        if let Err(unsent) = self.groups.send(group) {
            // The thread ends only with the last sender, or by a panic of a store's.
            (unsent.0.answer)(Err(Error::Lost));
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    tenure: Arc<Tenure>,
    time: Arc<Time>,
    metrics: Arc<Metrics>,
}

impl Writer {
    fn run(&self, queue: &Receiver<Group>) {
        let mut waiting: Vec<Group> = Vec::new();
        let mut patience = HEARTBEAT;
        let (mut renewed, mut cleaned) = (Instant::now(), Instant::now());
        loop {
            let idle = match queue.recv_timeout(patience) {
                Ok(group) => {
                    waiting.push(group);
                    false
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) if waiting.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(RETRY);
                    false
                }
            };
            let mut size: usize = waiting.iter().map(|group| group.changes.len()).sum();
            while size < BATCH
                && let Ok(group) = queue.try_recv()
            {
                size += group.changes.len();
                waiting.push(group);
            }
            if !waiting.is_empty() || renewed.elapsed() >= HEARTBEAT {
                waiting = self.commit(waiting);
                renewed = Instant::now();
            }
            patience = match waiting.is_empty() {
                false => RETRY,
                true if idle || cleaned.elapsed() >= SELDOM => {
                    cleaned = Instant::now();
                    self.clean()
                }
                true => IDLE,
            };
        }
    }

    /// Gives some room back to the disk; says how long to wait for the next step.
    fn clean(&self) -> Duration {
        let now = self.time.stamp();
        let lease = self.tenure.lease(&now);
        match lease.and_then(|lease| self.store.sweep(&lease, &now, SWEPT)) {
            Ok(true) => return IDLE,
            Ok(false) => {}
            Err(error) => log::debug!("cannot remove what is not needed: {error}"),
        }
        match self.store.shrink(STEP) {
            Ok(true) => IDLE,
            Ok(false) => HEARTBEAT,
            Err(error) => {
                // What cannot be stored says so itself.
                log::debug!("cannot give room back: {error}");
                HEARTBEAT
            }
        }
    }

    /// Commits all groups together, and gives those that are to be tried again.
    fn commit(&self, mut groups: Vec<Group>) -> Vec<Group> {
        let changes: Vec<Change> = groups
            .iter()
            .flat_map(|group| group.changes.iter().cloned())
            .collect();
        let (started, now) = (Instant::now(), self.time.stamp());
        let lease = self.tenure.lease(&now);
        let result = lease.and_then(|lease| self.store.commit(&lease, &now, &changes));
        self.metrics.committed(changes.len(), started.elapsed());
        let error = match result {
            Ok(verdicts) => {
                works(CHANGES, "changes can be stored");
                let mut verdicts = verdicts.into_iter();
                for group in groups {
                    let count = group.changes.len();
                    (group.answer)(Ok(verdicts.by_ref().take(count).collect()));
                }
                return Vec::new();
            }
            Err(error) => error,
        };
        let reason = error.to_string();
        complain(CHANGES, &reason, || {
            format!("changes cannot be stored: {reason}")
        });
        match error {
            error if error.passes() => {
                for group in &mut groups {
                    if let Some(failing) = group.failing.take() {
                        failing(reason.clone());
                    }
                }
                let (again, refused) = groups.into_iter().partition(|group| group.lasting);
                refuse(refused, &error);
                again
            }
            // One group may be what the store cannot take: the others must not suffer.
            Error::Database(_) if groups.len() > 1 => groups
                .into_iter()
                .flat_map(|group| self.commit(vec![group]))
                .collect(),
            error => {
                refuse(groups, &error);
                Vec::new()
            }
        }
    }
}

fn refuse(groups: Vec<Group>, error: &Error) {
    for group in groups {
        (group.answer)(Err(error.again()));
    }
}
